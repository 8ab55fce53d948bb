"""Bringing staged rows into a tenant's tables of vectors: lock, merge, watermarks, fingerprints."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from featurestore.errors import SyncError
from featurestore.frames.vectors.newest_vectors import MODEL
from featurestore.stores.postgres.rows import bucket_sql, row_hash_sql
from featurestore.stores.postgres.tables import VectorTable, find, in_schema, names, registered, upsert

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable

# How long a change of a table's columns, or a drop, waits for searches and other syncs before it gives up.
LOCK_TIMEOUT = "60s"
_LONGEST_SYNC = "30min"


@dataclass(frozen=True)
class Watermark:
    """Up to which version of which Delta table a tenant's rows of a table of vectors are.

    ``delta_timestamp``: of that version's commit. ``synced_at``: by the store's clock; rows with a later event timestamp
    were left out, the first of which is of ``next_event_timestamp``.
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
    """A feature's tables of one tenant, and the connection by which they are written."""

    connection: Connection[Any]
    tenant_id: str
    table: VectorTable

    @property
    def lock_key(self) -> int:
        return lock_key(self.table.group, self.table.version, self.table.feature, self.tenant_id)

    def tables(self) -> list[VectorTable]:
        """Of every model version that there is, as they are in the database."""
        return registered(self.connection, self.table.group, self.table.version, self.table.feature)


def lock_key(group: str, version: int, feature: str, tenant_id: str) -> int:
    """The key of the advisory lock on a feature's vectors of one tenant."""
    text = f"{group}_v{version}:{feature}@{tenant_id}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big", signed=True)


def this_process() -> str:
    """How a connection names who holds it."""
    return f"featurestore sync by process {os.getpid()} on {socket.gethostname()}"[:63]


@contextmanager
def locked(target: SyncTarget, wait: bool = False) -> Iterator[None]:
    """Alone among those who write the feature's vectors of the tenant; raises SyncError, which names who else does.

    ``wait``: until the other is done. The lock is the connection's: it goes when the process, or the connection, does.
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
    found = connection.execute(
        "SELECT pid, application_name, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND (classid::bigint << 32 | objid::bigint) = %s",
        [key],
    ).fetchone()
    if found is None:
        return "a sync that has just ended"
    pid, name, since = found
    return f"{name.removeprefix('featurestore sync by ')} (PostgreSQL's process {pid}, since {since.astimezone(UTC):%Y-%m-%d %H:%M:%SZ})"


def read_watermark(target: SyncTarget) -> Watermark | None:
    """Of all of the feature's tables that the tenant has rows in; none where the feature's own was never synced.

    Within a transaction that has entered the tenant. Tables are synced together, so they agree.
    """
    row = target.connection.execute(
        "SELECT delta_table_id, delta_version, delta_timestamp, synced_at, next_event_timestamp "
        "FROM featurestore.watermarks WHERE table_name = %s AND tenant_id = %s",
        [target.table.name, target.tenant_id],
    ).fetchone()
    if row is None:
        return None
    told: list[Any] = [part.astimezone(UTC) if isinstance(part, datetime) else part for part in row]
    return Watermark(*told)


# Merge: all within one transaction that has entered the tenant.


def require_unchanged(target: SyncTarget, tables: Sequence[VectorTable]) -> None:
    """Raise SyncError where a table is not as it was when rows were staged; it stays so to the transaction's end."""
    for table in tables:
        there = find(target.connection, table, "FOR SHARE")
        if there is None or not there.same_rows(table):
            raise SyncError(f"table {table.name!r} was changed by another definition meanwhile; run the sync again")


def merge(
    target: SyncTarget, table: VectorTable, staging: str, whole: bool, buckets: Sequence[int] | None = None
) -> Merged:
    """Put the staged rows of one model version into the tenant's partition; rows that are the same are not touched.

    ``whole``: the staged rows are all there are (in these ``buckets``), and others go. Without it they are of some
    entities, each of which has a row at least: what these have beside goes, and other entities stay.
    """
    from psycopg import sql

    connection = target.connection
    partition, place = in_schema(table.partition(target.tenant_id)), in_schema(staging)
    columns = [column.name for column in table.columns]
    values = [name for name in columns if name not in table.key_names]
    mine = sql.SQL("{} = {}").format(sql.Identifier(MODEL), sql.Literal(table.model))
    same_key = _all_equal("p", "s", table.key_names)
    gone = sql.SQL("NOT EXISTS (SELECT FROM {} AS s WHERE {} AND {})").format(place, same_key, mine)
    if not whole:
        gone = sql.SQL("{} AND EXISTS (SELECT FROM {} AS s WHERE {})").format(gone, place, same_key)
    if buckets is not None:
        gone = sql.SQL("{} AND {} = ANY({})").format(gone, bucket_sql(table), sql.Literal(list(buckets)))
    deleted = connection.execute(sql.SQL("DELETE FROM {} AS p WHERE {}").format(partition, gone)).rowcount
    insert = sql.SQL("INSERT INTO {} AS p (tenant_id, {}) SELECT {}, {} FROM {} WHERE {}").format(
        partition, names(columns), sql.Literal(target.tenant_id), names(columns), place, mine
    )
    on_conflict = sql.SQL("ON CONFLICT (tenant_id, {}) DO UPDATE SET {} WHERE ({}) IS DISTINCT FROM ({})").format(
        names(table.key_names),
        sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in values),
        sql.SQL(", ").join(sql.Identifier("p", name) for name in values),
        sql.SQL(", ").join(sql.Identifier("excluded", name) for name in values),
    )
    upserted = connection.execute(sql.SQL("{} {}").format(insert, on_conflict)).rowcount
    told = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(partition)).fetchone()
    assert told is not None
    return Merged(table.model, upserted, deleted, told[0])


def _all_equal(one: str, other: str, columns: Sequence[str]) -> Composable:
    from psycopg import sql

    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(one, name), sql.Identifier(other, name)) for name in columns
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
    """Tell the planner how many rows a partition or a staging table has now."""
    from psycopg import sql

    target.connection.execute(sql.SQL("ANALYZE {}").format(in_schema(name)))


def fingerprints(target: SyncTarget, table: VectorTable) -> dict[int, tuple[int, int]]:
    """Per bucket of keys, how many rows the tenant has and the sum of their hashes; buckets without rows are left out."""
    from psycopg import sql

    found = target.connection.execute(
        sql.SQL("SELECT {}, count(*), sum({}) FROM {} GROUP BY 1").format(
            bucket_sql(table), row_hash_sql(table), in_schema(table.partition(target.tenant_id))
        )
    )
    return {bucket: (rows, int(total)) for bucket, rows, total in found.fetchall()}
