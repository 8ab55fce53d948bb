"""Finds a tenant's tables of vectors that can be searched in PostgreSQL, and reads the vectors of single entities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from featurestore.definitions.values.time_window import in_utc
from featurestore.stores.postgres.tables import EMBEDDING, SCHEMA, TYPES, VectorTable, in_schema, names, registered

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed


@dataclass(frozen=True)
class Searchable:
    """A table synced for a tenant: up to which version of the Delta table, when, and whether it has a graph."""

    table: VectorTable
    delta_version: int
    synced_at: datetime
    rows: int
    has_graph: bool


def searchable(
    connection: Connection[Any], tenant_id: str, group: str, version: int, feature: str
) -> dict[str, Searchable]:
    """Return a feature's tables that were synced for the tenant, by model version.

    The connection's transaction must have entered the tenant.
    """
    tables = {table.name: table for table in registered(connection, group, version, feature)}
    marks = connection.execute(
        "SELECT table_name, delta_version, synced_at, row_count FROM featurestore.watermarks "
        "WHERE tenant_id = %s AND table_name = ANY(%s)",
        [tenant_id, list(tables)],
    ).fetchall()
    graphs = connection.execute(
        "SELECT part.relname FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid "
        "JOIN pg_class AS part ON part.oid = indrelid JOIN pg_am ON pg_am.oid = index.relam "
        "WHERE amname = 'hnsw' AND indisvalid AND part.relnamespace = %s::regnamespace AND part.relname = ANY(%s)",
        [SCHEMA, [table.partition(tenant_id) for table in tables.values()]],
    ).fetchall()
    return {
        tables[name].model: Searchable(
            tables[name], delta, synced_at.astimezone(UTC), rows, (tables[name].partition(tenant_id),) in graphs
        )
        for name, delta, synced_at, rows in marks
    }


def own_vectors(
    connection: Connection[Any],
    table: VectorTable,
    tenant_id: str,
    entities: Sequence[dict[str, Any]],
    oldest: datetime | None,
) -> list[tuple[datetime, datetime, list[float]] | None]:
    """Return each entity's event timestamp, created timestamp and vector; None if it has no vector since ``oldest``.

    The bound is inclusive; None means no bound.
    """
    from psycopg import sql

    keys = [sql.SQL("{}::{}[]").format(sql.Placeholder(name), sql.SQL(TYPES[word])) for name, word in table.keys]
    same_keys = [sql.SQL("t.{0} = q.{0}").format(sql.Identifier(name)) for name in table.key_names]
    rows = binary_rows(
        connection,
        sql.SQL(
            "SELECT q._n, t.event_timestamp, t.created_timestamp, t.{vector} FROM unnest({keys}) WITH ORDINALITY "
            "AS q({names}, _n) JOIN {table} AS t ON {same} WHERE t.tenant_id = %(_tenant)s AND {valid}"
        ).format(
            vector=sql.Identifier(EMBEDDING),
            keys=sql.SQL(", ").join(keys),
            names=names(table.key_names),
            table=in_schema(table.name),
            same=sql.SQL(" AND ").join(same_keys),
            valid=sql.SQL("true" if oldest is None else "t.event_timestamp >= %(_oldest)s"),
        ),
        {
            "_tenant": tenant_id,
            "_oldest": oldest,
            **{name: [entity[name] for entity in entities] for name in table.key_names},
        },
    )
    vectors: list[tuple[datetime, datetime, list[float]] | None] = [None] * len(entities)
    for number, event, created, vector in rows:
        vectors[number - 1] = (in_utc(event), in_utc(created), numbers_of(vector, table).tolist())
    return vectors


def binary_rows(connection: Connection[Any], statement: Composed, values: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    with connection.cursor(binary=True) as cursor:
        yield from cursor.execute(statement, values)


def numbers_of(vector: bytes, table: VectorTable) -> np.ndarray[Any, Any]:
    """Decode a vector in pgvector's format: the number of dims, two unused bytes, and the numbers, big-endian."""
    return np.frombuffer(vector, ">f4" if table.storage == "vector" else ">f2", offset=4).astype(np.float64)
