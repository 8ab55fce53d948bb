"""Build a training set: sample, join as of, split, save, verify, publish. And build a saved one again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pyspark.sql import DataFrame, Observation

from featurestore.definitions.lookup import Lookup
from featurestore.definitions.names import check_name
from featurestore.definitions.time_window import TimeWindow
from featurestore.definitions.training_set import TimeSplit, TrainingSetDefinition
from featurestore.errors import InvariantError, RebuildError, SpineError, nearest
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import content_hash, fingerprint_columns, fingerprint_text
from featurestore.frames.sampling import sample_rows
from featurestore.frames.spine import check_outputs, check_spine, instant_column, with_instants
from featurestore.frames.splits import SPLIT, split_by_time, time_boundaries
from featurestore.operations.context import Context
from featurestore.operations.read import (
    AsOfRequest,
    Features,
    ResolvedLookup,
    Spine,
    as_spine,
    parse_known_at,
    point_in_time,
    resolve,
    resolve_lookup,
)
from featurestore.operations.transform import isolated, transform
from featurestore.stores.training_sets import GroupSnapshot, Manifest, SplitBoundaries

_FORBIDDEN_IN_NAMES = frozenset(" ,;{}()\n\t=")


@dataclass(frozen=True)
class TrainingSetRequest:
    """What to build, resolved; everything that the manifest will say."""

    name: str
    join: AsOfRequest
    full_feature_names: bool
    label: str | None = None
    sample_size: int | None = None
    seed: int = 0
    split: TimeSplit | None = None
    description: str = ""
    rebuilt_from: int | None = None


def request(
    context: Context,
    name: str,
    features: Features,
    label: str | None = None,
    timestamp_column: str = "event_timestamp",
    known_at: object = None,
    full_feature_names: bool = False,
    sample_size: int | None = None,
    seed: int = 0,
    split: TimeSplit | None = None,
    description: str = "",
) -> TrainingSetRequest:
    """Check what is asked against the registry; raises NotFoundError, DefinitionError or InvalidNameError."""
    if sample_size is not None and sample_size < 1:
        raise SpineError(f"sample_size is {sample_size}; give a number of rows from 1 on, or none for all")
    join = AsOfRequest(
        lookups=resolve(context, features, full_feature_names),
        timestamp_column=timestamp_column,
        known_at=parse_known_at(known_at, context.settings.timestamp_zone),
        with_timestamps=True,
    )
    return TrainingSetRequest(check_name(name), join, full_feature_names, label, sample_size, seed, split, description)


def build_training_set(context: Context, tenant_id: str, spine: Spine, asked: TrainingSetRequest) -> Manifest:
    """Build and publish a new version; returns its manifest.

    Grain: one row a spine row (of the sample, where one is asked): the spine's columns, the features, one
    ``<group>__event_timestamp`` a lookup, ``split``. Before it is published, the rows are checked: as many as the
    spine has, with the spine's own content unchanged; nothing is published otherwise. Raises SpineError,
    InvariantError.
    """
    whole = as_spine(context, spine)
    _check_columns(whole, asked)
    rows_before = whole.count() if asked.sample_size is not None else None
    sample = sample_rows(whole, asked.sample_size, asked.seed) if asked.sample_size is not None else whole
    # Read once and kept: what is fingerprinted, bounded and joined must be the same rows.
    kept = sample.persist()
    try:
        return _build(context, tenant_id, kept, rows_before, asked)
    finally:
        kept.unpersist()


def _build(
    context: Context, tenant_id: str, spine: DataFrame, rows_before: int | None, asked: TrainingSetRequest
) -> Manifest:
    now = context.clock()
    snapshots = _snapshots(context, asked)
    versions = {(snapshot.name, snapshot.version): snapshot.table_version for snapshot in snapshots}
    joined = point_in_time(context, tenant_id, spine, replace(asked.join, table_versions=versions))
    rows, boundaries = _with_split(context, spine, joined, asked)
    version = context.training_sets.next_version(context.spark, tenant_id, asked.name)
    table = context.training_sets.rows_table(tenant_id, asked.name, version)

    spine_columns = [column(name) for name in sorted(spine.columns)]
    told = spine.agg(*fingerprint_columns(spine_columns)).collect()[0]
    content = [column(name) for name in sorted(rows.columns)]
    after, whole = Observation(), Observation()
    observed = rows.observe(after, *fingerprint_columns(spine_columns)).observe(whole, *fingerprint_columns(content))
    table.append(observed)
    if fingerprint_text(after.get) != fingerprint_text(told):
        raise InvariantError(
            f"training set {asked.name!r}: the spine had {told['rows']} rows and {after.get['rows']} came out, or their own "
            f"columns changed; version {version} is not published. Please report this with the definitions"
        )
    manifest = Manifest(
        tenant_id=tenant_id,
        name=asked.name,
        version=version,
        description=asked.description,
        created_at=now,
        location=str(table),
        row_count=told["rows"],
        content_hash=fingerprint_text(whole.get),
        label=asked.label,
        timestamp_column=asked.join.timestamp_column,
        features=tuple(_lookup(lookup) for lookup in asked.join.lookups),
        full_feature_names=asked.full_feature_names,
        known_at=asked.join.known_at,
        columns=tuple(rows.columns),
        spine_columns=tuple(spine.columns),
        key_columns=tuple(dict.fromkeys(name for lookup in asked.join.lookups for name in lookup.keys.values())),
        feature_columns=tuple(asked.join.feature_columns),
        event_timestamp_columns=tuple(lookup.event_timestamp_output for lookup in asked.join.lookups),
        spine_fingerprint=fingerprint_text(told),
        spine_rows_before_sampling=told["rows"] if rows_before is None else rows_before,
        sample_size=asked.sample_size,
        seed=asked.seed,
        split=boundaries,
        groups=snapshots,
        code_version=context.code_version,
        rebuilt_from=asked.rebuilt_from,
    )
    context.training_sets.publish(context.spark, manifest)
    return manifest


def _check_columns(spine: DataFrame, asked: TrainingSetRequest) -> None:
    check_spine(spine, asked.join.timestamp_column)
    outputs = [*asked.join.columns, *([SPLIT] if asked.split else [])]
    check_outputs(spine.columns, outputs)
    unsaveable = [name for name in spine.columns if _FORBIDDEN_IN_NAMES & set(name)]
    if unsaveable:
        raise SpineError(f"spine: columns {unsaveable} hold a space or one of ,;{{}}()= ; rename them to save the set")
    if asked.label is not None and asked.label not in spine.columns:
        known = [name for name in spine.columns if name != asked.join.timestamp_column]
        raise SpineError(f"label {asked.label!r} is not a column of the spine. {nearest(asked.label, known)}")
    keys = {name for lookup in asked.join.lookups for name in lookup.keys.values()}
    if asked.label is not None and asked.label in keys | {asked.join.timestamp_column}:
        raise SpineError(f"label {asked.label!r} is a key or the timestamp of the spine; name another column")


def _snapshots(context: Context, asked: TrainingSetRequest) -> tuple[GroupSnapshot, ...]:
    """Each group once, pinned to the version its table has now, or had for the build that is repeated."""
    pinned = asked.join.table_versions or {}
    snapshots: dict[tuple[str, int], GroupSnapshot] = {}
    for lookup in asked.join.lookups:
        group = lookup.group
        key = (group.name, group.version)
        if key in snapshots:
            continue
        table = context.table(group).values
        snapshots[key] = GroupSnapshot(
            name=group.name,
            version=group.version,
            revision=context.state.feature_group_entry(group.name, group.version).revision,
            table=str(table),
            table_version=pinned[key] if key in pinned else table.version(context.spark),
            definition=group.to_json(),
        )
    return tuple(snapshots.values())


def _with_split(
    context: Context, spine: DataFrame, joined: DataFrame, asked: TrainingSetRequest
) -> tuple[DataFrame, SplitBoundaries | None]:
    if asked.split is None:
        return joined, None
    name, zone = asked.join.timestamp_column, context.settings.timestamp_zone
    instants = instant_column(joined)
    validation_from, test_from = time_boundaries(with_instants(spine, name, zone, instants), instants, asked.split)
    timed = with_instants(joined, name, zone, instants)
    divided = split_by_time(timed, instants, validation_from, test_from).drop(instants)
    return divided, SplitBoundaries(validation_from=validation_from, test_from=test_from)


def _lookup(resolved: ResolvedLookup) -> Lookup:
    """The lookup as it was resolved: features spelled out, and keys where they differ from the spine's names."""
    renamed = {key: name for key, name in resolved.keys.items() if key != name}
    prefix = None
    first = resolved.features[0]
    if resolved.outputs[first] not in (first, f"{resolved.group.name}__{first}"):
        prefix = resolved.outputs[first].removesuffix(first)
    return Lookup(resolved.group.name, resolved.features, on=renamed, prefix=prefix)


def build_declared(context: Context, tenant_id: str, definition: TrainingSetDefinition) -> Manifest:
    """Build a training set from its definition: run its spine, then as above, in a session of its own."""
    inside = isolated(context)
    window = _window(definition, context.clock())
    spine = transform(inside, tenant_id, definition.spine.sources, definition.spine.transformation, window)
    asked = request(
        context,
        definition.name,
        definition.features,
        definition.label,
        definition.timestamp_column,
        definition.known_at,
        definition.full_feature_names,
        definition.sample_size,
        definition.seed,
        definition.split,
        definition.description,
    )
    return build_training_set(inside, tenant_id, spine, asked)


def _window(definition: TrainingSetDefinition, now: datetime) -> TimeWindow:
    """``:start_time`` and ``:end_time`` of the spine; from the year 1 to now, where the definition does not say."""
    start = definition.start_time or datetime(1, 1, 1, tzinfo=now.tzinfo)
    return TimeWindow(start, definition.end_time or now)


def rebuild_training_set(context: Context, tenant_id: str, manifest: Manifest, spine: Spine | None = None) -> Manifest:
    """Build a version again, from the table versions and definitions in its manifest; publishes a new version.

    The spine is taken from the saved rows, or given; either way it must have the manifest's fingerprint. Raises
    RebuildError where it has not, where a table's version is gone, or where the content came out different.
    """
    rows = context.training_sets.read(context.spark, manifest) if spine is None else as_spine(context, spine)
    sources = rows.select(*(column(name) for name in manifest.spine_columns))
    if content_hash(sources) != manifest.spine_fingerprint:
        raise RebuildError(
            f"training set {manifest.name!r} v{manifest.version}: the spine is not the one it was built from "
            f"(fingerprint {manifest.spine_fingerprint[:12]}...); give the same rows, after sampling"
        )
    built = build_training_set(context, tenant_id, sources, _as_it_was(context, manifest))
    if built.content_hash != manifest.content_hash:
        raise RebuildError(
            f"training set {manifest.name!r} v{manifest.version}: built again as v{built.version}, its content hash is "
            f"{built.content_hash[:12]}... and was {manifest.content_hash[:12]}...; a source table was changed in place"
        )
    return built


def _as_it_was(context: Context, manifest: Manifest) -> TrainingSetRequest:
    groups = {snapshot.name: snapshot for snapshot in manifest.groups}
    versions: Mapping[tuple[str, int], int] = {(s.name, s.version): s.table_version for s in manifest.groups}
    join = AsOfRequest(
        lookups=tuple(
            resolve_lookup(groups[lookup.group].group, lookup, manifest.full_feature_names)
            for lookup in manifest.features
        ),
        timestamp_column=manifest.timestamp_column,
        known_at=manifest.known_at,
        with_timestamps=True,
        table_versions=versions,
    )
    split = None
    if manifest.split is not None:
        split = TimeSplit(validation_from=manifest.split.validation_from, test_from=manifest.split.test_from)
    return TrainingSetRequest(
        name=manifest.name,
        join=join,
        full_feature_names=manifest.full_feature_names,
        label=manifest.label,
        seed=manifest.seed,
        split=split,
        description=manifest.description,
        rebuilt_from=manifest.version,
    )
