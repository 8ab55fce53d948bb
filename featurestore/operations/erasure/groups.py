"""Erase entities from feature groups: values, rejected rows and statistics, in every major version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from featurestore.columnar.schema import REJECTED
from featurestore.definitions.entity import Entity
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.source import Source
from featurestore.frames.rows.rejected_rows import about_any
from featurestore.frames.rows.rows_of_entity import by_columns
from featurestore.frames.schema import key_fields
from featurestore.late_spark import DataFrame, IntegerType, StructField, StructType
from featurestore.operations.context import Context, Scope
from featurestore.operations.erasure.erasing import ErasedTable, Erasing
from featurestore.operations.erasure.suppress import of_group, suppressed_keys, suppressions
from featurestore.operations.erasure.sweep import Sweep
from featurestore.operations.erasure.vectors import erase_vectors
from featurestore.stores.arrow import to_spark
from featurestore.stores.delta.table import DeltaTable, spark_schema


def erase_groups(erasing: Erasing) -> list[ErasedTable]:
    """Sweep every group with rows that identify the entity: groups with its join keys, alone or among others."""
    groups = [group for group in erasing.context.state.all_feature_groups() if erasing.is_part_of(group.entity)]
    tables = [table for group in groups if group.in_place is None for table in _erase_group(erasing, group)]
    return [*tables, *_erase_statistics(erasing, groups)]


def groups_not_searched(context: Context) -> list[str]:
    """Messages about groups with unreadable definitions: the store cannot know whether their tables hold the entity."""
    return [str(problem) for problem in context.state.unreadable("feature_group")]


def groups_outside(erasing: Erasing) -> list[str]:
    """Messages about groups whose values or events are in tables of others: who erases the entity there."""
    state = erasing.context.state
    groups = {(group.name, group.version): group for group in (*state.all_feature_groups(), *state.feature_groups())}
    return [
        f"feature group {group.name!r} v{group.version}, {what} {source.table or source.path}, a table that is not "
        "this store's. Whoever writes it has to delete the rows there, and the old versions and files that hold them"
        for group in groups.values()
        if erasing.is_part_of(group.entity)
        for what, source in _outside(group)
    ]


def _outside(group: FeatureGroup) -> Iterator[tuple[str, Source]]:
    if group.in_place is not None:
        yield "which is in place: its values are in", group.in_place.source
    if group.events is not None and group.events.source.group is None:
        yield "which has events: they are in", group.events.source


def _erase_group(erasing: Erasing, group: FeatureGroup) -> list[ErasedTable]:
    table = erasing.context.table(group)
    keys = tuple(erasing.entity.keys)
    fields = [field for field in key_fields(group) if field.name in keys]
    by_key = by_columns([{key: key for key in keys}])
    # Files are sorted by the group's first key, so their statistics find listed keys.
    values = Sweep(table.values, erasing.keys, by_key, StructType(fields), erasing.of_tenant, listed=keys)
    swept = [erasing.sweep("values", group.name, group.version, values)]
    if table.rejected.exists():
        swept.append(erasing.sweep("rejected", group.name, group.version, _of_rejected(erasing, table.rejected)))
    return swept


def _of_rejected(erasing: Erasing, rejected: DeltaTable) -> Sweep:
    """The sweep of rejected rows: a row's whole text and its reasons decide whether it is about an entity."""
    entities = erasing.keys.toArrow().to_pylist()
    return Sweep(
        rejected,
        erasing.keys,
        by_columns([{"row": "row"}]),
        spark_schema(pa.schema([REJECTED.field("row"), REJECTED.field("reasons")])),
        erasing.of_tenant,
        compared_with=lambda rows: about_any(rows, entities),
    )


def _erase_statistics(erasing: Erasing, groups: Sequence[FeatureGroup]) -> list[ErasedTable]:
    """Delete all statistics of these groups; the next profile computes them again.

    A minimum or a frequent text does not show which entity it came from.
    """
    table = erasing.context.layout.statistics
    if not table.exists():
        return []
    swept = []
    for group in groups:
        versions = to_spark(erasing.spark, pa.table({"group_version": pa.array([group.version], pa.int32())}))
        lines = Sweep(
            table,
            versions,
            by_columns([{"group_version": "group_version"}]),
            StructType([StructField("group_version", IntegerType())]),
            {**erasing.of_tenant, "feature_group": group.name},
        )
        swept.append(erasing.sweep("statistics", group.name, group.version, lines))
    return swept


def erase_again(scope: Scope, group: FeatureGroup, rows: DataFrame) -> int:
    """Remove written rows of suppressed entities again, and return how many the table had.

    A write calls this because an erasure may have run at the same time: whichever of the two checks last sees what the
    other did.
    """
    removed = 0
    for suppression in of_group(suppressions(scope), group):
        lookup: Mapping[str, str] = {key: key for key in suppression.join_keys}
        keys = suppressed_keys(scope, rows, suppression, lookup)
        if keys.num_rows:
            entity = entity_of(suppression.entity, suppression.join_keys, group)
            erased = _erase_group(Erasing.again(scope, entity, keys), group)
            removed += sum(table.rows for table in erased if table.kind == "values")
            # A sync may have read the rows in the meantime.
            erase_vectors(Erasing.again(scope, entity, keys))
    return removed


def entity_of(name: str, join_keys: Sequence[str], group: FeatureGroup) -> Entity:
    """The entity with these join keys, with their types from the group."""
    return Entity(name, join_keys={key: group.entity.join_keys[key] for key in join_keys})
