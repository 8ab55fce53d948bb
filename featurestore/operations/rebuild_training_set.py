"""Training sets that are there already: build one again, or extend it by new spine rows."""

from __future__ import annotations

from dataclasses import replace

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from featurestore.errors import RebuildError, SpineError, StorageError
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import content_hash
from featurestore.frames.spine import check_spine
from featurestore.operations.build_training_set import PartToBuild, build_parts
from featurestore.operations.context import Context
from featurestore.operations.read import AsOfRequest, ResolvedLookup, Spine, as_spine, resolve_lookup
from featurestore.operations.suppress import left_after_suppression
from featurestore.operations.training_set_request import TrainingSetRequest, check_columns
from featurestore.operations.training_set_sources import check_sources, explain_missing_files
from featurestore.stores.training_sets import PART, Manifest


def rebuild_training_set(context: Context, tenant_id: str, manifest: Manifest, spine: Spine | None = None) -> Manifest:
    """Build a version again, from the table versions and definitions in its manifest; publishes a new version.

    The spine is taken from the saved rows, or given; either way it must have the manifest's fingerprint. Raises
    RebuildError where it has not, where rows were erased from it, where a table's version is gone, or where the content
    came out different.
    """
    check_sources(context, manifest)
    asked = _as_it_was(context, manifest)
    parts = _parts_as_they_were(context, manifest, spine, asked)
    # Of a given spine from which rows were dropped, the fingerprint cannot be told before they are; the content's can after.
    is_whole = spine is not None and manifest.rows_dropped > 0
    for part, was in zip(parts, manifest.all_parts, strict=True):
        if not is_whole and content_hash(part.spine) != was.spine_fingerprint:
            raise RebuildError(
                f"training set {manifest.name!r} v{manifest.version}: the spine is not the one it was built from "
                f"(fingerprint {was.spine_fingerprint[:12]}...); give the same rows, after sampling"
            )
    try:
        built = build_parts(context, tenant_id, parts, asked)
    except (PySparkException, Py4JJavaError, StorageError) as error:
        explain_missing_files(context, manifest, error)
        raise
    if built.content_hash != manifest.content_hash:
        raise RebuildError(
            f"training set {manifest.name!r} v{manifest.version}: built again as v{built.version}, its content hash is "
            f"{built.content_hash[:12]}... and was {manifest.content_hash[:12]}...; a source table was changed in place"
        )
    return built


def _parts_as_they_were(
    context: Context, manifest: Manifest, spine: Spine | None, asked: TrainingSetRequest
) -> list[PartToBuild]:
    if spine is not None and manifest.parts:
        raise RebuildError(
            f"training set {manifest.name!r} v{manifest.version} was extended: which of its {len(manifest.parts)} parts a row "
            "of a given spine belongs to cannot be told; rebuild it from its saved rows, without spine="
        )
    if spine is None:
        saved = context.training_sets.read_with_part(context.spark, manifest)
        spines = [saved.where(F.col(PART) == index) for index in range(len(manifest.all_parts))]
    else:
        spines = [_same_columns(context, manifest, spine, asked)]
    return [
        PartToBuild(
            rows.select(*(column(name) for name in manifest.spine_columns)),
            {(group.name, group.version): group.table_version for group in part.groups},
        )
        for rows, part in zip(spines, manifest.all_parts, strict=True)
    ]


def _as_it_was(context: Context, manifest: Manifest) -> TrainingSetRequest:
    groups = {snapshot.name: snapshot.group for snapshot in manifest.groups}
    lookups = [
        resolve_lookup(groups[lookup.group], lookup, manifest.full_feature_names) for lookup in manifest.features
    ]
    join = AsOfRequest(
        lookups=tuple(lookups),
        timestamp_column=manifest.timestamp_column,
        known_at=manifest.known_at,
        with_timestamps=True,
        label=_label(manifest),
    )
    return TrainingSetRequest(
        name=manifest.name,
        join=join,
        full_feature_names=manifest.full_feature_names,
        label=manifest.label,
        stratify_by=manifest.stratify_by,
        seed=manifest.seed,
        split=manifest.split,
        missing=manifest.missing,
        expand_vectors=manifest.expand_vectors,
        description=manifest.description,
        rebuilt_from=manifest.version,
    )


def _label(manifest: Manifest) -> ResolvedLookup | None:
    if manifest.label_lookup is None:
        return None
    [group] = [snapshot.group for snapshot in manifest.groups if snapshot.name == manifest.label_lookup.group]
    return replace(
        resolve_lookup(group, manifest.label_lookup, manifest.full_feature_names), offset=manifest.label_offset
    )


def extend_training_set(context: Context, tenant_id: str, manifest: Manifest, spine: Spine) -> Manifest:
    """Publish a new version: the saved rows of a version as they are, and the features joined to new spine rows.

    Only the new rows are computed, from the tables as they are now; each part is built again from its own versions.
    ``spine`` has the manifest's spine columns, and no others; all its rows are taken, also where the version was
    sampled. A split keeps its cuts: an entity stays in its part. Raises SpineError, InvariantError.
    """
    asked = replace(_as_it_was(context, manifest), rebuilt_from=None)
    given = _same_columns(context, manifest, spine, asked)
    check_columns(given, asked)
    new, suppressed = left_after_suppression(context, tenant_id, given, asked.join.key_lookups)
    in_order = new.select(*(column(name) for name in manifest.spine_columns))
    return build_parts(context, tenant_id, [PartToBuild(in_order, suppressed=suppressed)], asked, base=manifest)


def _same_columns(context: Context, manifest: Manifest, spine: Spine, asked: TrainingSetRequest) -> DataFrame:
    """The spine as a Spark DataFrame; raises SpineError unless it has the columns that the version's own spine had."""
    given = as_spine(context, spine, asked.join)
    check_spine(given, manifest.timestamp_column)
    _check_same_columns(given, context.training_sets.read(context.spark, manifest), manifest)
    return given


def _check_same_columns(spine: DataFrame, saved: DataFrame, manifest: Manifest) -> None:
    found = {field.name: field.dataType.simpleString() for field in spine.schema}
    wanted = {name: saved.schema[name].dataType.simpleString() for name in manifest.spine_columns}
    faults = [f"{name!r} is missing" for name in wanted if name not in found]
    faults += [f"{name!r} is not among them" for name in found if name not in wanted]
    faults += [
        f"{name!r} is {found[name]} and was {kind}" for name, kind in wanted.items() if found.get(name, kind) != kind
    ]
    if faults:
        raise SpineError(
            f"training set {manifest.name!r} v{manifest.version} was not built from such a spine: {'; '.join(faults)}. "
            f"Its spine has the columns {list(manifest.spine_columns)}"
        )
