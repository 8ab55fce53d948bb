"""Build a training set: sample, join as of, split, save, verify, publish. And build a saved one again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce

from pyspark.sql import Column, DataFrame, Observation, Row
from pyspark.sql import functions as F

from featurestore.definitions.lookup import Lookup
from featurestore.definitions.names import check_name
from featurestore.definitions.time_window import TimeWindow
from featurestore.definitions.training_set import TimeSplit, TrainingSetDefinition
from featurestore.errors import InvariantError, SpineError, nearest
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import fingerprint_columns, fingerprint_text
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
)
from featurestore.operations.transform import isolated, transform
from featurestore.stores.training_sets import PART, GroupSnapshot, Manifest, PartSnapshot, SplitBoundaries

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
    check_columns(whole, asked)
    rows_before = whole.count() if asked.sample_size is not None else None
    sample = sample_rows(whole, asked.sample_size, asked.seed) if asked.sample_size is not None else whole
    return build_parts(context, tenant_id, [PartToBuild(sample)], asked, rows_before)


@dataclass(frozen=True)
class PartToBuild:
    """Spine rows, and the table versions to join them to (none: the newest)."""

    spine: DataFrame
    table_versions: Mapping[tuple[str, int], int] | None = None


@dataclass(frozen=True)
class _Joined:
    """A part's rows as they will be saved, and what tells that they are its spine's."""

    rows: DataFrame
    told: Row
    after: Observation
    groups: tuple[GroupSnapshot, ...]
    split: SplitBoundaries | None

    @property
    def snapshot(self) -> PartSnapshot:
        return PartSnapshot(
            row_count=self.told["rows"], spine_fingerprint=fingerprint_text(self.told), groups=self.groups
        )


def build_parts(
    context: Context,
    tenant_id: str,
    parts: Sequence[PartToBuild],
    asked: TrainingSetRequest,
    rows_before: int | None = None,
    base: Manifest | None = None,
) -> Manifest:
    """Join the parts, put them behind the saved rows of ``base`` (if any), verify and publish."""
    # Read once and kept: what is fingerprinted, bounded and joined must be the same rows.
    kept = [replace(part, spine=part.spine.persist()) for part in parts]
    try:
        return _publish(
            context, tenant_id, [_joined(context, tenant_id, part, asked) for part in kept], asked, rows_before, base
        )
    finally:
        for part in kept:
            part.spine.unpersist()


def _joined(context: Context, tenant_id: str, part: PartToBuild, asked: TrainingSetRequest) -> _Joined:
    spine = part.spine
    snapshots = _snapshots(context, asked, part.table_versions or {})
    versions = {(snapshot.name, snapshot.version): snapshot.table_version for snapshot in snapshots}
    joined = point_in_time(context, tenant_id, spine, replace(asked.join, table_versions=versions))
    rows, boundaries = _with_split(context, spine, joined, asked)
    fingerprint = fingerprint_columns([column(name) for name in sorted(spine.columns)])
    after = Observation()
    told = spine.agg(*fingerprint).collect()[0]
    return _Joined(rows.observe(after, *fingerprint), told, after, snapshots, boundaries)


def _publish(
    context: Context,
    tenant_id: str,
    parts: Sequence[_Joined],
    asked: TrainingSetRequest,
    rows_before: int | None,
    base: Manifest | None,
) -> Manifest:
    now = context.clock()
    version = context.training_sets.next_version(context.spark, tenant_id, asked.name)
    table = context.training_sets.rows_table(tenant_id, asked.name, version)
    columns = parts[0].rows.columns
    spine_columns = [name for name in columns if name not in {*asked.join.columns, *([SPLIT] if asked.split else [])}]

    saved = Observation()
    frames = [part.rows.withColumn(PART, F.lit(index + _parts_of(base))) for index, part in enumerate(parts)]
    if base is not None:
        before = context.training_sets.read_with_part(context.spark, base)
        frames.insert(0, before.observe(saved, *_content(base.columns)))
    rows = reduce(DataFrame.unionByName, frames)
    whole_spine, whole = Observation(), Observation()
    observed = rows.observe(whole_spine, *_content(spine_columns)).observe(whole, *_content(columns))
    table.append(observed if len(frames) > 1 else observed.drop(PART))

    changed = [part for part in parts if fingerprint_text(part.after.get) != fingerprint_text(part.told)]
    if changed:
        told, after = changed[0].told, changed[0].after.get
        raise InvariantError(
            f"training set {asked.name!r}: the spine had {told['rows']} rows and {after['rows']} came out, or their own "
            f"columns changed; version {version} is not published. Please report this with the definitions"
        )
    if base is not None and fingerprint_text(saved.get) != base.content_hash:
        raise InvariantError(
            f"training set {asked.name!r}: the saved rows of version {base.version}, which was to be extended, are not those "
            f"that it was published with; version {version} is not published. Build a new one instead"
        )
    snapshots = (*(base.all_parts if base is not None else ()), *(part.snapshot for part in parts))
    rows_built = sum(part.row_count for part in snapshots)
    manifest = Manifest(
        tenant_id=tenant_id,
        name=asked.name,
        version=version,
        description=asked.description,
        created_at=now,
        location=str(table),
        row_count=rows_built,
        content_hash=fingerprint_text(whole.get),
        label=asked.label,
        timestamp_column=asked.join.timestamp_column,
        features=tuple(_lookup(lookup) for lookup in asked.join.lookups),
        full_feature_names=asked.full_feature_names,
        known_at=asked.join.known_at,
        columns=tuple(columns),
        spine_columns=tuple(spine_columns),
        key_columns=tuple(dict.fromkeys(name for lookup in asked.join.lookups for name in lookup.keys.values())),
        feature_columns=tuple(asked.join.feature_columns),
        event_timestamp_columns=tuple(lookup.event_timestamp_output for lookup in asked.join.lookups),
        spine_fingerprint=fingerprint_text(whole_spine.get),
        spine_rows_before_sampling=rows_built if rows_before is None else rows_before,
        sample_size=asked.sample_size,
        seed=asked.seed,
        split=parts[0].split,
        groups=parts[-1].groups,
        code_version=context.code_version,
        rebuilt_from=asked.rebuilt_from,
        extends=base.version if base is not None else None,
        parts=snapshots if len(snapshots) > 1 else (),
    )
    context.training_sets.publish(context.spark, manifest)
    return manifest


def _parts_of(base: Manifest | None) -> int:
    return 0 if base is None else len(base.all_parts)


def _content(columns: Iterable[str]) -> list[Column]:
    return fingerprint_columns([column(name) for name in sorted(columns)])


def check_columns(spine: DataFrame, asked: TrainingSetRequest) -> None:
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


def _snapshots(
    context: Context, asked: TrainingSetRequest, pinned: Mapping[tuple[str, int], int]
) -> tuple[GroupSnapshot, ...]:
    """Each group once, pinned to the version its table has now, or had for the build that is repeated."""
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
