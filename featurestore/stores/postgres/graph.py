"""The HNSW graph of a tenant's vectors: built when its vectors are there, and anew when its parameters change."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from featurestore.stores.postgres.tables import EMBEDDING, SCHEMA, VectorTable, in_schema

if TYPE_CHECKING:
    from psycopg import Connection

# A link is 6 bytes; the layers above the lowest, and what an allocation loses, are the rest (pgvector, hnsw.h).
_BYTES_A_LINK = 8
_BYTES_A_VECTOR = 128
_LEAST_MEMORY, _MOST_MEMORY = 64 * 1024**2, 4 * 1024**3
_MOST_WORKERS = 7
# Below this a worker takes longer to start than to build.
_ROWS_A_WORKER = 10_000


def ensure_graph(connection: Connection[Any], table: VectorTable, tenant_id: str) -> bool:
    """Build the graph that the definition asks for, where it is not there; whether it was built.

    ``connection``: autocommit. A graph of other parameters answers searches until the new one is ready, and is dropped
    then. What an interrupted build left is dropped first. A table of too many dims for a graph has none.
    """
    if not table.has_graph:
        return False
    # A build beside others waits for transactions that may still see what was before, however long they take.
    connection.execute("SELECT set_config('lock_timeout', '0', false)")
    wanted = table.graph(tenant_id)
    there = _graphs(connection, table, tenant_id)
    for name, is_valid in there.items():
        if not is_valid:
            _drop(connection, name)
    others = [name for name, is_valid in there.items() if is_valid and name != wanted]
    built = not there.get(wanted, False)
    if built:
        _build(connection, table, tenant_id, wanted, beside=bool(others))
    for name in others:
        _drop(connection, name)
    return built


def _graphs(connection: Connection[Any], table: VectorTable, tenant_id: str) -> dict[str, bool]:
    """The graphs of a partition, and whether each is whole."""
    found = connection.execute(
        "SELECT index.relname, indisvalid FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid "
        "JOIN pg_class AS part ON part.oid = indrelid JOIN pg_am ON pg_am.oid = index.relam "
        "WHERE amname = 'hnsw' AND part.relname = %s AND part.relnamespace = %s::regnamespace",
        [table.partition(tenant_id), SCHEMA],
    )
    return dict(found.fetchall())


def _drop(connection: Connection[Any], name: str) -> None:
    from psycopg import sql

    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(in_schema(name)))


def _build(connection: Connection[Any], table: VectorTable, tenant_id: str, name: str, beside: bool) -> None:
    """``beside``: a graph that is in use stays so; only then the build is such that it keeps nobody waiting."""
    from psycopg import errors

    rows = _rows(connection, table, tenant_id)
    memory = graph_memory(table, rows)
    workers = min(_MOST_WORKERS, (os.cpu_count() or 1) - 1, rows // _ROWS_A_WORKER)
    try:
        _create(connection, table, tenant_id, name, beside, memory, workers)
    except (errors.DiskFull, errors.OutOfMemory, errors.InsufficientResources):
        # Workers share their memory through a file system that may be small; one process needs none of it.
        _drop(connection, name)
        _create(connection, table, tenant_id, name, beside, _LEAST_MEMORY, 0)


def _rows(connection: Connection[Any], table: VectorTable, tenant_id: str) -> int:
    told = connection.execute(
        "SELECT reltuples::bigint FROM pg_class WHERE relname = %s AND relnamespace = %s::regnamespace",
        [table.partition(tenant_id), SCHEMA],
    ).fetchone()
    return max(0, told[0]) if told is not None else 0


def graph_memory(table: VectorTable, rows: int) -> int:
    """Bytes in which the whole graph is built; one that does not fit is built on disk, many times slower."""
    one = table.vector_bytes + 2 * table.m * _BYTES_A_LINK + _BYTES_A_VECTOR
    return min(_MOST_MEMORY, max(_LEAST_MEMORY, int(rows * one * 1.3)))


def _create(
    connection: Connection[Any],
    table: VectorTable,
    tenant_id: str,
    name: str,
    beside: bool,
    memory: int,
    workers: int,
) -> None:
    from psycopg import sql

    connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", [f"{memory // 1024}kB"])
    connection.execute("SELECT set_config('max_parallel_maintenance_workers', %s, false)", [str(max(0, workers))])
    statement = sql.SQL("CREATE INDEX {} {} ON {} USING hnsw ({} {}) WITH (m = {}, ef_construction = {})").format(
        sql.SQL("CONCURRENTLY" if beside else ""),
        sql.Identifier(name),
        in_schema(table.partition(tenant_id)),
        sql.Identifier(EMBEDDING),
        sql.SQL(f"{table.storage}_cosine_ops"),
        sql.Literal(table.m),
        sql.Literal(table.ef_construction),
    )
    connection.execute(statement)
