"""Erases entities from a tenant's table of vectors, including their bytes in its files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from featurestore.errors import PostgresError
from featurestore.stores.postgres.graph import graph_memory
from featurestore.stores.postgres.sync import SyncTarget
from featurestore.stores.postgres.tables import SCHEMA, VectorTable, in_schema

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.errors import Diagnostic
    from psycopg.sql import Identifier

# Marks a partition with rewritten files that nobody wrote to since. Files of any other partition may still contain rows
# that were deleted, replaced, or rolled back: their bytes stay in pages that nothing refers to.
_CLEAN = "its files hold no row that is gone"
_TRIES = 5


def delete_entities(target: SyncTarget, table: VectorTable, keys: Sequence[Mapping[str, Any]]) -> int:
    """Delete entities' rows, matched by all or some join keys; the transaction must have entered the tenant."""
    from psycopg import sql

    partition = in_schema(table.partition(target.tenant_id))
    rows = 0
    for key in keys:
        conditions = [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in key]
        statement = sql.SQL("DELETE FROM {} WHERE {}").format(partition, sql.SQL(" AND ").join(conditions))
        rows += target.connection.execute(statement, list(key.values())).rowcount
    if rows:
        mark_written(target, table)
    return rows


def mark_written(target: SyncTarget, table: VectorTable) -> None:
    """Remove the mark that the partition's files are clean, before rows are changed.

    Commit this before a change that may fail, because a failed change leaves its rows in the files, too.
    """
    from psycopg import sql

    name = table.partition(target.tenant_id)
    if _is_clean(target.connection, name):
        target.connection.execute(sql.SQL("COMMENT ON TABLE {} IS NULL").format(in_schema(name)))


def count_erased(target: SyncTarget, table: VectorTable, erasure_id: str, rows: int) -> int:
    """Add to the number of rows that the erasure deleted in earlier tries, and return the sum.

    Runs in the transaction of the deletion.
    """
    total = target.connection.execute(
        "INSERT INTO featurestore.erased_rows AS before (table_name, tenant_id, erasure_id, row_count) "
        "VALUES (%s, %s, %s, %s) ON CONFLICT (table_name, tenant_id, erasure_id) "
        "DO UPDATE SET row_count = before.row_count + excluded.row_count RETURNING row_count",
        [table.name, target.tenant_id, erasure_id, rows],
    ).fetchone()
    assert total is not None
    return int(total[0])


def rewrite(target: SyncTarget, table: VectorTable, tries: int = _TRIES) -> int:
    """Rewrite the partition's files and indexes, unless nobody wrote to it since the last time; returns bytes freed.

    A plain VACUUM would leave rows' bytes in the free space of pages. The tenant's searches wait meanwhile. Raises
    PostgresError if other transactions could still see deleted rows; then the partition must still be rewritten.
    """
    from psycopg import sql

    name, connection = table.partition(target.tenant_id), target.connection
    partition = in_schema(name)
    if _is_clean(connection, name):
        return 0
    before = _size(connection, name)
    memory = graph_memory(table, before // table.vector_bytes)
    connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", [f"{memory // 1024}kB"])
    _vacuum_full(connection, partition, tries)
    connection.execute(sql.SQL("ANALYZE {}").format(partition))
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(partition, sql.Literal(_CLEAN)))
    return max(0, before - _size(connection, name))


def rewrite_statistics(connection: Connection[Any], tries: int = _TRIES) -> bool:
    """Rewrite the planner's statistics: like a table's pages, theirs keep old samples of filters' values.

    Returns whether this role may: a superuser, the database's owner, or from PostgreSQL 17 a role with MAINTAIN.
    """
    from psycopg import sql

    before = _statistics_file(connection)
    _vacuum_full(connection, sql.Identifier("pg_catalog", "pg_statistic"), tries)
    # If the role may not, PostgreSQL warns and skips the table.
    return _statistics_file(connection) != before


def _statistics_file(connection: Connection[Any]) -> int:
    row = connection.execute("SELECT pg_relation_filenode('pg_catalog.pg_statistic')").fetchone()
    assert row is not None
    return int(row[0])


class _StillVisibleError(PostgresError):
    """PostgreSQL kept deleted rows for transactions that are older than the deletion."""


def _vacuum_full(connection: Connection[Any], table: Identifier, tries: int) -> None:
    """Run VACUUM FULL, and repeat it a few times while older transactions make it keep deleted rows."""
    from psycopg import sql

    def vacuum() -> None:
        details: list[str] = []

        def collect(notice: Diagnostic) -> None:
            details.append(notice.message_detail or "")

        connection.add_notice_handler(collect)
        try:
            connection.execute(sql.SQL("VACUUM (FULL, VERBOSE) {}").format(table))
        finally:
            connection.remove_notice_handler(collect)
        # "... dead row versions cannot be removed yet", in any language.
        remaining = sum(int(match[1]) for detail in details if (match := re.match(r"\D*(\d+)", detail)))
        if remaining:
            raise _StillVisibleError(
                f"{remaining} deleted rows are still in the files of {table.as_string()}: a transaction that is older "
                "than their deletion, a prepared one or a replica could see them; end it (see pg_stat_activity, "
                "pg_prepared_xacts, pg_replication_slots) and erase again"
            )

    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    retries = Retrying(
        retry=retry_if_exception_type(_StillVisibleError),
        wait=wait_exponential(max=8),
        stop=stop_after_attempt(tries),
        reraise=True,
    )
    retries(vacuum)


def _is_clean(connection: Connection[Any], name: str) -> bool:
    row = connection.execute(
        "SELECT obj_description(oid, 'pg_class') = %s FROM pg_class "
        "WHERE relname = %s AND relnamespace = %s::regnamespace",
        [_CLEAN, name, SCHEMA],
    ).fetchone()
    return row == (True,)


def _size(connection: Connection[Any], name: str) -> int:
    row = connection.execute(
        "SELECT pg_total_relation_size(oid) FROM pg_class WHERE relname = %s AND relnamespace = %s::regnamespace",
        [name, SCHEMA],
    ).fetchone()
    return int(row[0]) if row is not None else 0
