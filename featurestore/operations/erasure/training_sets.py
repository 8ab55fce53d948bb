"""Erase from training sets: remove rows, and record the removal in the manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from featurestore.frames.columns import column
from featurestore.frames.fingerprint import content_hash, fingerprint_columns, fingerprint_text
from featurestore.frames.rows.rows_of_entity import by_columns
from featurestore.late_spark import DataFrame, F, StructType
from featurestore.operations.context import Scope
from featurestore.operations.erasure.erasing import ErasedTable, Erasing
from featurestore.operations.erasure.groups import entity_of
from featurestore.operations.erasure.suppress import Lookups, suppressed_keys, suppressions
from featurestore.operations.erasure.sweep import Sweep
from featurestore.operations.repeats.leftovers import is_abandoned
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.delta.table_files import TableFiles
from featurestore.stores.training_sets.manifests import PART, ErasureNote, Manifest

_WHOLE = frozenset({"tinyint", "smallint", "int", "bigint"})


def erase_training_sets(erasing: Erasing) -> tuple[list[ErasedTable], list[str]]:
    """Erase from all saved sets. Returns the tables that identify the entity, and messages about sets left out.

    A set is left out while it is being built, and if its manifest cannot be read. Rows of sets that were never
    published and never will be are removed as a whole.
    """
    context = erasing.context
    manifests = context.training_sets.manifests(erasing.tenant_id)
    published = {(manifest.name, manifest.version): manifest for manifest in manifests.readable}
    erased, not_erased = [], []
    for name, version, table in context.training_sets.rows_tables(context.files, erasing.tenant_id):
        manifest = published.get((name, version))
        if manifest is not None:
            erased += erase_training_set(erasing, manifest)
        elif (erasing.tenant_id, name, version) in manifests.unreadable:
            not_erased.append(str(manifests.unreadable[(erasing.tenant_id, name, version)]))
        elif not is_abandoned(context, erasing.tenant_id, name, version, table):
            not_erased.append(
                f"training set {name} v{version} is being built; its build removes the rows when it is done"
            )
        else:
            erased.append(_remove_whole(erasing, name, version, table))
            context.step("erase.unpublished")
    return erased, not_erased


def _remove_whole(erasing: Erasing, name: str, version: int, table: DeltaTable) -> ErasedTable:
    context = erasing.context
    files = TableFiles(erasing.spark, context.files, table)
    exists = table.exists()
    stored = files.stored() if exists else []
    rows = table.read().count() if exists else 0
    context.training_sets.remove_rows(context.files, table)
    size = sum(file.bytes for file in stored)
    return ErasedTable(
        "unpublished_training_set", name, version, str(table), rows, None, None, len(stored), size, log_files=0
    )


def erase_training_set(erasing: Erasing, manifest: Manifest) -> list[ErasedTable]:
    """Erase from one set's table; returns an empty list if its rows cannot identify the entity."""
    context = erasing.context
    table = context.training_sets.rows_table(manifest.tenant_id, manifest.name, manifest.version)
    schema = table.read().schema
    lookups = lookups_of(erasing, manifest, schema)
    if not lookups:
        return []
    fields = [schema[name] for name in dict.fromkeys(name for lookup in lookups for name in lookup.values())]
    plan = Sweep(table, erasing.keys, by_columns(lookups), StructType(fields))
    swept = erasing.sweep("training_set", manifest.name, manifest.version, plan)
    _replace_manifest(erasing, manifest)
    return [swept]


def lookups_of(erasing: Erasing, manifest: Manifest, schema: StructType) -> list[Mapping[str, str]]:
    """The ways in which a set's rows identify the entity.

    These are the lookups of its features, of what derived features read, and of its label, and columns of the spine
    with the names of the join keys.
    """
    groups = {snapshot.name: snapshot.group for part in manifest.all_parts for snapshot in part.groups}
    lookups = [
        *manifest.features,
        *manifest.inputs,
        *([manifest.label_lookup] if manifest.label_lookup is not None else []),
    ]
    ways = [
        {key: lookup.on.get(key, key) for key in erasing.entity.keys}
        for lookup in lookups
        if erasing.is_part_of(groups[lookup.group].entity)
    ]
    ways.append({key: key for key in erasing.entity.keys})
    distinct = {tuple(way.values()): way for way in ways}
    return [way for way in distinct.values() if _fits(erasing, way, manifest.spine_columns, schema)]


def _fits(erasing: Erasing, way: Mapping[str, str], columns: Sequence[str], schema: StructType) -> bool:
    kinds = {field.name: field.dataType.simpleString() for field in erasing.key_fields}
    stored = {key: schema[name].dataType.simpleString() for key, name in way.items() if name in columns}
    return len(stored) == len(way) and all(
        kinds[key] == kind or {kinds[key], kind} <= _WHOLE for key, kind in stored.items()
    )


def _replace_manifest(erasing: Erasing, manifest: Manifest) -> None:
    """Publish the manifest again if the set now has fewer rows than the manifest says."""
    context = erasing.context
    rows = context.training_sets.read_with_part(manifest)
    [content] = rows.agg(*fingerprint_columns([column(name) for name in sorted(manifest.columns)])).collect()
    row_count = content["rows"]
    if row_count == manifest.row_count:
        return
    note = ErasureNote(
        erasure_id=erasing.erasure.erasure_id, erased_at=context.clock(), rows=manifest.row_count - row_count
    )
    updated = manifest.model_copy(
        update={
            "row_count": row_count,
            "content_hash": fingerprint_text(content),
            "spine_fingerprint": content_hash(rows, manifest.spine_columns),
            "parts": _parts(rows, manifest),
            "erasures": (*manifest.erasures, note),
        }
    )
    context.training_sets.replace_manifest(updated)
    context.step("erase.manifest")


def _parts(rows: DataFrame, manifest: Manifest) -> tuple[object, ...]:
    """The parts of an extended set with their remaining rows; a part without rows stays, with a row count of 0."""
    if not manifest.parts:
        return ()
    fingerprint = fingerprint_columns([column(name) for name in sorted(manifest.spine_columns)])
    contents = {row[PART]: row for row in rows.groupBy(PART).agg(*fingerprint).collect()}
    empty = rows.where(F.lit(False)).agg(*fingerprint).collect()[0]
    return tuple(
        part.model_copy(
            update={
                "row_count": contents.get(index, empty)["rows"],
                "spine_fingerprint": fingerprint_text(contents.get(index, empty)),
            }
        )
        for index, part in enumerate(manifest.parts)
    )


def erase_again_from_set(scope: Scope, manifest: Manifest, lookups: Lookups) -> None:
    """Remove rows of suppressed entities from a set that was built during their erasure."""
    rows = scope.training_sets.read(manifest)
    groups = {tuple(sorted(snapshot.group.join_keys)): snapshot.group for snapshot in manifest.groups}
    for suppression in suppressions(scope):
        for lookup in lookups:
            if set(suppression.join_keys) <= lookup.keys():
                keys = suppressed_keys(scope, rows, suppression, lookup)
                if keys.num_rows:
                    entity = entity_of(suppression.entity, suppression.join_keys, groups[tuple(sorted(lookup))])
                    erase_training_set(Erasing.again(scope, entity, keys), manifest)
