"""Benchmark searches of one tenant's vectors in PostgreSQL: ours, a sequential scan, and pgvector's defaults."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from psycopg import Connection, sql

from benchmarks.summary import Spread
from benchmarks.vector_data import BUCKETS, VectorData, Vectors, clustered
from featurestore import Settings
from featurestore.definitions.vector_index import Storage
from featurestore.frames.vectors.filters import ColumnFilter
from featurestore.frames.vectors.similarity import Query
from featurestore.stores.postgres.connections import Postgres
from featurestore.stores.postgres.graph import ensure_graph
from featurestore.stores.postgres.layout import ensure_partition, ensure_table, migrate
from featurestore.stores.postgres.rows import COPY_BEGIN, COPY_END, RowEncoder, copied
from featurestore.stores.postgres.search import VectorSearch, nearest
from featurestore.stores.postgres.searchable import Searchable, searchable
from featurestore.stores.postgres.tables import EMBEDDING, VectorTable, in_schema, names

TENANT = "acme"
SELECTIVITIES = (1.0, 0.1, 0.01, 0.001)
OURS, BATCH, SEQUENTIAL, PLAIN = "featurestore", "featurestore, in batches", "sequential scan", "pgvector as it comes"
# Queries per call of the search in batches.
_BATCH = 100


@dataclass(frozen=True)
class SearchOptions:
    rows: int
    dims: int
    storage: Storage
    queries: int
    sequential: int
    limit: int
    rounds: int
    seed: int


@dataclass(frozen=True)
class SearchSummary:
    """One way of searching at one selectivity.

    - ``recall``: the share of the nearest rows that the search returned; ``full``: the share of queries that returned
      as many rows as the limit allows;
    - ``milliseconds``: per query; ``speed``: queries per second, divided by those of the sequential scan in the same
      round;
    - ``exact``: the share of queries that compared all rows that pass the filter.
    """

    selectivity: float
    engine: str
    recall: float
    full: float
    milliseconds: Spread
    speed: Spread
    exact: float | None


@dataclass(frozen=True)
class SearchResult:
    options: SearchOptions
    load_seconds: float
    build_seconds: float
    summaries: list[SearchSummary]

    @property
    def build_by_load(self) -> float:
        return self.build_seconds / self.load_seconds


Find = Callable[[Vectors], list[list[int]]]


def measure_search(options: SearchOptions, folder: Path, report: Callable[[str], None]) -> SearchResult:
    """Load, build, and search in rounds; the server and its data are under ``folder``."""
    data = VectorData.make(options.rows, options.dims, options.seed)
    queries = clustered(np.random.default_rng([options.seed, 1]), options.queries, options.dims, options.seed)
    postgres = Postgres(Settings(warehouse=str(folder / "warehouse")))
    try:
        table = _table(options)
        load = _load(postgres, table, data)
        report(f"loaded in {load:.1f} s")
        build = _build(postgres, table)
        report(f"graph built in {build:.1f} s")
        with postgres.tenant(TENANT) as connection:
            target = searchable(connection, TENANT, table.group, table.version, table.feature)[table.model]
        summaries = []
        for selectivity in SELECTIVITIES:
            summaries += _at(selectivity, options, postgres, target, data, queries)
            report(f"selectivity {selectivity:g} done")
    finally:
        postgres.close()
    return SearchResult(options, load, build, summaries)


def _table(options: SearchOptions) -> VectorTable:
    return VectorTable(
        group="docs",
        version=1,
        feature="text",
        model="benchmark",
        dims=options.dims,
        storage=options.storage,
        keys=(("id", "long"),),
        filters=(("bucket", "int"),),
        nulls="skip",
        timed=False,
        m=16,
        ef_construction=64,
    )


def _load(postgres: Postgres, table: VectorTable, data: VectorData) -> float:
    """Load by binary COPY into a temporary table, and from there into the tenant's, with its key and filter index."""
    with postgres.owner() as owner:
        migrate(owner)
        ensure_table(owner, table)
        ensure_partition(owner, table, TENANT)
    columns = names([column.name for column in table.columns])
    encoder = RowEncoder.of(table)
    began = time.perf_counter()
    with postgres.owner(TENANT) as owner:
        place = in_schema(table.name)
        staging = sql.SQL("CREATE TEMPORARY TABLE staging ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA")
        owner.execute(staging.format(columns, place))
        with owner.cursor().copy("COPY staging FROM STDIN (FORMAT BINARY)") as out:
            out.write(COPY_BEGIN)
            for batch in data.batches():
                out.write(copied(encoder.fields(_as_rows(batch))))
            out.write(COPY_END)
        owner.execute(
            sql.SQL("INSERT INTO {} (tenant_id, {}) SELECT {}, {} FROM staging").format(
                place, columns, sql.Literal(TENANT), columns
            )
        )
        owner.execute(
            "INSERT INTO featurestore.watermarks VALUES (%s, %s, 'benchmark', 1, now(), now(), NULL, %s)",
            [table.name, TENANT, len(data.vectors)],
        )
    return time.perf_counter() - began


def _as_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    now = pa.array(np.full(batch.num_rows, 1_767_225_600_000_000), pa.timestamp("us", "UTC"))
    columns = {"id": batch["id"], "event_timestamp": now, "created_timestamp": now, EMBEDDING: batch["text"]}
    return pa.RecordBatch.from_pydict(columns | {"bucket": batch["bucket"]})


def _build(postgres: Postgres, table: VectorTable) -> float:
    with postgres.connect_owner() as owner:
        # As after a sync, because the build's memory depends on the number of rows that ANALYZE records.
        owner.execute(sql.SQL("ANALYZE {}").format(in_schema(table.name)))
        began = time.perf_counter()
        ensure_graph(owner, table, TENANT)
        return time.perf_counter() - began


def _at(
    selectivity: float,
    options: SearchOptions,
    postgres: Postgres,
    target: Searchable,
    data: VectorData,
    queries: Vectors,
) -> list[SearchSummary]:
    most = round(BUCKETS * selectivity)
    filters = () if selectivity == 1 else (ColumnFilter("bucket", "int", high=most - 1),)
    search = VectorSearch(target, TENANT, options.limit, -1.0, filters)
    exact: list[bool] = []
    engines: dict[str, tuple[Find, Vectors]] = {
        OURS: (_ours(postgres, search, exact), queries),
        BATCH: (_in_batches(postgres, search), queries),
        PLAIN: (_plain(postgres, search, most), queries),
        SEQUENTIAL: (_sequential(postgres, search), queries[: options.sequential]),
    }
    expected = data.nearest(queries, most, options.limit)
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    answers: dict[str, list[list[int]]] = {}
    for number in range(options.rounds + 1):
        # Each round begins with another engine; the first round fills the caches and is not measured.
        order = list(engines)[number % len(engines) :] + list(engines)[: number % len(engines)]
        for name in order:
            find, vectors = engines[name]
            began = time.perf_counter()
            answers[name] = find(vectors)
            if number:
                seconds[name].append((time.perf_counter() - began) / len(vectors))
    return [
        SearchSummary(
            selectivity=selectivity,
            engine=name,
            recall=_recall(answers[name], expected),
            full=float(
                np.mean(
                    [len(ids) == len(nearest_ids) for ids, nearest_ids in zip(answers[name], expected, strict=False)]
                )
            ),
            milliseconds=Spread.of([1000 * duration for duration in seconds[name]]),
            speed=Spread.of([slow / own for own, slow in zip(seconds[name], seconds[SEQUENTIAL], strict=True)]),
            exact=float(np.mean(exact)) if name == OURS else None,
        )
        for name in engines
    ]


def _recall(answers: Sequence[Sequence[int]], expected: Sequence[set[int]]) -> float:
    pairs = zip(answers, expected, strict=False)
    return float(np.mean([len(set(ids) & nearest_ids) / len(nearest_ids) for ids, nearest_ids in pairs]))


def _ours(postgres: Postgres, search: VectorSearch, exact: list[bool]) -> Find:
    """Like a user's single search: its own transaction as the tenant."""

    def find(queries: Vectors) -> list[list[int]]:
        answers = []
        exact.clear()
        for query in queries:
            with postgres.tenant(TENANT) as connection:
                [answer] = nearest(connection, search, [Query.of(query)])
            answers.append([row["id"] for row in answer.rows])
            exact.append(answer.exact)
        return answers

    return find


def _in_batches(postgres: Postgres, search: VectorSearch) -> Find:
    def find(queries: Vectors) -> list[list[int]]:
        answers: list[list[int]] = []
        for start in range(0, len(queries), _BATCH):
            with postgres.tenant(TENANT) as connection:
                batch = [Query.of(query) for query in queries[start : start + _BATCH]]
                answers += [[row["id"] for row in answer.rows] for answer in nearest(connection, search, batch)]
        return answers

    return find


def _sequential(postgres: Postgres, search: VectorSearch) -> Find:
    """Read every vector of the tenant, with as many workers as the server allows, and filter without index."""
    exact_search = replace(search, exact=True)

    def find(queries: Vectors) -> list[list[int]]:
        answers = []
        for query in queries:
            with _without_indexes(postgres) as connection:
                [answer] = nearest(connection, exact_search, [Query.of(query)])
            answers.append([row["id"] for row in answer.rows])
        return answers

    return find


@contextmanager
def _without_indexes(postgres: Postgres) -> Iterator[Connection[Any]]:
    with postgres.tenant(TENANT) as connection:
        connection.execute(
            "SELECT set_config('enable_indexscan', 'off', true), set_config('enable_bitmapscan', 'off', true)"
        )
        yield connection


def _plain(postgres: Postgres, search: VectorSearch, most: int) -> Find:
    """Search with ``ORDER BY embedding <=> query LIMIT n`` and the default settings of server and extension."""
    statement = sql.SQL(
        "SELECT id FROM {table} WHERE tenant_id = %s AND bucket < %s ORDER BY {vector} <=> %s::{storage} LIMIT %s"
    ).format(
        table=in_schema(search.table.name),
        vector=sql.Identifier(EMBEDDING),
        storage=sql.SQL(search.table.storage),
    )

    def find(queries: Vectors) -> list[list[int]]:
        answers = []
        for query in queries:
            with postgres.tenant(TENANT) as connection:
                rows = connection.execute(statement, [TENANT, most, str(query.tolist()), search.limit]).fetchall()
            answers.append([row[0] for row in rows])
        return answers

    return find
