"""Erase from vectors: rows in PostgreSQL, of every group, feature and model version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import PostgresError
from featurestore.operations.erasure.erasing import ErasedTable, Erasing
from featurestore.stores.postgres.connections import as_postgres_error
from featurestore.stores.postgres.erasure import count_erased, delete_entities, rewrite, rewrite_statistics
from featurestore.stores.postgres.layout import migrate
from featurestore.stores.postgres.staging import drop_left_behind
from featurestore.stores.postgres.sync import SyncTarget, locked
from featurestore.stores.postgres.tables import VectorTable, has_partition, is_set_up, registered

if TYPE_CHECKING:
    from psycopg import Connection

_LOGS = (
    "PostgreSQL's write-ahead log (pg_wal), its archives, replicas, backups and the server's own log hold rows as they "
    "were written; the server's administrator must remove them"
)
_STATISTICS = (
    "PostgreSQL's planner statistics may hold values of filters in their old pages, and this role may not rewrite "
    "them; as a superuser, or the database's owner, run: VACUUM (FULL) pg_catalog.pg_statistic"
)


@dataclass(frozen=True)
class ErasedVectors:
    """The tables that were searched, and the places on the server that this role cannot reach."""

    tables: tuple[ErasedTable, ...] = ()
    out_of_reach: tuple[str, ...] = ()


def erase_vectors(erasing: Erasing) -> ErasedVectors:
    """Erase from every table of vectors of groups with rows that identify the entity.

    No server is started if nothing was ever synced. This runs after the erasure from the groups: it waits for a sync in
    progress, which may have read the entity before, and a later sync finds nothing of the entity.
    """
    context = erasing.context
    groups = [
        group
        for group in context.state.all_feature_groups()
        if erasing.is_part_of(group.entity) and any(feature.feature_type.is_embedding for feature in group.features)
    ]
    if not groups or not context.postgres.may_have_rows:
        return ErasedVectors()
    with as_postgres_error(), context.postgres.connect_owner() as connection:
        if not is_set_up(connection):
            return ErasedVectors()
        migrate(connection)
        tables = [(group, table) for group in groups for table in registered(connection, group.name, group.version)]
        erased = [
            done
            for group, table in tables
            for done in _erase(erasing, group, table, SyncTarget(connection, erasing.tenant_id, table))
        ]
        out_of_reach = _erase_traces(erasing, connection) if tables else ()
    return ErasedVectors(tuple(erased), out_of_reach)


def _erase(erasing: Erasing, group: FeatureGroup, table: VectorTable, target: SyncTarget) -> list[ErasedTable]:
    """Erase the tenant's rows from a table; if the tenant's first sync failed, only what that sync left behind."""
    context, keys = erasing.context, erasing.keys.toArrow().to_pylist()
    with locked(target, wait=True):
        busy = drop_left_behind(target)
        if busy:
            raise PostgresError(
                f"staging tables {busy} of {group.name}:{table.feature} are still written to, by a task of a sync that "
                "ended; end the task (see pg_stat_activity), and erase again"
            )
        if not has_partition(target.connection, table, target.tenant_id):
            return []
        with target.connection.transaction():
            context.postgres.enter(target.connection, erasing.tenant_id)
            rows = delete_entities(target, table, keys)
            if erasing.log is not None:
                rows = count_erased(target, table, erasing.erasure.erasure_id, rows)
        context.step("erase.vectors")
        size = rewrite(target, table)
        context.step("erase.vector_files")
    erased = ErasedTable(
        kind="vectors",
        name=group.name,
        version=group.version,
        table=f"postgresql:featurestore.{table.partition(erasing.tenant_id)}",
        rows=rows,
        table_version_before=None,
        table_version_after=None,
        files_removed=0,
        bytes_removed=size,
        log_files=0,
    )
    return [erased]


def _erase_traces(erasing: Erasing, connection: Connection[Any]) -> tuple[str, ...]:
    """Erase what the server keeps of rows outside its tables: statistics and logs. Returns what is out of reach."""
    postgres = erasing.context.postgres
    is_rewritten = rewrite_statistics(connection)
    postgres.drop_old_logs()
    erasing.context.step("erase.vector_log")
    return (*(() if is_rewritten else (_STATISTICS,)), *(() if postgres.embedded else (_LOGS,)))
