"""Copies rows of a DataFrame to a staging table, from Spark's tasks by binary COPY; and hashes rows for comparison."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from pydantic import SecretStr

from featurestore.columnar.values.newest_vectors import MODEL
from featurestore.late_spark import DataFrame, F
from featurestore.stores.postgres.connections import connect, retrying
from featurestore.stores.postgres.rows import (
    COPY_BEGIN,
    COPY_END,
    NULL,
    RowEncoder,
    copied,
    copied_same_sized,
    long_field,
    text_field,
)
from featurestore.stores.postgres.staging import ATTEMPT
from featurestore.stores.postgres.tables import VectorTable, in_schema, names

if TYPE_CHECKING:
    from psycopg.sql import Composed

# The most connections at the same time; by default a server allows 100 for all its users together.
MOST_CONNECTIONS = 16

Encode = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Sent:
    """The successful attempts, how many rows they sent, and the model versions of these rows."""

    attempts: tuple[int, ...]
    rows: int
    models: tuple[str, ...]


def copy_to_staging(rows: DataFrame, table: VectorTable, staging: str, dsn: SecretStr) -> Sent:
    """Copy the rows (``MODEL`` and the table's columns), with one connection per concurrent task.

    Each attempt of a task has its own connection and transaction, and marks its rows with an id. Attempts that failed,
    or that copied the same rows as another attempt, are not in the result.
    """
    ordered = rows.select(MODEL, *(f"`{column.name}`" for column in table.columns)).coalesce(MOST_CONNECTIONS)
    sent = (
        ordered.mapInArrow(batch_copier(table, staging, dsn), "attempt long, rows long, models array<string>")
        .toArrow()
        .to_pylist()
    )
    return Sent(
        attempts=tuple(attempt["attempt"] for attempt in sent),
        rows=sum(attempt["rows"] for attempt in sent),
        models=tuple(sorted({model for attempt in sent for model in attempt["models"]})),
    )


def batch_copier(table: VectorTable, staging: str, dsn: SecretStr) -> Encode:
    """What a task runs: copy its batches over one connection, then yield the attempt's id, its rows and its models."""
    encoder = RowEncoder.of(table)
    columns = [ATTEMPT, MODEL, *(column.name for column in table.columns)]

    def copy(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        first = next((batch for batch in batches if batch.num_rows), None)
        if first is None:
            return
        attempt, rows, models = secrets.randbits(63), 0, set[str]()
        with (
            retrying(lambda: connect(dsn.get_secret_value())) as connection,
            connection.cursor() as cursor,
            cursor.copy(_statement(staging, columns)) as out,
        ):
            out.write(COPY_BEGIN)
            for batch in _with_first(first, batches):
                out.write(encoded(batch, attempt, encoder))
                rows += batch.num_rows
                models.update(batch.column(MODEL).drop_null().unique().to_pylist())
            out.write(COPY_END)
        yield pa.RecordBatch.from_arrays(
            [
                pa.array([attempt], pa.int64()),
                pa.array([rows], pa.int64()),
                pa.array([sorted(models)], pa.list_(pa.string())),
            ],
            names=["attempt", "rows", "models"],
        )

    return copy


def _with_first(first: pa.RecordBatch, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from batches


def encoded(batch: pa.RecordBatch, attempt: int, encoder: RowEncoder) -> bytes:
    """Encode a batch for binary COPY: attempt, ``MODEL`` (null if there is no vector), and the table's columns."""
    models = batch.column(MODEL).dictionary_encode()
    if len(models.dictionary) == 1 and not models.null_count:
        rows = encoder.same_sized(batch)
        if rows is not None:
            [model] = models.dictionary.to_pylist()
            return copied_same_sized([long_field(attempt), text_field(model)], rows, len(encoder.columns))
    texts = [text_field(model) for model in models.dictionary.to_pylist()]
    model_fields = [NULL if index is None else texts[index] for index in models.indices.to_pylist()]
    return copied([[long_field(attempt)] * batch.num_rows, model_fields, *encoder.fields(batch)])


def _statement(staging: str, columns: list[str]) -> Composed:
    from psycopg import sql

    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(in_schema(staging), names(columns))


def row_fingerprints(rows: DataFrame, table: VectorTable) -> dict[str, dict[int, tuple[int, int]]]:
    """Return, by model version and bucket of keys, the number of rows and the sum of their hashes."""
    hashed = _hashed(rows, table).groupBy(MODEL, "bucket")
    totals = hashed.agg(F.count(F.lit(1)).alias("rows"), F.sum(F.col("hash").cast("decimal(38,0)")).alias("total"))
    by_model: dict[str, dict[int, tuple[int, int]]] = {}
    for row in totals.toArrow().to_pylist():
        by_model.setdefault(row[MODEL], {})[row["bucket"]] = (row["rows"], int(row["total"]))
    return by_model


def _hashed(rows: DataFrame, table: VectorTable) -> DataFrame:
    encoder = RowEncoder.of(table)

    def encode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            hashes = encoder.hashes(batch)
            yield pa.RecordBatch.from_arrays(
                [
                    batch.column(MODEL),
                    pa.array([bucket for bucket, _ in hashes], pa.int32()),
                    pa.array([row for _, row in hashes], pa.int64()),
                ],
                names=[MODEL, "bucket", "hash"],
            )

    ordered = rows.select(MODEL, *(f"`{column.name}`" for column in table.columns))
    return ordered.mapInArrow(encode, f"{MODEL} string, bucket int, hash long")


def of_buckets(rows: DataFrame, table: VectorTable, buckets: list[int]) -> DataFrame:
    """Keep the rows with keys in one of the buckets."""
    encoder = RowEncoder.of(table)
    chosen = frozenset(buckets)

    def keep(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.filter(pa.array([bucket in chosen for bucket in encoder.buckets(batch)], pa.bool_()))

    return rows.mapInArrow(keep, rows.schema)
