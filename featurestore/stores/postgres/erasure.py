"""Taking entities out of a tenant's table of vectors, to the last byte of its files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from featurestore.errors import PostgresError
from featurestore.stores.postgres.graph import graph_memory
from featurestore.stores.postgres.sync import SyncTarget
from featurestore.stores.postgres.tables import SCHEMA, VectorTable, in_schema

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.errors import Diagnostic
    from psycopg.sql import Identifier

# Of a partition whose files were written anew, and which nobody wrote to since. Any other may hold what was deleted,
# replaced, or undone with a transaction that failed: its bytes stay in pages that nothing refers to.
_CLEAN = "its files hold no row that is gone"
_TRIES = 5


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
        mark_written(target, table)
    return rows


def mark_written(target: SyncTarget, table: VectorTable) -> None:
    """Take the mark away that the partition's files are clean: before rows are changed, and committed before a change
    that may fail, which leaves its rows in the files, too."""
    from psycopg import sql

    name = table.partition(target.tenant_id)
    if _is_clean(target.connection, name):
        target.connection.execute(sql.SQL("COMMENT ON TABLE {} IS NULL").format(in_schema(name)))


def count_erased(target: SyncTarget, table: VectorTable, erasure_id: str, rows: int) -> int:
    """Add rows to those that the erasure deleted in earlier tries, and give the sum; in the deletion's own transaction."""
    told = target.connection.execute(
        "INSERT INTO featurestore.erased_rows AS before (table_name, tenant_id, erasure_id, row_count) "
        "VALUES (%s, %s, %s, %s) ON CONFLICT (table_name, tenant_id, erasure_id) "
        "DO UPDATE SET row_count = before.row_count + excluded.row_count RETURNING row_count",
        [table.name, target.tenant_id, erasure_id, rows],
    ).fetchone()
    assert told is not None
    return int(told[0])


def rewrite(target: SyncTarget, table: VectorTable, tries: int = _TRIES) -> int:
    """Write the partition's files anew, with its indexes, unless nobody wrote to it since; gives the bytes that are fewer.

    A plain VACUUM would leave rows' bytes in the free room of pages. The tenant's searches wait meanwhile. Raises
    PostgresError where other transactions could still see what was deleted; it is to be written anew then, still.
    """
    from psycopg import sql

    name, connection = table.partition(target.tenant_id), target.connection
    partition = in_schema(name)
    if _is_clean(connection, name):
        return 0
    before = _size(connection, name)
    memory = graph_memory(table, before // table.vector_bytes)
    connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", [f"{memory // 1024}kB"])
    _write_anew(connection, partition, tries)
    connection.execute(sql.SQL("ANALYZE {}").format(partition))
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(partition, sql.Literal(_CLEAN)))
    return max(0, before - _size(connection, name))


def rewrite_statistics(connection: Connection[Any], tries: int = _TRIES) -> bool:
    """Write the planner's statistics anew, whose old samples of filters stay in their pages as rows do in a table's.

    Gives whether this role may: a superuser, the database's owner, and from PostgreSQL 17 who has MAINTAIN on them.
    """
    from psycopg import sql

    before = _file_of_statistics(connection)
    _write_anew(connection, sql.Identifier("pg_catalog", "pg_statistic"), tries)
    # One that may not is warned, and the table passed over.
    return _file_of_statistics(connection) != before


def _file_of_statistics(connection: Connection[Any]) -> int:
    told = connection.execute("SELECT pg_relation_filenode('pg_catalog.pg_statistic')").fetchone()
    assert told is not None
    return int(told[0])


class _StillVisibleError(PostgresError):
    """Deleted rows were kept for transactions that are older than the deletion."""


def _write_anew(connection: Connection[Any], table: Identifier, tries: int) -> None:
    """VACUUM FULL, again where transactions that were under way made it keep deleted rows; not for ever."""
    from psycopg import sql

    def write() -> None:
        said: list[str] = []

        def hear(notice: Diagnostic) -> None:
            said.append(notice.message_detail or "")

        connection.add_notice_handler(hear)
        try:
            connection.execute(sql.SQL("VACUUM (FULL, VERBOSE) {}").format(table))
        finally:
            connection.remove_notice_handler(hear)
        # "... dead row versions cannot be removed yet", in whichever language.
        kept = sum(int(found[0]) for detail in said if (found := re.match(r"\D*(\d+)", detail)))
        if kept:
            raise _StillVisibleError(
                f"{kept} deleted rows are still in the files of {table.as_string()}: a transaction that is older than their "
                "deletion, a prepared one or a replica could see them; end it (see pg_stat_activity, pg_prepared_xacts, "
                "pg_replication_slots) and erase again"
            )

    retries = Retrying(
        retry=retry_if_exception_type(_StillVisibleError),
        wait=wait_exponential(max=8),
        stop=stop_after_attempt(tries),
        reraise=True,
    )
    retries(write)


def _is_clean(connection: Connection[Any], name: str) -> bool:
    told = connection.execute(
        "SELECT obj_description(oid, 'pg_class') = %s FROM pg_class WHERE relname = %s AND relnamespace = %s::regnamespace",
        [_CLEAN, name, SCHEMA],
    ).fetchone()
    return told == (True,)


def _size(connection: Connection[Any], name: str) -> int:
    told = connection.execute(
        "SELECT pg_total_relation_size(oid) FROM pg_class WHERE relname = %s AND relnamespace = %s::regnamespace",
        [name, SCHEMA],
    ).fetchone()
    return int(told[0]) if told is not None else 0
