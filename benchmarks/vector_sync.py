"""Benchmark writes of vectors to PostgreSQL: a sync, by whichever way the store chooses, and plain ways."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pgvector import Vector
from psycopg import Connection

from benchmarks.spark import benchmark_session
from benchmarks.summary import Spread
from benchmarks.vector_data import VectorData
from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Settings
from featurestore.stores.postgres.connections import Postgres

SYNC, COPY, MANY, VALUES, SINGLE = (
    "sync_embeddings",
    "psycopg COPY",
    "executemany upserts",
    "upserts of 1000 rows a statement",
    "row by row upserts",
)
_AT = datetime(2026, 1, 1, tzinfo=UTC)
# Rows for the slow ways, which need not write all rows to show their speed.
_FEW = 5000
_INSERT = "INSERT INTO plain VALUES {} ON CONFLICT (tenant_id, id) DO UPDATE SET _embedding = excluded._embedding"
_ROW = "(%s, %s, %s, %s, %s::vector, %s)"
Row = tuple[str, int, datetime, datetime, Any, int]


@dataclass(frozen=True)
class SyncOptions:
    rows: int
    dims: int
    rounds: int
    seed: int


@dataclass(frozen=True)
class SyncSummary:
    """One way of writing; ``ratio``: the sync's rows per second divided by this way's, in the same round."""

    engine: str
    rows: int
    rows_per_second: Spread
    ratio: Spread


@dataclass(frozen=True)
class SyncMeasured:
    """All results; ``build_by_sync``: the graph's build time divided by the time to read, send and merge the rows."""

    options: SyncOptions
    build_by_sync: float
    summaries: list[SyncSummary]


def measure_sync(options: SyncOptions, folder: Path, report: Callable[[str], None]) -> SyncMeasured:
    """Measure in each round a first sync of all rows into a new server, then the other ways into tables there."""
    files = folder / "rows"
    _write_files(options, files)
    settings = Settings(warehouse=str(folder / "warehouse"))
    rates: dict[str, list[float]] = {}
    builds = []
    with benchmark_session(settings, **{"spark.driver.memory": "6g"}) as spark:
        fs = FeatureStore.open(settings, spark=spark)
        index = {"filters": ["bucket"]}
        features = [Feature("bucket", "int"), Feature("text", f"embedding({options.dims})", index=index)]
        fs.apply([FeatureGroup("docs", Entity("doc", join_keys={"id": "long"}), features=features)])
        store = fs.tenant("acme")
        store.write_batch("docs", spark.read.parquet(str(files)))
        for number in range(1, options.rounds + 1):
            shutil.rmtree(folder / "warehouse.postgres", ignore_errors=True)
            result = store.sync_embeddings("docs:text")
            assert result.rows_per_second is not None
            builds.append(result.seconds / (result.rows / result.rows_per_second) - 1)
            rates.setdefault(SYNC, []).append(result.rows_per_second)
            postgres = fs._context.postgres
            for name, rate in _plain_rates(postgres, options, files).items():
                rates.setdefault(name, []).append(rate)
            postgres.close()
            report(f"sync, round {number} done")
    return SyncMeasured(
        options,
        sorted(builds)[len(builds) // 2],
        [
            SyncSummary(
                engine=name,
                rows=options.rows if name in (SYNC, COPY) else min(_FEW, options.rows),
                rows_per_second=Spread.of(of_engine),
                ratio=Spread.of([own / other for own, other in zip(rates[SYNC], of_engine, strict=True)]),
            )
            for name, of_engine in rates.items()
        ],
    )


def _write_files(options: SyncOptions, folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, batch in enumerate(VectorData.make(options.rows, options.dims, options.seed).batches()):
        at = pa.array([_AT] * batch.num_rows, pa.timestamp("us", "UTC"))
        table = pa.Table.from_batches([batch]).append_column("event_timestamp", at)
        pq.write_table(table, folder / f"{number:05}.parquet")


def _rows(files: Path, most: int) -> Iterator[Row]:
    remaining = most
    for file in sorted(files.glob("*.parquet")):
        if not remaining:
            return
        table = pq.read_table(file).slice(0, remaining)
        remaining -= table.num_rows
        vectors = table["text"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)
        for row_id, bucket, vector in zip(table["id"].to_pylist(), table["bucket"].to_pylist(), vectors, strict=True):
            yield "acme", row_id, _AT, _AT, Vector(vector), bucket


def _plain_rates(postgres: Postgres, options: SyncOptions, files: Path) -> dict[str, float]:
    """Rows per second of each plain way, into a table with the same columns, key and index as the sync's."""
    few = min(_FEW, options.rows)
    ways: dict[str, tuple[Callable[[Connection[Any], Iterator[Row]], None], int]] = {
        COPY: (_copy, options.rows),
        MANY: (_many, few),
        VALUES: (_values, few),
        SINGLE: (_single, few),
    }
    rates = {}
    for name, (write, rows) in ways.items():
        # Created before it is filled: a server may omit rows from its log if their own transaction creates the table.
        with postgres.owner() as connection:
            connection.execute("DROP TABLE IF EXISTS plain")
            connection.execute(
                f"CREATE TABLE plain (tenant_id text, id bigint, event_timestamp timestamptz, created_timestamp "
                f"timestamptz, _embedding vector({options.dims}), bucket int, PRIMARY KEY (tenant_id, id))"
            )
            connection.execute("ALTER TABLE plain ALTER COLUMN _embedding SET STORAGE PLAIN")
            connection.execute("CREATE INDEX ON plain (bucket)")
        with postgres.owner() as connection:
            began = time.perf_counter()
            write(connection, _rows(files, rows))
            rates[name] = rows / (time.perf_counter() - began)
    return rates


def _copy(connection: Connection[Any], rows: Iterator[Row]) -> None:
    from pgvector.psycopg import register_vector

    register_vector(connection)
    with connection.cursor().copy("COPY plain FROM STDIN (FORMAT BINARY)") as out:
        out.set_types(["text", "bigint", "timestamptz", "timestamptz", "vector", "integer"])
        for row in rows:
            out.write_row(row)


def _texts(rows: Iterator[Row]) -> Iterator[tuple[Any, ...]]:
    return ((*row[:4], row[4].to_text(), row[5]) for row in rows)


def _many(connection: Connection[Any], rows: Iterator[Row]) -> None:
    connection.cursor().executemany(_INSERT.format(_ROW).encode(), list(_texts(rows)))


def _values(connection: Connection[Any], rows: Iterator[Row]) -> None:
    texts = list(_texts(rows))
    for start in range(0, len(texts), 1000):
        chunk = texts[start : start + 1000]
        connection.execute(
            _INSERT.format(", ".join([_ROW] * len(chunk))).encode(), [cell for row in chunk for cell in row]
        )


def _single(connection: Connection[Any], rows: Iterator[Row]) -> None:
    for row in _texts(rows):
        connection.execute(_INSERT.format(_ROW).encode(), row)
