"""The HNSW graph of a tenant's vectors: built after its vectors are loaded, and rebuilt if its parameters change."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from featurestore.stores.postgres.tables import EMBEDDING, SCHEMA, VectorTable, in_schema

if TYPE_CHECKING:
    from psycopg import Connection

# A link takes 6 bytes; the rest is for the layers above the lowest and for overhead of allocation (pgvector, hnsw.h).
_BYTES_A_LINK = 8
_BYTES_A_VECTOR = 128
_LEAST_MEMORY, _MOST_MEMORY = 64 * 1024**2, 4 * 1024**3
_MOST_WORKERS = 7
# With fewer rows, a worker takes longer to start than to build.
_ROWS_A_WORKER = 10_000


def ensure_graph(connection: Connection[Any], table: VectorTable, tenant_id: str) -> bool:
    """Build the graph that the definition requires if it does not exist; returns whether it was built.

    ``connection`` must be in autocommit. A graph with other parameters answers searches until the new one is ready, and
    is then dropped. Remains of an interrupted build are dropped first. A table with too many dims has no graph.
    """
    if not table.has_graph:
        return False
    # A concurrent build waits for every transaction that may still see the old state, however long it takes.
    connection.execute("SELECT set_config('lock_timeout', '0', false)")
    graph = table.graph(tenant_id)
    existing = _graphs(connection, table, tenant_id)
    for name, is_valid in existing.items():
        if not is_valid:
            _drop(connection, name)
    others = [name for name, is_valid in existing.items() if is_valid and name != graph]
    is_missing = not existing.get(graph, False)
    if is_missing:
        _build(connection, table, tenant_id, graph, concurrently=bool(others))
    for name in others:
        _drop(connection, name)
    return is_missing


def _graphs(connection: Connection[Any], table: VectorTable, tenant_id: str) -> dict[str, bool]:
    """Return the graphs of a partition, and whether each is valid."""
    graphs = connection.execute(
        "SELECT index.relname, indisvalid FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid "
        "JOIN pg_class AS part ON part.oid = indrelid JOIN pg_am ON pg_am.oid = index.relam "
        "WHERE amname = 'hnsw' AND part.relname = %s AND part.relnamespace = %s::regnamespace",
        [table.partition(tenant_id), SCHEMA],
    )
    return dict(graphs.fetchall())


def _drop(connection: Connection[Any], name: str) -> None:
    from psycopg import sql

    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(in_schema(name)))


def _build(connection: Connection[Any], table: VectorTable, tenant_id: str, name: str, concurrently: bool) -> None:
    """Build a graph; ``concurrently`` if another graph stays in use: only then does the build block nobody."""
    from psycopg import errors

    rows = _rows(connection, table, tenant_id)
    memory = graph_memory(table, rows)
    workers = min(_MOST_WORKERS, (os.cpu_count() or 1) - 1, rows // _ROWS_A_WORKER)
    try:
        _create(connection, table, tenant_id, name, concurrently, memory, workers)
    except (errors.DiskFull, errors.OutOfMemory, errors.InsufficientResources):
        # Workers share memory through a file system that may be small; a build without workers does not use it.
        _drop(connection, name)
        _create(connection, table, tenant_id, name, concurrently, _LEAST_MEMORY, 0)


def _rows(connection: Connection[Any], table: VectorTable, tenant_id: str) -> int:
    row = connection.execute(
        "SELECT reltuples::bigint FROM pg_class WHERE relname = %s AND relnamespace = %s::regnamespace",
        [table.partition(tenant_id), SCHEMA],
    ).fetchone()
    return max(0, row[0]) if row is not None else 0


def graph_memory(table: VectorTable, rows: int) -> int:
    """Return the bytes to build the whole graph in; a graph that does not fit is built on disk, many times slower."""
    bytes_per_row = table.vector_bytes + 2 * table.m * _BYTES_A_LINK + _BYTES_A_VECTOR
    return min(_MOST_MEMORY, max(_LEAST_MEMORY, int(rows * bytes_per_row * 1.3)))


def _create(
    connection: Connection[Any],
    table: VectorTable,
    tenant_id: str,
    name: str,
    concurrently: bool,
    memory: int,
    workers: int,
) -> None:
    from psycopg import sql

    connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", [f"{memory // 1024}kB"])
    connection.execute("SELECT set_config('max_parallel_maintenance_workers', %s, false)", [str(max(0, workers))])
    statement = sql.SQL("CREATE INDEX {} {} ON {} USING hnsw ({} {}) WITH (m = {}, ef_construction = {})").format(
        sql.SQL("CONCURRENTLY" if concurrently else ""),
        sql.Identifier(name),
        in_schema(table.partition(tenant_id)),
        sql.Identifier(EMBEDDING),
        sql.SQL(f"{table.storage}_cosine_ops"),
        sql.Literal(table.m),
        sql.Literal(table.ef_construction),
    )
    connection.execute(statement)
