"""Taking entities out of a tenant's table of vectors, to the last byte of its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from featurestore.stores.vector_graph import graph_memory
from featurestore.stores.vector_sync import SyncTarget
from featurestore.stores.vector_tables import SCHEMA, VectorTable, in_schema

if TYPE_CHECKING:
    from psycopg import Connection

# Of a partition whose rows were deleted, and whose files were not written anew yet: an interruption came between.
_TO_REWRITE = "erased rows are still in its files"


def delete_entities(target: SyncTarget, table: VectorTable, keys: Sequence[Mapping[str, Any]]) -> int:
    """Delete the rows of entities, by all or some of the join keys, within a transaction that has entered the tenant."""
    from psycopg import sql

    partition = in_schema(table.partition(target.tenant_id))
    rows = 0
    for key in keys:
        same = [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in key]
        statement = sql.SQL("DELETE FROM {} WHERE {}").format(partition, sql.SQL(" AND ").join(same))
        rows += target.connection.execute(statement, list(key.values())).rowcount
    if rows:
        target.connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(partition, sql.Literal(_TO_REWRITE)))
    return rows


def rewrite(target: SyncTarget, table: VectorTable) -> int:
    """Write the partition's files anew, with its indexes, where rows were erased; gives the bytes that are fewer.

    A plain VACUUM would leave rows' bytes in the free room of pages. The tenant's searches wait meanwhile.
    """
    from psycopg import sql

    name, connection = table.partition(target.tenant_id), target.connection
    partition = in_schema(name)
    if not _is_to_be_rewritten(connection, name):
        return 0
    before = _size(connection, name)
    memory = graph_memory(table, before // table.vector_bytes)
    connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", [f"{memory // 1024}kB"])
    connection.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(partition))
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS NULL").format(partition))
    return max(0, before - _size(connection, name))


def _is_to_be_rewritten(connection: Connection[Any], name: str) -> bool:
    told = connection.execute(
        "SELECT obj_description(oid, 'pg_class') = %s FROM pg_class WHERE relname = %s AND relnamespace = %s::regnamespace",
        [_TO_REWRITE, name, SCHEMA],
    ).fetchone()
    return told == (True,)


def _size(connection: Connection[Any], name: str) -> int:
    told = connection.execute(
        "SELECT pg_total_relation_size(oid) FROM pg_class WHERE relname = %s AND relnamespace = %s::regnamespace",
        [name, SCHEMA],
    ).fetchone()
    return int(told[0]) if told is not None else 0
