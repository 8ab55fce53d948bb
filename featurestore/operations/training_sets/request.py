"""What training set to build: asked by a caller or a definition, checked against the registry and the spine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from featurestore.columnar.names import without_case
from featurestore.definitions.lookup import Lookup
from featurestore.definitions.names import check_name, is_unicode, parse_reference
from featurestore.definitions.training_set import EntitySplit, Missing, Split, TrainingSetDefinition
from featurestore.definitions.values.durations import parse_duration
from featurestore.errors import DefinitionError, InvalidArgumentError, SpineError, nearest
from featurestore.frames.as_of.spine import check_outputs
from featurestore.frames.as_of.spine_types import check_saved
from featurestore.frames.schema import values_schema
from featurestore.frames.training_sets.missing import check_missing
from featurestore.frames.training_sets.splits import SPLIT
from featurestore.operations.context import Context
from featurestore.operations.reading.request import (
    AsOfRequest,
    Features,
    ResolvedLookup,
    check_joinable,
    parse_known_at,
    resolve,
    resolve_lookup,
)
from featurestore.stores.training_sets.manifests import PART, GroupSnapshot, Manifest, SplitCuts

_FORBIDDEN_IN_NAMES = frozenset(" ,;{}()\n\t=")


@dataclass(frozen=True)
class TrainingSetRequest:
    """What to build, resolved; everything that the manifest will say."""

    name: str
    join: AsOfRequest
    full_feature_names: bool
    label: str | None = None
    sample_size: int | None = None
    stratify_by: tuple[str, ...] = ()
    seed: int = 0
    # As asked, or as it was cut before.
    split: Split | SplitCuts | None = None
    missing: Missing = "keep"
    expand_vectors: bool = False
    strict: bool = False
    description: str = ""
    rebuilt_from: int | None = None

    @property
    def key_columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for lookup in self.join.lookups for name in lookup.keys.values()))

    @property
    def feature_types(self) -> StructType:
        """The features' output columns with their types."""
        fields = StructType()
        for lookup in self.join.lookups:
            schema = values_schema(lookup.group)
            for name in lookup.features:
                fields.add(lookup.outputs[name], schema[name].dataType)
        return fields


def request(
    context: Context,
    name: str,
    features: Features,
    *,
    label: str | None = None,
    label_offset: timedelta | str | None = None,
    timestamp_column: str = "event_timestamp",
    known_at: object = None,
    full_feature_names: bool = False,
    sample_size: int | None = None,
    stratify_by: str | Sequence[str] | None = None,
    seed: int = 0,
    split: Split | None = None,
    missing: Missing = "keep",
    expand_vectors: bool = False,
    strict: bool = False,
    description: str = "",
) -> TrainingSetRequest:
    """Check what is asked against the registry.

    Raises NotFoundError, DefinitionError, InvalidNameError, InvalidArgumentError, SpineError.
    """
    if sample_size is not None and (isinstance(sample_size, bool) or sample_size < 1):
        raise SpineError(f"sample_size is {sample_size}; give a number of rows from 1 on, or none for all")
    strata = (stratify_by,) if isinstance(stratify_by, str) else tuple(stratify_by or ())
    if strata and sample_size is None:
        raise InvalidArgumentError("stratify_by says how a sample is taken; give sample_size, too")
    if not isinstance(description, str) or not is_unicode(description):
        raise InvalidArgumentError(f"description is {description!r}; give a text, or leave it out")
    join = AsOfRequest(
        lookups=resolve(context, features, full_feature_names),
        timestamp_column=timestamp_column,
        known_at=parse_known_at(known_at, context.settings.timestamp_zone),
        with_timestamps=True,
    )
    asked = TrainingSetRequest(
        name=check_name(name),
        join=join,
        full_feature_names=full_feature_names,
        label=label,
        sample_size=sample_size,
        stratify_by=strata,
        seed=seed,
        split=split,
        missing=missing,
        expand_vectors=expand_vectors,
        strict=strict,
        description=description,
    )
    check_missing(missing, {field.name: field.dataType for field in asked.feature_types})
    return _with_label(context, asked, _offset(label_offset))


def of_definition(context: Context, definition: TrainingSetDefinition) -> TrainingSetRequest:
    return request(
        context,
        definition.name,
        definition.features,
        label=definition.label,
        label_offset=definition.label_offset,
        timestamp_column=definition.timestamp_column,
        known_at=definition.known_at,
        full_feature_names=definition.full_feature_names,
        sample_size=definition.sample_size,
        stratify_by=definition.stratify_by,
        seed=definition.seed,
        split=definition.split,
        missing=definition.missing,
        expand_vectors=definition.expand_vectors,
        strict=definition.strict,
        description=definition.description,
    )


def of_manifest(manifest: Manifest) -> TrainingSetRequest:
    """What a saved version was built by; a rebuild asks for the same."""
    return TrainingSetRequest(
        name=manifest.name,
        join=join_of_manifest(manifest, manifest.groups),
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


def join_of_manifest(manifest: Manifest, snapshots: Iterable[GroupSnapshot]) -> AsOfRequest:
    """The version's lookups, over groups as they are defined in ``snapshots``."""
    groups = {snapshot.name: snapshot.group for snapshot in snapshots}

    def resolved(lookup: Lookup) -> ResolvedLookup:
        return resolve_lookup(groups[lookup.group], lookup, manifest.full_feature_names)

    label = manifest.label_lookup
    return AsOfRequest(
        lookups=tuple(map(resolved, manifest.features)),
        timestamp_column=manifest.timestamp_column,
        known_at=manifest.known_at,
        with_timestamps=True,
        label=None if label is None else replace(resolved(label), offset=manifest.label_offset),
    )


def _offset(label_offset: timedelta | str | None) -> timedelta:
    if label_offset is None or (isinstance(label_offset, timedelta) and label_offset == timedelta(0)):
        return timedelta(0)
    try:
        return parse_duration(label_offset)
    except ValueError as error:
        raise InvalidArgumentError(
            f"label_offset: {error}; a label is looked up at a row's timestamp or later"
        ) from error


def _with_label(context: Context, asked: TrainingSetRequest, offset: timedelta) -> TrainingSetRequest:
    """The request with its label looked up, where the label is a feature reference."""
    if asked.label is None or ":" not in asked.label:
        if offset:
            raise InvalidArgumentError(
                f"label_offset is for a label that is a feature, as 'group:feature'; the label is {asked.label!r}"
            )
        return asked
    group_name, feature = parse_reference(asked.label)
    lookup = resolve_lookup(context.group(group_name), Lookup(group_name, (feature,)), asked.full_feature_names)
    for other in asked.join.lookups:
        if other.group.name == group_name and feature in other.features and not offset:
            raise DefinitionError(
                f"{asked.label!r} is the label and among the features; ask for it once, or give label_offset= for its later value"
            )
    output = lookup.outputs[feature]
    if output in asked.join.feature_columns:
        # The same feature, earlier, is a feature.
        output = f"label__{feature}"
    labelled = replace(lookup, outputs={feature: output}, offset=offset)
    return replace(asked, label=output, join=replace(asked.join, label=labelled))


def check_columns(spine: DataFrame, asked: TrainingSetRequest) -> None:
    """Raise SpineError where the spine cannot be joined, labelled, sampled, split or saved as asked."""
    check_joinable(spine, asked.join)
    outputs = [*asked.join.columns, *([SPLIT] if asked.split else [])]
    check_outputs(spine.columns, outputs)
    unsaveable = [name for name in spine.columns if _FORBIDDEN_IN_NAMES & set(name)]
    if unsaveable:
        raise SpineError(f"spine: columns {unsaveable} hold a space or one of ,;{{}}()= ; rename them to save the set")
    reserved = [name for name in spine.columns if without_case(name) == PART]
    if reserved:
        raise SpineError(f"spine: column {reserved[0]!r} has a name that saved sets use themselves; rename it")
    check_saved(spine.schema)
    if asked.join.label is None and asked.label is not None:
        _check_label(spine, asked, asked.label)
    by = asked.split.by if isinstance(asked.split, EntitySplit) else ()
    for what, names in (("stratify_by", asked.stratify_by), ("split by", by)):
        for name in names:
            if name not in spine.columns:
                raise SpineError(f"{what} {name!r} is not a column of the spine. {nearest(name, spine.columns)}")


def _check_label(spine: DataFrame, asked: TrainingSetRequest, label: str) -> None:
    if label not in spine.columns:
        known = [name for name in spine.columns if name != asked.join.timestamp_column]
        raise SpineError(
            f"label {label!r} is not a column of the spine; a feature as label is written 'group:feature'. "
            f"{nearest(label, known)}"
        )
    if label in {*asked.key_columns, asked.join.timestamp_column}:
        raise SpineError(f"label {label!r} is a key or the timestamp of the spine; name another column")
