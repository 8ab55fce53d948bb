"""The request of an as-of join: lookups resolved against the registry, and a spine checked against them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeAlias

import pyarrow as pa

from featurestore.columnar.spine_checks import check_outputs
from featurestore.columnar.user_frames import MomentColumn, exact_table
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.lookup import Lookup, as_lookups, listed, with_places
from featurestore.definitions.names import parse_reference
from featurestore.definitions.values.time_window import to_instant
from featurestore.errors import DefinitionError, SpineError
from featurestore.frames.as_of.join_rules import AsOfJoin, KnownAt
from featurestore.frames.as_of.spine import check_keys, check_spine
from featurestore.frames.schema import key_fields
from featurestore.late_pandas import pd
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Context, State
from featurestore.operations.reading.derived import NO_DERIVED, DerivedPart
from featurestore.stores.arrow import to_spark

Spine: TypeAlias = DataFrame | pd.DataFrame | pa.Table
Features: TypeAlias = str | Lookup | Iterable[str | Lookup]


@dataclass(frozen=True)
class ResolvedLookup:
    """A lookup with its group's definition, and its output columns."""

    group: FeatureGroup
    features: tuple[str, ...]
    keys: dict[str, str]
    outputs: dict[str, str]
    event_timestamp_output: str
    # How long after the spine row's timestamp values are looked up. Only a label has an offset.
    offset: timedelta = timedelta(0)

    @property
    def declared_features(self) -> tuple[str, ...]:
        """The features in the order in which the group declares them."""
        return tuple(name for name in self.group.feature_names if name in self.features)

    def join(self, timestamp_column: str, known_at: KnownAt, with_timestamps: bool) -> AsOfJoin:
        return AsOfJoin(
            keys=self.keys,
            features=self.declared_features,
            timestamp_column=timestamp_column,
            ttl=self.group.ttl,
            nulls=self.group.nulls,
            known_at=known_at,
            outputs=self.outputs,
            event_timestamp_output=self.event_timestamp_output if with_timestamps else None,
        )

    def columns(self, with_timestamps: bool) -> list[str]:
        """Output columns, in the order of the request."""
        names = [self.outputs[feature] for feature in self.features]
        return [*names, self.event_timestamp_output] if with_timestamps else names


@dataclass(frozen=True)
class AsOfRequest:
    """A resolved as-of join: its lookups, its timestamp column, what is known when, and the table versions."""

    lookups: tuple[ResolvedLookup, ...]
    timestamp_column: str = "event_timestamp"
    known_at: KnownAt = None
    with_timestamps: bool = False
    # A lookup of one feature under the label's name; it may look ahead of the spine row's timestamp.
    label: ResolvedLookup | None = None
    # Table version, or pinned state, by (group name, major version); any other group is read at its newest version.
    table_versions: Mapping[tuple[str, int], State] | None = None
    # Lookups of what derived features read and nobody asked for; their columns are left out of the result.
    inputs: tuple[ResolvedLookup, ...] = ()
    derived: DerivedPart = NO_DERIVED

    @property
    def feature_columns(self) -> list[str]:
        """Output columns of the features, derived ones last."""
        return [*(name for lookup in self.lookups for name in lookup.columns(False)), *self.derived.outputs]

    @property
    def outputs(self) -> list[dict[str, str]]:
        """By feature the output column, for each lookup, also of derived features, in the order of the request."""
        outputs = [dict(lookup.outputs) for lookup in self.lookups]
        for before, asked in enumerate(self.derived.asked):
            outputs.insert(asked.place + before, asked.columns)
        return outputs

    @property
    def without_derived(self) -> AsOfRequest:
        """The same join, with the columns of derived features' inputs in their place."""
        return replace(self, lookups=(*self.lookups, *self.inputs), inputs=(), derived=NO_DERIVED)

    @property
    def columns(self) -> list[str]:
        """Output columns of the features, and of the label if it is a feature."""
        columns = [lookup.columns(self.with_timestamps) for lookup in self.lookups]
        for before, asked in enumerate(self.derived.asked):
            columns.insert(asked.place + before, list(asked.outputs))
        names = [name for names in columns for name in names]
        return names if self.label is None else [*names, *self.label.columns(False)]

    @property
    def key_lookups(self) -> list[dict[str, str]]:
        """For each lookup, how a spine row names the entity: join key -> column."""
        return [lookup.keys for lookup in self.all_lookups]

    @property
    def spine_keys(self) -> list[tuple[str, ...]]:
        """The distinct combinations of spine columns that are keys of lookups."""
        return list(dict.fromkeys(tuple(keys.values()) for keys in self.key_lookups))

    @property
    def all_lookups(self) -> tuple[ResolvedLookup, ...]:
        lookups = (*self.lookups, *self.inputs)
        return lookups if self.label is None else (*lookups, self.label)

    @property
    def stored_lookups(self) -> tuple[ResolvedLookup, ...]:
        """The lookups of groups that store their values."""
        return tuple(lookup for lookup in self.all_lookups if not lookup.group.is_computed)

    @property
    def of_stored(self) -> AsOfRequest:
        """The part of the request that asks for stored values."""
        label = None if self.label is None or self.label.group.is_computed else self.label
        return replace(self, lookups=tuple(each for each in self.stored_lookups if each is not label), label=label)


def resolve(context: Context, features: Features, full_feature_names: bool = False) -> tuple[ResolvedLookup, ...]:
    """Resolve feature references and lookups against the registry.

    Raises NotFoundError (with the nearest names), InvalidNameError, DefinitionError (a lookup ``on`` a key that is not
    one of the group's).
    """
    lookups = as_lookups(features)
    if not lookups:
        raise DefinitionError("no features were requested; name at least one as 'group:feature'")
    return tuple(resolve_lookup(context.group(lookup.group), lookup, full_feature_names) for lookup in lookups)


def requested_columns(features: Features, lookups: Sequence[ResolvedLookup]) -> tuple[str, ...]:
    """The output columns in the order of ``features``; ``lookups`` are the same features, resolved."""
    names: list[str] = []
    for place, item in with_places(listed(features)):
        lookup = lookups[place]
        names += lookup.columns(False) if isinstance(item, Lookup) else [lookup.outputs[parse_reference(item)[1]]]
    return tuple(names)


def resolve_lookup(group: FeatureGroup, lookup: Lookup, full_feature_names: bool) -> ResolvedLookup:
    names = lookup.features or tuple(group.feature_names)
    for name in names:
        group.feature(name)
    unknown = sorted(lookup.on.keys() - set(group.join_keys))
    if unknown:
        raise DefinitionError(f"lookup of {group.name!r}: on= names {unknown}; its join keys are {group.join_keys}")
    if lookup.prefix is not None:
        prefix = lookup.prefix
    else:
        prefix = f"{group.name}__" if full_feature_names else ""
    return ResolvedLookup(
        group=group,
        features=names,
        keys={key: lookup.on.get(key, key) for key in group.join_keys},
        outputs={name: f"{prefix}{name}" for name in names},
        event_timestamp_output=f"{lookup.prefix or ''}{group.name}__event_timestamp",
    )


def parse_known_at(known_at: object, zone: str | None) -> KnownAt:
    """Read None, ``"event"`` or an instant; raises DefinitionError for anything else."""
    if known_at is None:
        return None
    if isinstance(known_at, str) and known_at == "event":
        return "event"
    try:
        return to_instant(known_at, zone, "down")
    except ValueError as error:
        raise DefinitionError(f"known_at: {error}; possible: None, 'event', or an instant") from error


def as_spine(context: Context, spine: Spine, request: AsOfRequest) -> DataFrame:
    """The spine as a Spark DataFrame with every value unchanged; see ``columnar.user_frames.exact_table``.

    Raises SpineError for values that Spark cannot hold unchanged, and for anything that is not a frame.
    """
    return spine if isinstance(spine, DataFrame) else to_spark(context.spark, local_spine(context, spine, request))


def local_spine(context: Context, spine: Spine, request: AsOfRequest) -> pa.Table:
    """A pandas or Arrow spine in Arrow types that Spark has, with every value unchanged; raises as ``as_spine``."""
    if not isinstance(spine, pd.DataFrame | pa.Table):
        raise SpineError(f"spine is {type(spine).__name__}; give a Spark or pandas DataFrame or a pyarrow Table")
    moments = MomentColumn(request.timestamp_column, context.settings.timestamp_zone)
    keys = [name for lookup in request.key_lookups for name in lookup.values()]
    return exact_table(spine, "spine", moments, may_be_untyped=keys)


def check_joinable(spine: DataFrame, request: AsOfRequest) -> None:
    """Raise SpineError if the spine lacks a requested column, or has one that collides with an output."""
    check_spine(spine, request.timestamp_column)
    check_outputs(spine.columns, request.columns)
    request.derived.check_spine(spine.columns)
    for lookup in request.all_lookups:
        types = {field.name: field.dataType for field in key_fields(lookup.group)}
        check_keys(spine, lookup.keys, types, lookup.group.name)
