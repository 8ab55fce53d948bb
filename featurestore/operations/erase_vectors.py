"""The vectors' part of an erasure: rows in PostgreSQL, of every group, feature and model version."""

from __future__ import annotations

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.operations.erasing import ErasedTable, Erasing
from featurestore.stores.postgres import as_postgres_error
from featurestore.stores.vector_erasure import count_erased, delete_entities, rewrite
from featurestore.stores.vector_layout import migrate
from featurestore.stores.vector_staging import drop_left_behind
from featurestore.stores.vector_sync import SyncTarget, locked
from featurestore.stores.vector_tables import VectorTable, has_partition, is_set_up, registered


def erase_vectors(erasing: Erasing) -> list[ErasedTable]:
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
        return []
    with as_postgres_error(), context.postgres.connect_owner() as connection:
        if not is_set_up(connection):
            return []
        migrate(connection)
        tables = [(group, table) for group in groups for table in registered(connection, group.name, group.version)]
        erased = [
            _erase(erasing, group, table, SyncTarget(connection, erasing.tenant_id, table))
            for group, table in tables
            if has_partition(connection, table, erasing.tenant_id)
        ]
    if erased:
        context.postgres.drop_old_log()
        context.step("erase.vector_log")
    return erased


def _erase(erasing: Erasing, group: FeatureGroup, table: VectorTable, target: SyncTarget) -> ErasedTable:
    context, keys = erasing.context, erasing.keys.toArrow().to_pylist()
    with locked(target, wait=True):
        drop_left_behind(target)
        with target.connection.transaction():
            context.postgres.enter(target.connection, erasing.tenant_id)
            rows = delete_entities(target, table, keys)
            if erasing.log is not None:
                rows = count_erased(target, table, erasing.erasure.erasure_id, rows)
        context.step("erase.vectors")
        size = rewrite(target, table)
        context.step("erase.vector_files")
    return ErasedTable(
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
