"""Searches of one tenant's vectors in PostgreSQL: ours, a sequential scan, and pgvector as it comes."""

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

from benchmarks.report import Spread
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
# Of a search by every query in one call.
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

    - ``recall``: the share of the nearest that was found; ``full``: of queries that got as many as were asked for;
    - ``milliseconds`` of a query; ``speed``: queries a second by those of the sequential scan of the same round;
    - ``exact``: the share of queries that were answered by comparing all that pass.
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


def measure_search(options: SearchOptions, folder: Path, tell: Callable[[str], None]) -> SearchResult:
    """Load, build, and search in rounds; the server and its data are under ``folder``."""
    data = VectorData.make(options.rows, options.dims, options.seed)
    queries = clustered(np.random.default_rng([options.seed, 1]), options.queries, options.dims, options.seed)
    postgres = Postgres(Settings(warehouse=str(folder / "warehouse")))
    try:
        table = _table(options)
        load = _load(postgres, table, data)
        tell(f"loaded in {load:.1f} s")
        build = _build(postgres, table)
        tell(f"graph built in {build:.1f} s")
        with postgres.tenant(TENANT) as connection:
            one = searchable(connection, TENANT, table.group, table.version, table.feature)[table.model]
        summaries = []
        for selectivity in SELECTIVITIES:
            summaries += _at(selectivity, options, postgres, one, data, queries)
            tell(f"selectivity {selectivity:g} done")
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
    """Binary COPY into a table beside, and from there into the tenant's, with its key and the filter's index."""
    with postgres.owner() as owner:
        migrate(owner)
        ensure_table(owner, table)
        ensure_partition(owner, table, TENANT)
    columns = names([column.name for column in table.columns])
    encoder = RowEncoder.of(table)
    began = time.perf_counter()
    with postgres.owner(TENANT) as owner:
        place = in_schema(table.name)
        beside = sql.SQL("CREATE TEMPORARY TABLE beside ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA")
        owner.execute(beside.format(columns, place))
        with owner.cursor().copy("COPY beside FROM STDIN (FORMAT BINARY)") as out:
            out.write(COPY_BEGIN)
            for batch in data.batches():
                out.write(copied(encoder.fields(_as_rows(batch))))
            out.write(COPY_END)
        owner.execute(
            sql.SQL("INSERT INTO {} (tenant_id, {}) SELECT {}, {} FROM beside").format(
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
    told = {"id": batch["id"], "event_timestamp": now, "created_timestamp": now, EMBEDDING: batch["text"]}
    return pa.RecordBatch.from_pydict(told | {"bucket": batch["bucket"]})


def _build(postgres: Postgres, table: VectorTable) -> float:
    with postgres.connect_owner() as owner:
        # As after a sync: by the number of rows that this tells, the build is given its memory.
        owner.execute(sql.SQL("ANALYZE {}").format(in_schema(table.name)))
        began = time.perf_counter()
        ensure_graph(owner, table, TENANT)
        return time.perf_counter() - began


def _at(
    selectivity: float,
    options: SearchOptions,
    postgres: Postgres,
    one: Searchable,
    data: VectorData,
    queries: Vectors,
) -> list[SearchSummary]:
    most = round(BUCKETS * selectivity)
    filters = () if selectivity == 1 else (ColumnFilter("bucket", "int", high=most - 1),)
    search = VectorSearch(one, TENANT, options.limit, -1.0, filters)
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
        # Each round begins with another; the first of all is to fill the caches.
        order = list(engines)[number % len(engines) :] + list(engines)[: number % len(engines)]
        for name in order:
            find, asked = engines[name]
            began = time.perf_counter()
            answers[name] = find(asked)
            if number:
                seconds[name].append((time.perf_counter() - began) / len(asked))
    return [
        SearchSummary(
            selectivity=selectivity,
            engine=name,
            recall=_recall(answers[name], expected),
            full=float(
                np.mean([len(one) == len(wanted) for one, wanted in zip(answers[name], expected, strict=False)])
            ),
            milliseconds=Spread.of([1000 * one for one in seconds[name]]),
            speed=Spread.of([slow / own for own, slow in zip(seconds[name], seconds[SEQUENTIAL], strict=True)]),
            exact=float(np.mean(exact)) if name == OURS else None,
        )
        for name in engines
    ]


def _recall(found: Sequence[Sequence[int]], expected: Sequence[set[int]]) -> float:
    return float(np.mean([len(set(one) & wanted) / len(wanted) for one, wanted in zip(found, expected, strict=False)]))


def _ours(postgres: Postgres, search: VectorSearch, exact: list[bool]) -> Find:
    """As a user's single search: a transaction of its own, the tenant entered."""

    def find(queries: Vectors) -> list[list[int]]:
        found = []
        exact.clear()
        for query in queries:
            with postgres.tenant(TENANT) as connection:
                [one] = nearest(connection, search, [Query.of(query)])
            found.append([row["id"] for row in one.rows])
            exact.append(one.exact)
        return found

    return find


def _in_batches(postgres: Postgres, search: VectorSearch) -> Find:
    def find(queries: Vectors) -> list[list[int]]:
        found: list[list[int]] = []
        for start in range(0, len(queries), _BATCH):
            with postgres.tenant(TENANT) as connection:
                asked = [Query.of(query) for query in queries[start : start + _BATCH]]
                found += [[row["id"] for row in one.rows] for one in nearest(connection, search, asked)]
        return found

    return find


def _sequential(postgres: Postgres, search: VectorSearch) -> Find:
    """Every vector of the tenant is read, by as many workers as the server's settings give; no index helps the filter."""
    wanted = replace(search, exact=True)

    def find(queries: Vectors) -> list[list[int]]:
        found = []
        for query in queries:
            with _without_indexes(postgres) as connection:
                [one] = nearest(connection, wanted, [Query.of(query)])
            found.append([row["id"] for row in one.rows])
        return found

    return find


@contextmanager
def _without_indexes(postgres: Postgres) -> Iterator[Connection[Any]]:
    with postgres.tenant(TENANT) as connection:
        connection.execute(
            "SELECT set_config('enable_indexscan', 'off', true), set_config('enable_bitmapscan', 'off', true)"
        )
        yield connection


def _plain(postgres: Postgres, search: VectorSearch, most: int) -> Find:
    """``ORDER BY embedding <=> query LIMIT n``, with the server's and the extension's default settings."""
    statement = sql.SQL(
        "SELECT id FROM {table} WHERE tenant_id = %s AND bucket < %s ORDER BY {vector} <=> %s::{storage} LIMIT %s"
    ).format(
        table=in_schema(search.table.name),
        vector=sql.Identifier(EMBEDDING),
        storage=sql.SQL(search.table.storage),
    )

    def find(queries: Vectors) -> list[list[int]]:
        found = []
        for query in queries:
            with postgres.tenant(TENANT) as connection:
                rows = connection.execute(statement, [TENANT, most, str(query.tolist()), search.limit]).fetchall()
            found.append([row[0] for row in rows])
        return found

    return find
