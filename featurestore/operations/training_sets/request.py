"""The request for a training set, and its plan: the request resolved by the registry and checked with a spine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Literal

from featurestore.columnar.names import without_case
from featurestore.columnar.schema import values_schema
from featurestore.columnar.spark_names import spark_name
from featurestore.columnar.spine_checks import check_outputs
from featurestore.columnar.training_sets.missing import check_missing
from featurestore.columnar.training_sets.splits import SPLIT
from featurestore.definitions.lookup import Lookup, listed
from featurestore.definitions.names import DERIVED, check_name, is_unicode, parse_reference
from featurestore.definitions.training_set import EntitySplit, Missing, Split, TrainingSetDefinition
from featurestore.definitions.values.durations import parse_duration
from featurestore.definitions.values.types import parse_type
from featurestore.errors import DefinitionError, InvalidArgumentError, InvariantError, SpineError, nearest
from featurestore.frames.as_of.spine_types import check_saved
from featurestore.frames.text.chat import FormatFunction
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Context
from featurestore.operations.reading.request import (
    AsOfRequest,
    Features,
    check_joinable,
    parse_known_at,
    resolve_lookup,
)
from featurestore.operations.reading.resolved_features import resolve_features, resolved
from featurestore.stores.training_sets.manifests import PART, GroupSnapshot, Manifest, SplitCuts

OnInvalid = Literal["fail", "skip"]

_FORBIDDEN_IN_NAMES = frozenset(" ,;{}()\n\t=")


@dataclass(frozen=True, kw_only=True)
class ExamplesRequest:
    """Labelled examples: the features, the label, the sample and the split.

    ``FeatureDataLoader`` explains each field. A manifest's split is already cut (``SplitCuts``).
    """

    name: str
    features: Features
    label: str | None
    label_offset: timedelta | str | None
    timestamp_column: str
    known_at: object
    full_feature_names: bool
    sample_size: int | None
    stratify_by: str | Sequence[str] | None
    seed: int
    split: Split | SplitCuts | None

    @property
    def strata(self) -> tuple[str, ...]:
        """The columns of ``stratify_by``."""
        return (self.stratify_by,) if isinstance(self.stratify_by, str) else tuple(self.stratify_by or ())

    @property
    def options(self) -> dict[str, Any]:
        """What decides on the result beyond the examples themselves."""
        return {}


@dataclass(frozen=True, kw_only=True)
class TrainingSetRequest(ExamplesRequest):
    """The examples of a training set, and the options of saving it, from a caller, a definition or a manifest."""

    missing: Missing
    expand_vectors: bool
    strict: bool
    description: str

    @property
    def options(self) -> dict[str, Any]:
        # Not ``strict``: it decides whether there is a result, not which.
        return {"missing": self.missing, "expand_vectors": self.expand_vectors, "description": self.description}

    @classmethod
    def of_definition(cls, definition: TrainingSetDefinition) -> TrainingSetRequest:
        """The request in a definition, which has a field of the same name for each field of a request."""
        return cls(**{field.name: getattr(definition, field.name) for field in fields(cls)})

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> TrainingSetRequest:
        """The request that a saved version was built from. Its rows are the sample, so they are not sampled again."""
        return cls(
            name=manifest.name,
            features=manifest.asked,
            label=manifest.label,
            label_offset=manifest.label_offset,
            timestamp_column=manifest.timestamp_column,
            known_at=manifest.known_at,
            full_feature_names=manifest.full_feature_names,
            sample_size=None,
            stratify_by=manifest.stratify_by,
            seed=manifest.seed,
            split=manifest.split,
            missing=manifest.missing,
            expand_vectors=manifest.expand_vectors,
            strict=False,
            description=manifest.description,
        )


@dataclass(frozen=True, kw_only=True)
class FineTuningRequest(ExamplesRequest):
    """The examples, with the output as their label, and the options that turn them into messages and files."""

    path: str
    system: str | None
    template: str | None
    format_fn: FormatFunction | None
    shards: int | None
    on_invalid: OnInvalid

    @property
    def options(self) -> dict[str, Any]:
        # Not ``format_fn``: code cannot be compared.
        options = {name: getattr(self, name) for name in ("name", "system", "template", "shards", "on_invalid")}
        return options | {"features": [str(feature) for feature in listed(self.features)]}


@dataclass(frozen=True)
class ExamplesPlan:
    """A request resolved against the registry: its as-of join, and the column that holds the label."""

    request: ExamplesRequest
    join: AsOfRequest
    label: str | None

    @property
    def key_columns(self) -> tuple[str, ...]:
        lookups = (*self.join.lookups, *self.join.inputs)
        return tuple(dict.fromkeys(name for lookup in lookups for name in lookup.keys.values()))

    @property
    def feature_words(self) -> dict[str, str]:
        """The features' output columns with the words for their Spark types."""
        words: dict[str, str] = {}
        for lookup in self.join.lookups:
            schema = values_schema(lookup.group)
            words |= {lookup.outputs[name]: spark_name(schema.field(name).type) for name in lookup.features}
        return words | {name: parse_type(word).storage for name, word in self.join.derived.words.items()}


@dataclass(frozen=True)
class TrainingSetPlan(ExamplesPlan):
    """The plan of a training set. ``rebuilt_from``: the version that it repeats, if any.

    ``new_version``: whether to build even if the newest version is up to date.
    """

    request: TrainingSetRequest
    rebuilt_from: int | None = None
    new_version: bool = True


def plan_examples(context: Context, request: ExamplesRequest) -> ExamplesPlan:
    """Check a request against the registry.

    Raises NotFoundError, DefinitionError, InvalidNameError, InvalidArgumentError, SpineError.
    """
    size = request.sample_size
    if size is not None and (isinstance(size, bool) or size < 1):
        raise SpineError(f"sample_size is {size}; give a number of rows from 1 on, or None for all")
    if request.strata and size is None:
        raise InvalidArgumentError("stratify_by is an option of a sample; give sample_size, too")
    features = resolve_features(context, request.features, request.full_feature_names)
    join = AsOfRequest(
        lookups=features.lookups,
        inputs=features.inputs,
        derived=features.derived,
        timestamp_column=request.timestamp_column,
        known_at=parse_known_at(request.known_at, context.settings.timestamp_zone),
        with_timestamps=True,
    )
    check_name(request.name)
    return _with_label(context, ExamplesPlan(request, join, request.label), _offset(request.label_offset))


def plan_training_set(context: Context, request: TrainingSetRequest, *, new_version: bool) -> TrainingSetPlan:
    """Check a request against the registry; raises what ``plan_examples`` raises, and checks the options of saving."""
    description = request.description
    if not isinstance(description, str) or not is_unicode(description):
        raise InvalidArgumentError(f"description is {description!r}; give a text, or leave it out")
    examples = plan_examples(context, request)
    plan = TrainingSetPlan(request, examples.join, examples.label, new_version=new_version)
    check_missing(request.missing, plan.feature_words)
    return plan


def plan_of_manifest(manifest: Manifest) -> TrainingSetPlan:
    """The plan that a saved version was built by; a rebuild uses the same plan."""
    return TrainingSetPlan(
        TrainingSetRequest.of_manifest(manifest),
        join_of_manifest(manifest, manifest.groups),
        manifest.label,
        rebuilt_from=manifest.version,
    )


def join_of_manifest(manifest: Manifest, snapshots: Iterable[GroupSnapshot]) -> AsOfRequest:
    """The as-of join of the version's lookups, with the definitions of groups in ``snapshots``."""
    groups = {snapshot.name: snapshot.group for snapshot in snapshots}
    derived = {snapshot.name: snapshot.feature for snapshot in manifest.derived}
    features = resolved(manifest.asked, groups.__getitem__, derived.__getitem__, manifest.full_feature_names)
    label = manifest.label_lookup
    if label is not None:
        resolved_label = resolve_lookup(groups[label.group], label, manifest.full_feature_names)
    return AsOfRequest(
        lookups=features.lookups,
        inputs=features.inputs,
        derived=features.derived,
        timestamp_column=manifest.timestamp_column,
        known_at=manifest.known_at,
        with_timestamps=True,
        label=None if label is None else replace(resolved_label, offset=manifest.label_offset),
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


def _with_label(context: Context, plan: ExamplesPlan, offset: timedelta) -> ExamplesPlan:
    """The plan, with a lookup of the label if the label is a feature reference."""
    if plan.label is None or ":" not in plan.label:
        if offset:
            raise InvalidArgumentError(
                f"label_offset is for a label that is a feature, as 'group:feature'; the label is {plan.label!r}"
            )
        return plan
    group_name, feature = parse_reference(plan.label)
    if group_name == DERIVED:
        raise DefinitionError(
            f"label {plan.label!r} is a derived feature; a label is a column of the spine or a stored feature. Compute "
            "it from the loaded set with DerivedFeature.compute, or add its value to the spine"
        )
    reference = Lookup(group_name, (feature,))
    lookup = resolve_lookup(context.group(group_name), reference, plan.request.full_feature_names)
    for other in plan.join.lookups:
        if other.group.name == group_name and feature in other.features and not offset:
            raise DefinitionError(
                f"{plan.label!r} is the label and among the features; name it once, or give label_offset= for its "
                "later value"
            )
    if not offset and any(each.group.name == group_name and feature in each.features for each in plan.join.inputs):
        raise DefinitionError(
            f"{plan.label!r} is the label, and a derived feature reads it, which would give the model its answer; "
            "leave that feature out, or give label_offset= for the label's later value"
        )
    output = lookup.outputs[feature]
    if output in plan.join.feature_columns:
        # The same feature at an earlier time is among the features, so the label gets another name.
        output = f"label__{feature}"
    labelled = replace(lookup, outputs={feature: output}, offset=offset)
    return replace(plan, label=output, join=replace(plan.join, label=labelled))


def check_columns(spine: DataFrame, plan: ExamplesPlan) -> None:
    """Raise SpineError if the spine cannot be joined, labelled, sampled, split or saved as planned."""
    check_joinable(spine, plan.join)
    check_saved(spine.schema)
    check_named(spine.columns, plan)


def check_named(columns: Sequence[str], plan: ExamplesPlan) -> None:
    """The part of the same check that is about the names of a spine's columns alone."""
    outputs = [*plan.join.columns, *([SPLIT] if plan.request.split else [])]
    check_outputs(columns, outputs)
    unsaveable = [name for name in columns if _FORBIDDEN_IN_NAMES & set(name)]
    if unsaveable:
        raise SpineError(f"spine: columns {unsaveable} hold a space or one of ,;{{}}()= ; rename them to save the set")
    reserved = [name for name in columns if without_case(name) == PART]
    if reserved:
        raise SpineError(f"spine: column {reserved[0]!r} has a name that saved sets use themselves; rename it")
    if plan.join.label is None and plan.label is not None:
        _check_label(columns, plan, plan.label)
        reader = plan.join.derived.spine_columns.get(plan.label)
        if reader is not None:
            raise SpineError(
                f"label {plan.label!r} is an input of derived feature {reader!r}, which would give the model its "
                "answer; leave that feature out"
            )
    split = plan.request.split
    by = split.by if isinstance(split, EntitySplit) else ()
    for option, names in (("stratify_by", plan.request.strata), ("split by", by)):
        for name in names:
            if name not in columns:
                raise SpineError(f"{option} {name!r} is not a column of the spine. {nearest(name, columns)}")


def _check_label(columns: Sequence[str], plan: ExamplesPlan, label: str) -> None:
    if label not in columns:
        known = [name for name in columns if name != plan.join.timestamp_column]
        raise SpineError(
            f"label {label!r} is not a column of the spine; a feature as label is written 'group:feature'. "
            f"{nearest(label, known)}"
        )
    if label in {*plan.key_columns, plan.join.timestamp_column}:
        raise SpineError(f"label {label!r} is a key or the timestamp of the spine; name another column")


def check_sample(plan: ExamplesPlan, sampled_from: int | None, rows: int) -> None:
    """Raise InvariantError if a sample has another number of rows than was asked for."""
    if sampled_from is None or plan.request.sample_size is None:
        return
    if rows != min(plan.request.sample_size, sampled_from):
        raise InvariantError(
            f"training set {plan.request.name!r}: a sample of {plan.request.sample_size} of {sampled_from} rows "
            f"came out with {rows}; the spine changed between two reads of it. Save or cache it first"
        )
