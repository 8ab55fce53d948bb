"""The vectors' part of an erasure: rows in PostgreSQL, of every group, feature and model version."""

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
    "PostgreSQL's write-ahead log (pg_wal), its archives, replicas, backups and the server's own log hold rows as they were "
    "written; they are the server's administrator's to remove"
)
_STATISTICS = (
    "PostgreSQL's planner statistics may hold values of filters in their old pages, and this role may not write them anew; "
    "as a superuser, or the database's owner, run: VACUUM (FULL) pg_catalog.pg_statistic"
)


@dataclass(frozen=True)
class ErasedVectors:
    """The tables that were searched, and what of the server is beyond this role's reach."""

    tables: tuple[ErasedTable, ...] = ()
    out_of_reach: tuple[str, ...] = ()


def erase_vectors(erasing: Erasing) -> ErasedVectors:
    """Every table of vectors of groups whose rows tell the entity; nothing is started where nothing was ever synced.

    After the groups' own part: a sync under way, which may have read the entity before, is waited for, and a later one
    finds nothing of it.
    """
    context = erasing.context
    groups = [
        group
        for group in context.state.all_feature_groups()
        if erasing.is_part_of(group.entity) and any(one.feature_type.is_embedding for one in group.features)
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
    """The tenant's rows of a table; of a tenant whose first sync failed, just what that left behind."""
    context, keys = erasing.context, erasing.keys.toArrow().to_pylist()
    with locked(target, wait=True):
        left = drop_left_behind(target)
        if left:
            raise PostgresError(
                f"staging tables {left} of {group.name}:{table.feature} are still written to, by a task of a sync that ended; "
                "end it (see pg_stat_activity), and erase again"
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
    """What the server keeps of rows beside its tables: statistics and logs. Gives what cannot be reached."""
    postgres = erasing.context.postgres
    is_rewritten = rewrite_statistics(connection)
    postgres.drop_old_logs()
    erasing.context.step("erase.vector_log")
    return (*(() if is_rewritten else (_STATISTICS,)), *(() if postgres.embedded else (_LOGS,)))
