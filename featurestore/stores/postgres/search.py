"""Finds the nearest vectors in a tenant's table, by its graph or by comparing all that pass, whichever is faster.

PostgreSQL returns a few more rows than requested, with their vectors. This module computes their similarities again in
double precision, so that numbers and order equal those of any exact search.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from featurestore.definitions.values.time_window import in_utc
from featurestore.frames.vectors.filters import ColumnFilter
from featurestore.frames.vectors.similarity import SIMILARITY, Query
from featurestore.stores.postgres.searchable import Searchable, binary_rows, numbers_of
from featurestore.stores.postgres.tables import EMBEDDING, TIMES, TYPES, VectorTable, filter_time, in_schema

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable, Composed

Row = dict[str, Any]

# How many more rows are fetched than requested: single or half precision can order them differently from double.
_EXTRA = 10
_EXTRA_EXACT = 50
_FEWEST_FOR_GRAPH = 1000
# Reaching a vector through the graph takes about four times as long as comparing it in a scan.
_GRAPH_TO_SCAN = 4
_LEAST_EF, _MOST_EF = 100, 1000
# These settings make the planner use the graph, because its cost estimates for graphs are poor.
_GRAPH: dict[str, str | None] = {
    "hnsw.iterative_scan": "relaxed_order",
    "hnsw.max_scan_tuples": "40000",
    "hnsw.scan_mem_multiplier": "4",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
}
_CHUNK = 2000


@dataclass(frozen=True)
class VectorSearch:
    """What is searched: a tenant's rows with event timestamps from ``oldest`` (inclusive) that pass the filters."""

    searchable: Searchable
    tenant_id: str
    limit: int
    threshold: float
    filters: tuple[ColumnFilter, ...] = ()
    oldest: datetime | None = None
    exact: bool = False

    @property
    def table(self) -> VectorTable:
        return self.searchable.table

    @property
    def answer_columns(self) -> tuple[str, ...]:
        """The columns of an answer, before the vector: keys, times, and the values of filters on other columns."""
        others = [filter.name for filter in self.filters if filter.name not in self.table.key_names]
        return (*self.table.key_names, *TIMES, *others)


@dataclass(frozen=True)
class Found:
    """The matches of one query, most similar first, ties by key; ``exact`` if every vector that passes was compared."""

    rows: list[Row]
    exact: bool


def nearest(connection: Connection[Any], search: VectorSearch, queries: Sequence[Query]) -> list[Found]:
    """Return the matches of each query, in the queries' order; the graph answers all queries in one round trip."""
    passing = None if search.exact or not search.searchable.has_graph else _passing(connection, search)
    if passing is None or passing <= _fewest_for_graph(search):
        return [Found(_exact(connection, search, query), True) for query in queries]
    answers = _by_graph(connection, search, queries, passing)
    if None in answers:
        # The graph may miss matches if few vectors pass the filters, or if vectors tie; an exact search finds them.
        _set(connection, dict.fromkeys(_GRAPH))
    return [
        Found(_exact(connection, search, query), True) if answer is None else answer
        for query, answer in zip(queries, answers, strict=True)
    ]


def _fetch_limit(search: VectorSearch) -> int:
    return search.limit + search.limit // 2 + _EXTRA


def _fewest_for_graph(search: VectorSearch) -> int:
    """Return the number of passing rows at which a scan takes as long as the graph.

    To find ``n`` vectors that pass, the graph visits ``n * rows / passing``, because it also visits those that do not
    pass; a scan compares ``passing``.
    """
    return max(_FEWEST_FOR_GRAPH, math.isqrt(_GRAPH_TO_SCAN * _fetch_limit(search) * search.searchable.rows))


def _passing(connection: Connection[Any], search: VectorSearch) -> int:
    """Estimate how many rows pass. The planner reads no rows for this; if it is wrong, the search only takes longer."""
    if not search.filters and search.oldest is None:
        return search.searchable.rows
    from psycopg import sql

    plan = connection.execute(
        sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} AS t WHERE {}").format(
            in_schema(search.table.name), _passes(search)
        ),
        _values(search),
    ).fetchone()
    assert plan is not None
    return int(plan[0][0]["Plan"]["Plan Rows"])


def _by_graph(
    connection: Connection[Any], search: VectorSearch, queries: Sequence[Query], passing: int
) -> list[Found | None]:
    """Return the matches of each query; None if the graph may have missed some."""
    from psycopg import sql

    fetch_limit = _fetch_limit(search)
    visited = 2 * fetch_limit * search.searchable.rows // max(1, passing)
    _set(connection, {**_GRAPH, "hnsw.ef_search": str(min(_MOST_EF, max(_LEAST_EF, visited)))})
    rows = binary_rows(
        connection,
        sql.SQL(
            "SELECT q.n, near.* FROM unnest(%(_queries)s::text[]::{storage}[]) WITH ORDINALITY AS q(v, n) "
            "CROSS JOIN LATERAL (SELECT {columns} FROM {table} AS t WHERE {passes} ORDER BY t.{vector} <=> q.v "
            "LIMIT %(_limit)s) AS near"
        ).format(
            storage=sql.SQL(search.table.storage),
            columns=_columns(search),
            table=in_schema(search.table.name),
            passes=_passes(search),
            vector=sql.Identifier(EMBEDDING),
        ),
        _values(search) | {"_queries": [_text(query) for query in queries], "_limit": fetch_limit},
    )
    rows_by_query: list[list[tuple[Any, ...]]] = [[] for _ in queries]
    for number, *row in rows:
        rows_by_query[number - 1].append(tuple(row))
    return [_ranked(search, query, near) for query, near in zip(queries, rows_by_query, strict=True)]


def _set(connection: Connection[Any], settings: dict[str, str | None]) -> None:
    """Set settings for the rest of the transaction; None restores the server's own value."""
    calls = "SELECT " + ", ".join(["set_config(%s, %s, true)"] * len(settings))
    connection.execute(calls.encode(), [word for pair in settings.items() for word in pair])


def _ranked(search: VectorSearch, query: Query, rows: Sequence[tuple[Any, ...]]) -> Found | None:
    """Return the closest rows that the graph found; None if it may have missed closer ones."""
    if len(rows) < search.limit:
        return None
    ranked = sorted(_similar(search, query, rows), key=_order(search))
    last = ranked[search.limit - 1][SIMILARITY]
    if ranked[-1][SIMILARITY] == last >= search.threshold:
        # The key decides among rows that tie, and more rows may tie than were fetched.
        return None
    return Found(_above_threshold(search, ranked), False)


def _exact(connection: Connection[Any], search: VectorSearch, query: Query) -> list[Row]:
    """Compare all vectors that pass in single precision, and those that may be among the closest again in double."""
    from psycopg import sql

    # Without this cast, PostgreSQL would round the query to half precision, too.
    cast = "" if search.table.storage == "vector" else "::vector"
    parts = {
        "distance": sql.SQL("(t.{}{} <=> %(_query)s::text::vector)").format(sql.Identifier(EMBEDDING), sql.SQL(cast)),
        "columns": _columns(search),
        "table": in_schema(search.table.name),
        "passes": _passes(search),
    }
    most = search.limit + _EXTRA_EXACT
    values = _values(search) | {"_query": _text(query), "_most": most}
    # With "+ 0", PostgreSQL cannot use the graph for the order.
    statement = "SELECT {distance}, {columns} FROM {table} AS t WHERE {passes} ORDER BY {distance} + 0 LIMIT %(_most)s"
    near = list(binary_rows(connection, sql.SQL(statement).format(**parts), values))
    if not near:
        return []
    farthest = min(near[min(search.limit, len(near)) - 1][0] + 2 * query.margin, 1 - search.threshold + query.margin)
    if len(near) < most or near[-1][0] > farthest:
        candidates: Iterator[tuple[Any, ...]] = (row for row in near if row[0] <= farthest)
    else:
        # Single precision cannot order the nearest rows, and there are more of them than were fetched, such as ties.
        statement = "SELECT {distance}, {columns} FROM {table} AS t WHERE {passes} AND {distance} <= %(_farthest)s"
        candidates = _streamed(connection, sql.SQL(statement).format(**parts), values | {"_farthest": farthest})
    similar = _similar(search, query, (row[1:] for row in candidates))
    return _above_threshold(search, heapq.nsmallest(search.limit, similar, key=_order(search)))


def _above_threshold(search: VectorSearch, ranked: Sequence[Row]) -> list[Row]:
    """Return the first rows, up to the search's limit, that reach its threshold."""
    return [row for row in ranked[: search.limit] if row[SIMILARITY] >= search.threshold]


def _order(search: VectorSearch) -> Any:
    return lambda row: (-row[SIMILARITY], *(row[name] for name in search.table.key_names))


def _similar(search: VectorSearch, query: Query, rows: Any) -> Iterator[Row]:
    """Return the rows with their similarities in double precision instead of their vectors."""
    unit = np.asarray(query.unit)
    for *values, vector in rows:
        numbers = numbers_of(vector, search.table)
        similarity = round(float(numbers @ unit) / math.sqrt(float(numbers @ numbers)), 12)
        row = dict(zip(search.answer_columns, map(in_utc, values), strict=True))
        yield row | {SIMILARITY: similarity}


def _columns(search: VectorSearch) -> Composable:
    from psycopg import sql

    own = {filter.name for filter in search.filters} - set(search.table.key_names)
    values = [
        _valid_value(search, name) if name in own else sql.SQL("t.{}").format(sql.Identifier(name))
        for name in (*search.answer_columns, EMBEDDING)
    ]
    return sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(value, sql.Identifier(f"c{number}")) for number, value in enumerate(values)
    )


def _valid_value(search: VectorSearch, name: str) -> Composable:
    """Return SQL for a filter's value, null if it is older than the group's TTL."""
    from psycopg import sql

    value = sql.SQL("t.{}").format(sql.Identifier(name))
    if not search.table.timed or search.oldest is None:
        return value
    time = sql.Identifier(filter_time(name))
    return sql.SQL("CASE WHEN t.{} >= %(_oldest)s THEN {} END").format(time, value)


def _passes(search: VectorSearch) -> Composed:
    """Return the condition on a row ``t``; ``_values`` has its parameters."""
    from psycopg import sql

    conditions: list[Composable] = [sql.SQL("t.tenant_id = %(_tenant)s")]
    if search.oldest is not None:
        conditions.append(sql.SQL("t.event_timestamp >= %(_oldest)s"))
    for number, filter in enumerate(search.filters):
        column, cast = sql.SQL("t.{}").format(sql.Identifier(filter.name)), sql.SQL(TYPES[filter.word])
        tests = [("= ANY", "any", "[]")] if filter.any_of else [(">=", "low", ""), ("<=", "high", "")]
        conditions += [
            sql.SQL("{} {} (%({})s::{}{})").format(
                column, sql.SQL(operator), sql.SQL(f"{bound}{number}"), cast, sql.SQL(array)
            )
            for operator, bound, array in tests
            if filter.any_of or getattr(filter, bound) is not None
        ]
        if search.table.timed and search.oldest is not None and filter.name in search.table.filter_names:
            conditions.append(sql.SQL("t.{} >= %(_oldest)s").format(sql.Identifier(filter_time(filter.name))))
    return sql.SQL(" AND ").join(conditions)


def _values(search: VectorSearch) -> dict[str, Any]:
    values: dict[str, Any] = {"_tenant": search.tenant_id, "_oldest": search.oldest}
    for number, filter in enumerate(search.filters):
        # PostgreSQL's text cannot contain NUL, so no row has such a value.
        any_of = [value for value in filter.any_of if not (isinstance(value, str) and "\0" in value)]
        values |= {f"any{number}": any_of, f"low{number}": filter.low, f"high{number}": filter.high}
    return values


def _streamed(connection: Connection[Any], statement: Composed, values: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield rows in chunks, because there may be very many."""
    with connection.cursor(name="featurestore_search") as cursor:
        cursor.itersize = _CHUNK
        yield from cursor.execute(statement, values, binary=True)


def _text(query: Query) -> str:
    return "[" + ",".join(map(repr, np.asarray(query.unit, np.float32).tolist())) + "]"
