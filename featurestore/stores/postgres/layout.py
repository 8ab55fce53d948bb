"""Creates and changes the tables of vectors: versioned migrations of the schema, a table's columns, partitions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from featurestore.errors import PostgresError
from featurestore.stores.postgres import security
from featurestore.stores.postgres.tables import (
    EMBEDDING,
    VectorColumn,
    VectorTable,
    find,
    has_partition,
    in_schema,
    names,
    short_name,
    upsert,
)

if TYPE_CHECKING:
    from psycopg import Connection

# Fits in a page of 8 kB with keys and filters, so that a vector is read with its row, not in pieces from elsewhere.
_INLINE_BYTES = 6200
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('featurestore.migrations'))"


def migrate(connection: Connection[Any]) -> None:
    """Bring the schema to the newest version; safe to repeat, and from several processes at once.

    Raises PostgresError if a newer version of this package migrated the schema.
    """
    newest = _MIGRATIONS[-1][0]
    if _version(connection) == newest:
        return
    with connection.transaction():
        connection.execute(_LOCK)
        current = _version(connection)
        if current > newest:
            raise PostgresError(
                f"the schema 'featurestore' is of version {current}, and this package knows {newest}; "
                "install the newer package"
            )
        for version, name, change in _MIGRATIONS:
            if version > current:
                change(connection)
                connection.execute(
                    "INSERT INTO featurestore.migrations (version, name) VALUES (%s, %s)", [version, name]
                )


def _version(connection: Connection[Any]) -> int:
    if connection.execute("SELECT to_regclass('featurestore.migrations')").fetchone() == (None,):
        return 0
    row = connection.execute("SELECT coalesce(max(version), 0) FROM featurestore.migrations").fetchone()
    assert row is not None
    return int(row[0])


def _first(connection: Connection[Any]) -> None:
    security.ensure_schema(connection)
    security.create_or_advise(
        connection,
        "CREATE EXTENSION IF NOT EXISTS vector",
        "an administrator must install pgvector 0.8 or newer on the server, and run once, in this database: "
        "CREATE EXTENSION vector",
    )
    connection.execute(
        "CREATE TABLE featurestore.migrations "
        "(version int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )


def _tables(connection: Connection[Any]) -> None:
    connection.execute(
        "CREATE TABLE featurestore.vector_tables (table_name text PRIMARY KEY, feature_group text NOT NULL, "
        "group_version int NOT NULL, feature text NOT NULL, model_version text NOT NULL, dims int NOT NULL, "
        "storage text NOT NULL, keys jsonb NOT NULL, filters jsonb NOT NULL, nulls text NOT NULL, "
        "timed boolean NOT NULL, m int NOT NULL, ef_construction int NOT NULL, "
        "created_at timestamptz NOT NULL DEFAULT now(), "
        "UNIQUE (feature_group, group_version, feature, model_version))"
    )
    # delta_timestamp: the commit's. synced_at: by the store's clock. next_event_timestamp: the first one in the future.
    connection.execute(
        "CREATE TABLE featurestore.watermarks (table_name text, tenant_id text, delta_table_id text NOT NULL, "
        "delta_version bigint NOT NULL, delta_timestamp timestamptz NOT NULL, synced_at timestamptz NOT NULL, "
        "next_event_timestamp timestamptz, row_count bigint NOT NULL, PRIMARY KEY (table_name, tenant_id))"
    )


def _security(connection: Connection[Any]) -> None:
    security.install(connection)
    security.protect(connection, "watermarks")
    security.grant_read(connection, "vector_tables")


def _erasures(connection: Connection[Any]) -> None:
    connection.execute(
        "CREATE TABLE featurestore.erased_rows (table_name text, tenant_id text, erasure_id text, "
        "row_count bigint NOT NULL, PRIMARY KEY (table_name, tenant_id, erasure_id))"
    )
    security.protect(connection, "erased_rows")


def _marks(connection: Connection[Any]) -> None:
    """Change nothing; the new version stops older packages, which do not remove an erasure's mark when they write."""


_MIGRATIONS: tuple[tuple[int, str, Callable[[Connection[Any]], None]], ...] = (
    (1, "schema, extension, migrations", _first),
    (2, "tables of vectors and watermarks", _tables),
    (3, "tenants kept apart", _security),
    (4, "how many rows erasures deleted", _erasures),
    (5, "partitions that erasures wrote anew are marked", _marks),
)


def ensure_table(connection: Connection[Any], table: VectorTable) -> str | None:
    """Create or change the table to match its definition; returns the change if its rows must be synced again, or None.

    Such a change deletes the watermarks of all tenants: until a tenant is synced again, its searches read Delta.
    """
    # First without a lock, because merges of other tenants lock the tables that they rely on.
    if find(connection, table) == table:
        return None
    with connection.transaction():
        connection.execute(_LOCK)
        current = find(connection, table, "FOR UPDATE")
        if current is None:
            _create(connection, table)
            return None
        if current == table:
            return None
        changed = None
        if not current.same_rows(table):
            changed = _differences(current, table)
            _change(connection, current, table)
            _delete_watermarks(connection, table)
        _register(connection, table)
    return changed


def _differences(old: VectorTable, new: VectorTable) -> str:
    facts = ("dims", "storage", "keys", "filters", "nulls", "timed")
    changes = [
        f"{fact} were {_fact_text(getattr(old, fact))} and are {_fact_text(getattr(new, fact))}"
        for fact in facts
        if getattr(old, fact) != getattr(new, fact)
    ]
    return "the definition changed: " + ", ".join(changes)


def _fact_text(fact: Any) -> str:
    return str(dict(fact)) if isinstance(fact, tuple) else str(fact)


def _change(connection: Connection[Any], current: VectorTable, table: VectorTable) -> None:
    """Add and drop columns of filters; drop and create a table with other dims, storage or keys."""
    from psycopg import sql

    if (current.dims, current.storage, current.keys) != (table.dims, table.storage, table.keys):
        connection.execute(sql.SQL("DROP TABLE {}").format(in_schema(table.name)))
        connection.execute("DELETE FROM featurestore.vector_tables WHERE table_name = %s", [table.name])
        _create(connection, table)
        return
    parent = in_schema(table.name)
    for column in current.filter_columns:
        if column not in table.filter_columns:
            connection.execute(sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(parent, sql.Identifier(column.name)))
    for column in table.filter_columns:
        if column not in current.filter_columns:
            connection.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                    parent, sql.Identifier(column.name), sql.SQL(table.sql_type(column))
                )
            )
            _index(connection, table, column)


def _delete_watermarks(connection: Connection[Any], table: VectorTable) -> None:
    # Forced row-level security would hide the rows of all tenants from the owner.
    connection.execute("ALTER TABLE featurestore.watermarks NO FORCE ROW LEVEL SECURITY")
    connection.execute("DELETE FROM featurestore.watermarks WHERE table_name = %s", [table.name])
    connection.execute("ALTER TABLE featurestore.watermarks FORCE ROW LEVEL SECURITY")


def _create(connection: Connection[Any], table: VectorTable) -> None:
    from psycopg import sql

    not_null = {*table.key_names, "event_timestamp", "created_timestamp", EMBEDDING}
    columns = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(column.name),
            sql.SQL(table.sql_type(column)),
            sql.SQL(" NOT NULL" if column.name in not_null else ""),
        )
        for column in table.columns
    ]
    connection.execute(
        sql.SQL("CREATE TABLE {} (tenant_id text NOT NULL, {}, PRIMARY KEY ({})) PARTITION BY LIST (tenant_id)").format(
            in_schema(table.name), sql.SQL(", ").join(columns), names(["tenant_id", *table.key_names])
        )
    )
    store_inline(connection, table, table.name)
    without_samples(connection, table, table.name)
    for column in table.filter_columns:
        _index(connection, table, column)
    security.protect(connection, table.name)
    _register(connection, table)


def store_inline(connection: Connection[Any], table: VectorTable, name: str) -> None:
    """Store vectors beside the other columns of their row, if they fit in a page."""
    from psycopg import sql

    if table.vector_bytes <= _INLINE_BYTES:
        connection.execute(
            sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET STORAGE PLAIN").format(
                in_schema(name), sql.Identifier(EMBEDDING)
            )
        )


def without_samples(connection: Connection[Any], table: VectorTable, name: str) -> None:
    """Keep keys and vectors out of the planner's statistics, so that no erased value remains in a sample."""
    from psycopg import sql

    for column in (*table.key_names, EMBEDDING):
        connection.execute(
            sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET STATISTICS 0").format(in_schema(name), sql.Identifier(column))
        )


def _index(connection: Connection[Any], table: VectorTable, column: VectorColumn) -> None:
    from psycopg import sql

    if column.name in table.filter_names:
        connection.execute(
            sql.SQL("CREATE INDEX {} ON {} ({})").format(
                sql.Identifier(short_name(f"by {column.name} of {table.name}")),
                in_schema(table.name),
                sql.Identifier(column.name),
            )
        )


def _register(connection: Connection[Any], table: VectorTable) -> None:
    facts = {
        "table_name": table.name,
        "feature_group": table.group,
        "group_version": table.version,
        "feature": table.feature,
        "model_version": table.model,
        "dims": table.dims,
        "storage": table.storage,
        "keys": json.dumps(table.keys),
        "filters": json.dumps(table.filters),
        "nulls": table.nulls,
        "timed": table.timed,
        "m": table.m,
        "ef_construction": table.ef_construction,
    }
    upsert(connection, "vector_tables", ["table_name"], facts)


def ensure_partition(connection: Connection[Any], table: VectorTable, tenant_id: str) -> None:
    """Create the tenant's partition if it is missing, without blocking readers and writers of other partitions."""
    from psycopg import sql

    if has_partition(connection, table, tenant_id):
        return
    name = table.partition(tenant_id)
    partition, parent = in_schema(name), in_schema(table.name)
    with connection.transaction():
        connection.execute(_LOCK)
        connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(partition, parent))
        without_samples(connection, table, name)
        security.protect(connection, table.name, name)
        # Creating it as a partition would block every search of the table; attaching it does not.
        connection.execute(
            sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES IN ({})").format(
                parent, partition, sql.Literal(tenant_id)
            )
        )
