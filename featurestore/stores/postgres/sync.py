"""Merges staged rows into a tenant's tables of vectors: lock, merge, watermarks, fingerprints."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from featurestore.columnar.values.newest_vectors import MODEL
from featurestore.errors import SyncError
from featurestore.stores.postgres.rows import bucket_sql, row_hash_sql
from featurestore.stores.postgres.tables import VectorTable, find, in_schema, names, registered, upsert

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable

# How long a change of a table's columns, or a drop, waits for searches and other syncs before it fails.
LOCK_TIMEOUT = "60s"
_LONGEST_SYNC = "30min"


@dataclass(frozen=True)
class Watermark:
    """The version of a Delta table up to which a tenant's rows in a table of vectors are synced.

    ``delta_timestamp`` is the time of that version's commit. ``synced_at`` is by the store's clock; rows with a later
    event timestamp were left out, and ``next_event_timestamp`` is the earliest of theirs, None without such rows.
    """

    delta_table_id: str
    delta_version: int
    delta_timestamp: datetime
    synced_at: datetime
    next_event_timestamp: datetime | None


@dataclass(frozen=True)
class Merged:
    """What a merge changed in one table, and how many rows the tenant has there now."""

    model: str
    upserted: int
    deleted: int
    rows: int


@dataclass(frozen=True)
class SyncTarget:
    """A feature's tables of one tenant, and the connection that writes them."""

    connection: Connection[Any]
    tenant_id: str
    table: VectorTable

    @property
    def lock_key(self) -> int:
        return lock_key(self.table.group, self.table.version, self.table.feature, self.tenant_id)

    def tables(self) -> list[VectorTable]:
        """Return the feature's tables of every model version, as they are in the database."""
        return registered(self.connection, self.table.group, self.table.version, self.table.feature)


def lock_key(group: str, version: int, feature: str, tenant_id: str) -> int:
    """Return the key of the advisory lock on a feature's vectors of one tenant."""
    text = f"{group}_v{version}:{feature}@{tenant_id}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big", signed=True)


def this_process() -> str:
    """Return the name by which a connection identifies this process."""
    return f"featurestore sync by process {os.getpid()} on {socket.gethostname()}"[:63]


@contextmanager
def locked(target: SyncTarget, wait: bool = False) -> Iterator[None]:
    """Lock out other writers of the tenant's vectors of the feature; raises SyncError that names the current holder.

    With ``wait``, wait for the holder to finish. The connection owns the lock, so the lock ends with the connection or
    the process.
    """
    connection, key = target.connection, target.lock_key
    connection.execute("SELECT set_config('application_name', %s, false)", [this_process()])
    connection.execute("SELECT set_config('lock_timeout', %s, false)", [LOCK_TIMEOUT])
    if wait:
        connection.execute("SELECT set_config('lock_timeout', %s, false)", [_LONGEST_SYNC])
        connection.execute("SELECT pg_advisory_lock(%s)", [key])
    elif connection.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone() != (True,):
        raise SyncError(
            f"{target.table.group}:{target.table.feature} of tenant {target.tenant_id!r} is being synced already, by "
            f"{_holder(connection, key)}; wait for its end, or end that process"
        )
    try:
        yield
    finally:
        if not connection.broken and not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", [key])


def _holder(connection: Connection[Any], key: int) -> str:
    holder = connection.execute(
        "SELECT pid, application_name, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND (classid::bigint << 32 | objid::bigint) = %s",
        [key],
    ).fetchone()
    if holder is None:
        return "a sync that has just ended"
    pid, name, since = holder
    process = name.removeprefix("featurestore sync by ")
    return f"{process} (PostgreSQL's process {pid}, since {since.astimezone(UTC):%Y-%m-%d %H:%M:%SZ})"


def read_watermark(target: SyncTarget) -> Watermark | None:
    """Return the watermark of the tenant's tables of the feature; None if the target's table was never synced.

    All tables of a feature are synced together, so they have the same watermark. The transaction must have entered the
    tenant.
    """
    row = target.connection.execute(
        "SELECT delta_table_id, delta_version, delta_timestamp, synced_at, next_event_timestamp "
        "FROM featurestore.watermarks WHERE table_name = %s AND tenant_id = %s",
        [target.table.name, target.tenant_id],
    ).fetchone()
    if row is None:
        return None
    fields: list[Any] = [value.astimezone(UTC) if isinstance(value, datetime) else value for value in row]
    return Watermark(*fields)


# The functions of a merge all run in one transaction that has entered the tenant.


def require_unchanged(target: SyncTarget, tables: Sequence[VectorTable]) -> None:
    """Raise SyncError if a table changed since rows were staged; locks the tables until the end of the transaction."""
    for table in tables:
        current = find(target.connection, table, "FOR SHARE")
        if current is None or not current.same_rows(table):
            raise SyncError(f"table {table.name!r} was changed by another definition meanwhile; run the sync again")


def merge(
    target: SyncTarget, table: VectorTable, staging: str, whole: bool, buckets: Sequence[int] | None = None
) -> Merged:
    """Merge the staged rows of one model version into the tenant's partition; equal rows are not touched.

    With ``whole``, the staged rows are all rows (in these ``buckets``), and the merge deletes all others. Without it,
    they belong to some entities, with at least one row for each: the merge deletes other rows of these entities, and
    keeps all other entities.
    """
    from psycopg import sql

    connection = target.connection
    partition, source = in_schema(table.partition(target.tenant_id)), in_schema(staging)
    columns = [column.name for column in table.columns]
    values = [name for name in columns if name not in table.key_names]
    of_model = sql.SQL("{} = {}").format(sql.Identifier(MODEL), sql.Literal(table.model))
    same_key = _all_equal("p", "s", table.key_names)
    stale = sql.SQL("NOT EXISTS (SELECT FROM {} AS s WHERE {} AND {})").format(source, same_key, of_model)
    if not whole:
        stale = sql.SQL("{} AND EXISTS (SELECT FROM {} AS s WHERE {})").format(stale, source, same_key)
    if buckets is not None:
        stale = sql.SQL("{} AND {} = ANY({})").format(stale, bucket_sql(table), sql.Literal(list(buckets)))
    deleted = connection.execute(sql.SQL("DELETE FROM {} AS p WHERE {}").format(partition, stale)).rowcount
    insert = sql.SQL("INSERT INTO {} AS p (tenant_id, {}) SELECT {}, {} FROM {} WHERE {}").format(
        partition, names(columns), sql.Literal(target.tenant_id), names(columns), source, of_model
    )
    on_conflict = sql.SQL("ON CONFLICT (tenant_id, {}) DO UPDATE SET {} WHERE ({}) IS DISTINCT FROM ({})").format(
        names(table.key_names),
        sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in values),
        sql.SQL(", ").join(sql.Identifier("p", name) for name in values),
        sql.SQL(", ").join(sql.Identifier("excluded", name) for name in values),
    )
    upserted = connection.execute(sql.SQL("{} {}").format(insert, on_conflict)).rowcount
    count = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(partition)).fetchone()
    assert count is not None
    return Merged(table.model, upserted, deleted, count[0])


def _all_equal(left: str, right: str, columns: Sequence[str]) -> Composable:
    from psycopg import sql

    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(left, name), sql.Identifier(right, name)) for name in columns
    )


def write_watermark(target: SyncTarget, table: VectorTable, watermark: Watermark, rows: int) -> None:
    facts = {
        "table_name": table.name,
        "tenant_id": target.tenant_id,
        "delta_table_id": watermark.delta_table_id,
        "delta_version": watermark.delta_version,
        "delta_timestamp": watermark.delta_timestamp,
        "synced_at": watermark.synced_at,
        "next_event_timestamp": watermark.next_event_timestamp,
        "row_count": rows,
    }
    upsert(target.connection, "watermarks", ["table_name", "tenant_id"], facts)


def analyze(target: SyncTarget, name: str) -> None:
    """Update the planner's statistics of a partition or a staging table."""
    from psycopg import sql

    target.connection.execute(sql.SQL("ANALYZE {}").format(in_schema(name)))


def fingerprints(target: SyncTarget, table: VectorTable) -> dict[int, tuple[int, int]]:
    """Return, for each bucket of keys with rows, the number of the tenant's rows and the sum of their hashes."""
    from psycopg import sql

    buckets = target.connection.execute(
        sql.SQL("SELECT {}, count(*), sum({}) FROM {} GROUP BY 1").format(
            bucket_sql(table), row_hash_sql(table), in_schema(table.partition(target.tenant_id))
        )
    )
    return {bucket: (rows, int(total)) for bucket, rows, total in buckets.fetchall()}
