"""Staging tables: they receive the rows of a sync, and are merged into a partition or become the partition itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from featurestore.columnar.values.newest_vectors import MODEL
from featurestore.errors import SyncError
from featurestore.stores.postgres import security
from featurestore.stores.postgres.layout import store_inline, without_samples
from featurestore.stores.postgres.sync import LOCK_TIMEOUT, SyncTarget
from featurestore.stores.postgres.tables import VectorTable, in_schema, names

ATTEMPT = "_attempt"
_STAGING = "staging "
_OF_TENANT = "of tenant"
# The largest row in a B-tree index, compressed: a third of a page of 8 kB.
_MOST_INDEXED_BYTES = 2704


def drop_left_behind(target: SyncTarget) -> list[str]:
    """Drop the staging tables of the same vectors, of this sync and of interrupted ones.

    Returns the tables that could not be dropped because a task of an interrupted sync still writes to them; the next
    sync tries again.
    """
    from psycopg import errors, sql

    remaining = []
    tables = target.connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'featurestore'::regnamespace AND relkind = 'r' "
        "AND starts_with(relname, %s)",
        [_staging_of(target)],
    )
    for (name,) in tables.fetchall():
        try:
            target.connection.execute("SELECT set_config('lock_timeout', '5s', false)")
            target.connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(in_schema(name)))
        except errors.LockNotAvailable:
            remaining.append(name)
        finally:
            target.connection.execute("SELECT set_config('lock_timeout', %s, false)", [LOCK_TIMEOUT])
    return remaining


def _staging_of(target: SyncTarget) -> str:
    return f"{_STAGING}{target.lock_key & (2**64 - 1):016x} "


def create_staging(target: SyncTarget, attachable: bool = False) -> str:
    """Create a staging table; returns its name.

    An ``attachable`` table can become the tenant's partition, so that a first load writes its rows only once. Other
    staging tables are unlogged, because nobody needs their rows after a crash.
    """
    name = f"{_staging_of(target)}{uuid4().hex[:16]}"
    if attachable:
        _create_attachable(target, name)
    else:
        _create_unlogged(target, name)
    store_inline(target.connection, target.table, name)
    without_samples(target.connection, target.table, name)
    return name


def _create_attachable(target: SyncTarget, name: str) -> None:
    from psycopg import sql

    # With this constraint, attaching the table does not scan all rows.
    target.connection.execute(
        sql.SQL("CREATE TABLE {} (LIKE {}, {} bigint NOT NULL, {} text, CONSTRAINT {} CHECK (tenant_id = {}))").format(
            in_schema(name),
            in_schema(target.table.name),
            sql.Identifier(ATTEMPT),
            sql.Identifier(MODEL),
            sql.Identifier(_OF_TENANT),
            sql.Literal(target.tenant_id),
        )
    )
    target.connection.execute(
        sql.SQL("ALTER TABLE {} ALTER COLUMN tenant_id SET DEFAULT {}").format(
            in_schema(name), sql.Literal(target.tenant_id)
        )
    )


def _create_unlogged(target: SyncTarget, name: str) -> None:
    from psycopg import sql

    table = target.table
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(table.sql_type(column)))
        for column in table.columns
    ]
    target.connection.execute(
        sql.SQL("CREATE UNLOGGED TABLE {} ({} bigint NOT NULL, {} text, {})").format(
            in_schema(name), sql.Identifier(ATTEMPT), sql.Identifier(MODEL), sql.SQL(", ").join(columns)
        )
    )


def keep_attempts(target: SyncTarget, staging: str, attempts: Sequence[int], rows: int) -> None:
    """Delete the rows of all other attempts; raises SyncError unless ``rows`` rows remain.

    Other attempts belong to tasks that Spark retried or ran twice (speculative execution).
    """
    from psycopg import sql

    connection, table = target.connection, in_schema(staging)
    count = sql.SQL("SELECT count(*) FROM {}").format(table)
    if connection.execute(count).fetchone() != (rows,):
        connection.execute(
            sql.SQL("DELETE FROM {} WHERE NOT {} = ANY(%s)").format(table, sql.Identifier(ATTEMPT)), [list(attempts)]
        )
        remaining = connection.execute(count).fetchone()
        if remaining != (rows,):
            raise SyncError(
                f"{remaining[0] if remaining else 0} rows were staged, and {rows} were sent; run the sync again"
            )


@contextmanager
def long_texts_as_sync_error(target: SyncTarget, staging: str) -> Iterator[None]:
    """Turn PostgreSQL's refusal of a text that is too long for an index into SyncError, which names the longest one.

    Use it around whole transactions, because it reads the staged rows after a failure.
    """
    from psycopg import errors

    try:
        yield
    except errors.ProgramLimitExceeded as error:
        column, length = _longest_text(target, staging)
        if not column:
            raise
        table = target.table
        is_key = column in table.key_names
        raise SyncError(
            f"{table.group}:{table.feature} of tenant {target.tenant_id!r} was not synced, and PostgreSQL's rows did "
            f"not change: {'join key' if is_key else 'filter'} {column!r} has a text of {length} bytes, and "
            f"PostgreSQL's index holds {_MOST_INDEXED_BYTES} bytes of "
            f"{'the tenant and all join keys together' if is_key else 'a value'}, or more if it can compress them "
            f"({error.diag.message_primary}). "
            + ("Use a shorter key, such as a hash of this one" if is_key else "Remove it from the index's filters")
        ) from None


def _longest_text(target: SyncTarget, staging: str) -> tuple[str, int]:
    """Return the indexed column with the text that takes most space as stored, and its bytes; 0 without texts."""
    from psycopg import sql

    table, texts = target.table, [(0, "", 0)]
    for column in (name for name, word in (*table.keys, *table.filters) if word == "string"):
        longest = target.connection.execute(
            sql.SQL(
                "SELECT pg_column_size({0}), {1}, octet_length({0}) FROM {2} WHERE {0} IS NOT NULL "
                "ORDER BY 1 DESC LIMIT 1"
            ).format(sql.Identifier(column), sql.Literal(column), in_schema(staging))
        )
        texts += longest.fetchall()
    _, column, length = max(texts)
    return column, length


# Attaching replaces a merge if the tenant has no rows yet.


def make_partition_of(target: SyncTarget, table: VectorTable, staging: str) -> None:
    """Give an attachable staging table the columns, key and indexes that a partition of ``table`` has."""
    from psycopg import sql

    place = in_schema(staging)
    target.connection.execute(
        sql.SQL(
            "ALTER TABLE {} DROP COLUMN {}, DROP COLUMN {}, ALTER COLUMN tenant_id DROP DEFAULT, ADD PRIMARY KEY ({})"
        ).format(place, sql.Identifier(ATTEMPT), sql.Identifier(MODEL), names(["tenant_id", *table.key_names]))
    )
    for name in table.filter_names:
        target.connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(place, sql.Identifier(name)))


def attach(target: SyncTarget, table: VectorTable, staging: str) -> None:
    """Make the prepared table the tenant's partition, in a transaction that has entered the tenant; blocks nobody."""
    from psycopg import sql

    name = table.partition(target.tenant_id)
    partition = in_schema(name)
    target.connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(in_schema(staging), sql.Identifier(name)))
    security.protect(target.connection, table.name, name)
    target.connection.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES IN ({})").format(
            in_schema(table.name), partition, sql.Literal(target.tenant_id)
        )
    )
    target.connection.execute(
        sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(partition, sql.Identifier(_OF_TENANT))
    )
