"""Copies rows to a staging table by binary COPY, from this process or Spark's tasks; and hashes rows to compare."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import pyarrow as pa
from pydantic import SecretStr

from featurestore.columnar.values.newest_vectors import MODEL
from featurestore.errors import PostgresError, SyncError
from featurestore.late_spark import DataFrame, F, py4j_errors, spark_errors
from featurestore.stores.postgres.connections import connect, retrying
from featurestore.stores.postgres.rows import (
    COPY_BEGIN,
    COPY_END,
    NULL,
    RowEncoder,
    UnstorableValueError,
    copied,
    copied_same_sized,
    long_field,
    text_field,
)
from featurestore.stores.postgres.staging import ATTEMPT
from featurestore.stores.postgres.tables import VectorTable, in_schema, names
from featurestore.stores.spark_failures import first_line, worker_message

if TYPE_CHECKING:
    from psycopg.sql import Composed

# The most connections at the same time; by default a server allows 100 for all its users together.
MOST_CONNECTIONS = 16
# Encoded rows are held beside the rows themselves.
_ROWS_AT_A_TIME = 2048

# By model version, by bucket of keys: the number of rows, and the sum of their hashes.
Fingerprints: TypeAlias = dict[str, dict[int, tuple[int, int]]]
Encode = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Sent:
    """The successful attempts, how many rows they sent, and the model versions of these rows."""

    attempts: tuple[int, ...]
    rows: int
    models: tuple[str, ...]


class VectorRows(Protocol):
    """Rows for one table of vectors: ``MODEL`` and the table's columns."""

    def copy_to(self, staging: str, dsn: SecretStr) -> Sent:
        """Copy the rows to a staging table; raises SyncError.

        Each attempt has its own connection and transaction, and marks its rows with an id. Attempts that failed, or
        that copied the same rows as another attempt, are not in the result.
        """

    def fingerprints(self) -> Fingerprints:
        """Return, by model version and bucket of keys, the number of rows and the sum of their hashes."""

    def of_buckets(self, buckets: list[int]) -> VectorRows:
        """Keep the rows with keys in one of the buckets."""


@dataclass(frozen=True)
class ArrowRows:
    """Rows in this process, which it copies itself, in one attempt."""

    rows: pa.Table
    table: VectorTable

    def copy_to(self, staging: str, dsn: SecretStr) -> Sent:
        """Copy the rows over one connection."""
        import psycopg

        copy = batch_copier(self.table, staging, dsn)
        try:
            return _sent([attempt for done in copy(self._batches()) for attempt in done.to_pylist()])
        except (psycopg.Error, PostgresError, UnstorableValueError) as error:
            raise _not_copied(self.table, f"{type(error).__name__}: {first_line(error)}") from error

    def fingerprints(self) -> Fingerprints:
        encoder = RowEncoder.of(self.table)
        by_model: Fingerprints = {}
        for batch in self._batches():
            for model, (bucket, row_hash) in zip(batch.column(MODEL).to_pylist(), encoder.hashes(batch), strict=True):
                buckets = by_model.setdefault(model, {})
                rows, total = buckets.get(bucket, (0, 0))
                buckets[bucket] = (rows + 1, total + row_hash)
        return by_model

    def of_buckets(self, buckets: list[int]) -> ArrowRows:
        keep = bucket_filter(self.table, buckets)
        kept = [keep(batch) for batch in self._batches()]
        return ArrowRows(pa.Table.from_batches(kept, self._ordered.schema), self.table)

    @property
    def _ordered(self) -> pa.Table:
        return self.rows.select([MODEL, *(column.name for column in self.table.columns)])

    def _batches(self) -> Iterator[pa.RecordBatch]:
        return iter(self._ordered.to_batches(max_chunksize=_ROWS_AT_A_TIME))


@dataclass(frozen=True)
class SparkRows:
    """Rows of a DataFrame, which Spark's tasks copy, each over its own connection."""

    rows: DataFrame
    table: VectorTable

    def copy_to(self, staging: str, dsn: SecretStr) -> Sent:
        """Copy the rows with one connection per concurrent task."""
        copied = self._ordered.coalesce(MOST_CONNECTIONS).mapInArrow(
            batch_copier(self.table, staging, dsn), "attempt long, rows long, models array<string>"
        )
        try:
            return _sent(copied.toArrow().to_pylist())
        except (spark_errors.PySparkException, py4j_errors.Py4JJavaError) as error:
            raise _not_copied(self.table, worker_message(error)) from error

    def fingerprints(self) -> Fingerprints:
        hashed = self._ordered.mapInArrow(row_hasher(self.table), f"{MODEL} string, bucket int, hash long")
        totals = hashed.groupBy(MODEL, "bucket").agg(
            F.count(F.lit(1)).alias("rows"), F.sum(F.col("hash").cast("decimal(38,0)")).alias("total")
        )
        by_model: Fingerprints = {}
        for row in totals.toArrow().to_pylist():
            by_model.setdefault(row[MODEL], {})[row["bucket"]] = (row["rows"], int(row["total"]))
        return by_model

    def of_buckets(self, buckets: list[int]) -> SparkRows:
        keep = bucket_filter(self.table, buckets)

        def kept(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield keep(batch)

        return SparkRows(self.rows.mapInArrow(kept, self.rows.schema), self.table)

    @property
    def _ordered(self) -> DataFrame:
        return self.rows.select(MODEL, *(f"`{column.name}`" for column in self.table.columns))


def _sent(attempts: Sequence[Mapping[str, Any]]) -> Sent:
    return Sent(
        attempts=tuple(attempt["attempt"] for attempt in attempts),
        rows=sum(attempt["rows"] for attempt in attempts),
        models=tuple(sorted({model for attempt in attempts for model in attempt["models"]})),
    )


def _not_copied(table: VectorTable, cause: str) -> SyncError:
    return SyncError(
        f"vectors of {table.group}:{table.feature} could not be copied to PostgreSQL: {cause}. The rows there are "
        "unchanged; run the sync again"
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


def row_hasher(table: VectorTable) -> Encode:
    """What a task runs: give each row's ``MODEL``, the bucket of its key, and its hash."""
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

    return encode


def bucket_filter(table: VectorTable, buckets: list[int]) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Keeps the rows of a batch with keys in one of the buckets."""
    encoder = RowEncoder.of(table)
    chosen = frozenset(buckets)

    def keep(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.filter(pa.array([bucket in chosen for bucket in encoder.buckets(batch)], pa.bool_()))

    return keep
