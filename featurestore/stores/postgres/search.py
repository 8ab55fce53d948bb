"""The nearest vectors in a tenant's table: by its graph where that is faster, by comparing all that pass where it is not.

What comes from PostgreSQL is a few more than asked for, with their vectors; their similarities are counted again here, in
double precision, so that they are the numbers, and the order, that any exact search gives.
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

# Fetched beside those asked for: their order in single (or half) precision is not quite that in double.
_BESIDE = 10
_BESIDE_EXACT = 50
_FEWEST_FOR_GRAPH = 1000
# A vector reached through the graph takes some four times as long as one that is compared in a row of others.
_GRAPH_TO_SCAN = 4
_LEAST_EF, _MOST_EF = 100, 1000
# The planner's costs know little of graphs, and it has been decided already that one is to be used.
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
    """What is searched, and among whom: rows of event timestamps from ``oldest`` on that pass the filters."""

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
    def kept(self) -> tuple[str, ...]:
        """The columns of an answer, before the vector: keys, times, and the values of filters that are no keys."""
        others = [one.name for one in self.filters if one.name not in self.table.key_names]
        return (*self.table.key_names, *TIMES, *others)


@dataclass(frozen=True)
class Found:
    """The matches of one query, most similar first, ties by key; ``exact``: every vector that passes was compared."""

    rows: list[Row]
    exact: bool


def nearest(connection: Connection[Any], search: VectorSearch, queries: Sequence[Query]) -> list[Found]:
    """The matches of each query, in the queries' order; all that the graph answers come in one round trip."""
    passing = None if search.exact or not search.searchable.has_graph else _passing(connection, search)
    if passing is None or passing <= _fewest_for_graph(search):
        return [Found(_exact(connection, search, query), True) for query in queries]
    found = _by_graph(connection, search, queries, passing)
    if None in found:
        # What the graph does not find is there all the same: where a filter keeps few, or vectors tie.
        _set(connection, dict.fromkeys(_GRAPH))
    return [
        Found(_exact(connection, search, query), True) if one is None else one
        for query, one in zip(queries, found, strict=True)
    ]


def _wanted(search: VectorSearch) -> int:
    return search.limit + search.limit // 2 + _BESIDE


def _fewest_for_graph(search: VectorSearch) -> int:
    """How many are as quick to compare one by one as to find through the graph, which walks past those that do not pass.

    The graph visits ``wanted * rows / passing`` vectors to find ``wanted`` that pass; a scan compares ``passing``.
    """
    return max(_FEWEST_FOR_GRAPH, math.isqrt(_GRAPH_TO_SCAN * _wanted(search) * search.searchable.rows))


def _passing(connection: Connection[Any], search: VectorSearch) -> int:
    """About how many rows pass. The planner's guess costs no reading; where it is wrong, the answer takes longer."""
    if not search.filters and search.oldest is None:
        return search.searchable.rows
    from psycopg import sql

    told = connection.execute(
        sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} AS t WHERE {}").format(
            in_schema(search.table.name), _passes(search)
        ),
        _values(search),
    ).fetchone()
    assert told is not None
    return int(told[0][0]["Plan"]["Plan Rows"])


def _by_graph(
    connection: Connection[Any], search: VectorSearch, queries: Sequence[Query], passing: int
) -> list[Found | None]:
    """The matches of each query; None where the graph did not tell all that it should have."""
    from psycopg import sql

    visited = 2 * _wanted(search) * search.searchable.rows // max(1, passing)
    _set(connection, {**_GRAPH, "hnsw.ef_search": str(min(_MOST_EF, max(_LEAST_EF, visited)))})
    rows = binary_rows(
        connection,
        sql.SQL(
            "SELECT q.n, near.* FROM unnest(%(_queries)s::text[]::{storage}[]) WITH ORDINALITY AS q(v, n) "
            "CROSS JOIN LATERAL (SELECT {columns} FROM {table} AS t WHERE {passes} ORDER BY t.{vector} <=> q.v "
            "LIMIT %(_wanted)s) AS near"
        ).format(
            storage=sql.SQL(search.table.storage),
            columns=_columns(search),
            table=in_schema(search.table.name),
            passes=_passes(search),
            vector=sql.Identifier(EMBEDDING),
        ),
        _values(search) | {"_queries": [_text(query) for query in queries], "_wanted": _wanted(search)},
    )
    of_query: list[list[tuple[Any, ...]]] = [[] for _ in queries]
    for number, *row in rows:
        of_query[number - 1].append(tuple(row))
    return [_ranked(search, query, found) for query, found in zip(queries, of_query, strict=True)]


def _set(connection: Connection[Any], settings: dict[str, str | None]) -> None:
    """For the rest of the transaction; none is the server's own again."""
    calls = "SELECT " + ", ".join(["set_config(%s, %s, true)"] * len(settings))
    connection.execute(calls.encode(), [word for pair in settings.items() for word in pair])


def _ranked(search: VectorSearch, query: Query, rows: Sequence[tuple[Any, ...]]) -> Found | None:
    """The closest of what the graph found; None where others may belong in their place."""
    if len(rows) < search.limit:
        return None
    ranked = sorted(_similar(search, query, rows), key=_order(search))
    last = ranked[search.limit - 1][SIMILARITY]
    if ranked[-1][SIMILARITY] == last >= search.threshold:
        # All that tie are to be told apart by key, and more may tie than were fetched.
        return None
    return Found(_kept(search, ranked), False)


def _exact(connection: Connection[Any], search: VectorSearch, query: Query) -> list[Row]:
    """All that pass are compared, in single precision; those that may be among the closest, again in double."""
    from psycopg import sql

    # What is kept in half precision is compared with the query as it is, not with a half of it.
    cast = "" if search.table.storage == "vector" else "::vector"
    parts = {
        "distance": sql.SQL("(t.{}{} <=> %(_query)s::text::vector)").format(sql.Identifier(EMBEDDING), sql.SQL(cast)),
        "columns": _columns(search),
        "table": in_schema(search.table.name),
        "passes": _passes(search),
    }
    most = search.limit + _BESIDE_EXACT
    values = _values(search) | {"_query": _text(query), "_most": most}
    # Plus zero: no graph has this order.
    statement = "SELECT {distance}, {columns} FROM {table} AS t WHERE {passes} ORDER BY {distance} + 0 LIMIT %(_most)s"
    near = list(binary_rows(connection, sql.SQL(statement).format(**parts), values))
    if not near:
        return []
    farthest = min(near[min(search.limit, len(near)) - 1][0] + 2 * query.margin, 1 - search.threshold + query.margin)
    if len(near) < most or near[-1][0] > farthest:
        found: Iterator[tuple[Any, ...]] = (row for row in near if row[0] <= farthest)
    else:
        # More are too near to tell in single precision than were fetched: many vectors that tie, for one.
        statement = "SELECT {distance}, {columns} FROM {table} AS t WHERE {passes} AND {distance} <= %(_farthest)s"
        found = _streamed(connection, sql.SQL(statement).format(**parts), values | {"_farthest": farthest})
    ranked = heapq.nsmallest(search.limit, _similar(search, query, (row[1:] for row in found)), key=_order(search))
    return _kept(search, ranked)


def _kept(search: VectorSearch, ranked: Sequence[Row]) -> list[Row]:
    return [row for row in ranked[: search.limit] if row[SIMILARITY] >= search.threshold]


def _order(search: VectorSearch) -> Any:
    return lambda row: (-row[SIMILARITY], *(row[name] for name in search.table.key_names))


def _similar(search: VectorSearch, query: Query, rows: Any) -> Iterator[Row]:
    """The rows with their similarities in double precision, in place of their vectors."""
    unit = np.asarray(query.unit)
    for *values, vector in rows:
        numbers = numbers_of(vector, search.table)
        similarity = round(float(numbers @ unit) / math.sqrt(float(numbers @ numbers)), 12)
        told = dict(zip(search.kept, map(in_utc, values), strict=True))
        yield told | {SIMILARITY: similarity}


def _columns(search: VectorSearch) -> Composable:
    from psycopg import sql

    own = {one.name for one in search.filters} - set(search.table.key_names)
    told = [
        _valid_value(search, name) if name in own else sql.SQL("t.{}").format(sql.Identifier(name))
        for name in (*search.kept, EMBEDDING)
    ]
    return sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(value, sql.Identifier(f"c{number}")) for number, value in enumerate(told)
    )


def _valid_value(search: VectorSearch, name: str) -> Composable:
    """A filter's value, null where it has outlived the group's TTL."""
    from psycopg import sql

    value = sql.SQL("t.{}").format(sql.Identifier(name))
    if not search.table.timed or search.oldest is None:
        return value
    time = sql.Identifier(filter_time(name))
    return sql.SQL("CASE WHEN t.{} >= %(_oldest)s THEN {} END").format(time, value)


def _passes(search: VectorSearch) -> Composed:
    """The condition on a row ``t``; its values are those of ``_values``."""
    from psycopg import sql

    conditions: list[Composable] = [sql.SQL("t.tenant_id = %(_tenant)s")]
    if search.oldest is not None:
        conditions.append(sql.SQL("t.event_timestamp >= %(_oldest)s"))
    for number, one in enumerate(search.filters):
        column, cast = sql.SQL("t.{}").format(sql.Identifier(one.name)), sql.SQL(TYPES[one.word])
        told = [("= ANY", "any", "[]")] if one.any_of else [(">=", "low", ""), ("<=", "high", "")]
        conditions += [
            sql.SQL("{} {} (%({})s::{}{})").format(
                column, sql.SQL(sign), sql.SQL(f"{end}{number}"), cast, sql.SQL(several)
            )
            for sign, end, several in told
            if one.any_of or getattr(one, end) is not None
        ]
        if search.table.timed and search.oldest is not None and one.name in search.table.filter_names:
            conditions.append(sql.SQL("t.{} >= %(_oldest)s").format(sql.Identifier(filter_time(one.name))))
    return sql.SQL(" AND ").join(conditions)


def _values(search: VectorSearch) -> dict[str, Any]:
    values: dict[str, Any] = {"_tenant": search.tenant_id, "_oldest": search.oldest}
    for number, one in enumerate(search.filters):
        # PostgreSQL's text holds no NUL, so no row has one.
        any_of = [value for value in one.any_of if not (isinstance(value, str) and "\0" in value)]
        values |= {f"any{number}": any_of, f"low{number}": one.low, f"high{number}": one.high}
    return values


def _streamed(connection: Connection[Any], statement: Composed, values: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Rows that may be very many, some at a time."""
    with connection.cursor(name="featurestore_search") as cursor:
        cursor.itersize = _CHUNK
        yield from cursor.execute(statement, values, binary=True)


def _text(query: Query) -> str:
    return "[" + ",".join(map(repr, np.asarray(query.unit, np.float32).tolist())) + "]"
