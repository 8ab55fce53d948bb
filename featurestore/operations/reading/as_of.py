"""The as-of join over the store's tables: resolve what is asked, prune the scans, join group after group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TypeAlias

import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore.columnar.user_frames import MomentColumn, exact_table
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.lookup import Lookup, as_lookups, listed, with_places
from featurestore.definitions.names import parse_reference
from featurestore.definitions.values.durations import microseconds
from featurestore.definitions.values.time_window import to_instant
from featurestore.errors import DefinitionError, SpineError
from featurestore.frames.as_of.examples import joined_by_example
from featurestore.frames.as_of.point_in_time import AsOfJoin, KnownAt, point_in_time_joins
from featurestore.frames.as_of.spine import (
    SpineBounds,
    bounds,
    check_keys,
    check_outputs,
    check_spine,
    guarded,
    instant_column,
    with_instants,
)
from featurestore.frames.columns import column
from featurestore.frames.schema import TIME_COLUMNS, key_fields
from featurestore.frames.timestamps import partition_of
from featurestore.operations.context import Context, Scope
from featurestore.operations.reading.as_of_plan import asks_examples_once, plan_key
from featurestore.stores.arrow import to_spark
from featurestore.stores.group_table import ROW_IDENTITY

_EARLIER, _LATER = date(1970, 1, 1), date(1970, 1, 2)

Spine: TypeAlias = DataFrame | pd.DataFrame | pa.Table
Features: TypeAlias = str | Lookup | Iterable[str | Lookup]


@dataclass(frozen=True)
class ResolvedLookup:
    """A lookup with its group as defined, and the columns it gives."""

    group: FeatureGroup
    features: tuple[str, ...]
    keys: dict[str, str]
    outputs: dict[str, str]
    event_timestamp_output: str
    # How long after the spine row's timestamp: a label's, never a feature's.
    offset: timedelta = timedelta(0)

    def join(self, timestamp_column: str, known_at: KnownAt, with_timestamps: bool) -> AsOfJoin:
        return AsOfJoin(
            keys=self.keys,
            features=tuple(name for name in self.group.feature_names if name in self.features),
            timestamp_column=timestamp_column,
            ttl=self.group.ttl,
            nulls=self.group.nulls,
            known_at=known_at,
            outputs=self.outputs,
            event_timestamp_output=self.event_timestamp_output if with_timestamps else None,
        )

    def columns(self, with_timestamps: bool) -> list[str]:
        """Output columns, in the order the features were asked."""
        names = [self.outputs[feature] for feature in self.features]
        return [*names, self.event_timestamp_output] if with_timestamps else names


@dataclass(frozen=True)
class AsOfRequest:
    """A whole as-of join, resolved: which lookups, by which time, known when, from which table versions."""

    lookups: tuple[ResolvedLookup, ...]
    timestamp_column: str = "event_timestamp"
    known_at: KnownAt = None
    with_timestamps: bool = False
    # Of one feature, under the label's name; may look ahead of the spine row's timestamp.
    label: ResolvedLookup | None = None
    # Table version by (group name, major version); a group not named is read at its newest.
    table_versions: Mapping[tuple[str, int], int] | None = None

    @property
    def feature_columns(self) -> list[str]:
        return [name for lookup in self.lookups for name in lookup.columns(False)]

    @property
    def columns(self) -> list[str]:
        """Of the features, and of the label where it is one."""
        names = [name for lookup in self.lookups for name in lookup.columns(self.with_timestamps)]
        return names if self.label is None else [*names, *self.label.columns(False)]

    @property
    def key_lookups(self) -> list[dict[str, str]]:
        """The ways in which a row of the spine tells entities: join key -> column."""
        return [lookup.keys for lookup in self.all_lookups]

    @property
    def all_lookups(self) -> tuple[ResolvedLookup, ...]:
        return self.lookups if self.label is None else (*self.lookups, self.label)


def resolve(context: Context, features: Features, full_feature_names: bool = False) -> tuple[ResolvedLookup, ...]:
    """Feature references and lookups, checked against the registry.

    Raises NotFoundError (with the nearest names), InvalidNameError, DefinitionError (a lookup ``on`` a key that the
    group has not).
    """
    lookups = as_lookups(features)
    if not lookups:
        raise DefinitionError("no features were asked; name at least one as 'group:feature'")
    return tuple(resolve_lookup(context.group(lookup.group), lookup, full_feature_names) for lookup in lookups)


def columns_asked(features: Features, lookups: Sequence[ResolvedLookup]) -> tuple[str, ...]:
    """The features' columns in the order asked; ``lookups`` are these features, resolved."""
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
    """None, ``"event"``, or an instant; raises DefinitionError for anything else."""
    if known_at is None:
        return None
    if isinstance(known_at, str) and known_at == "event":
        return "event"
    try:
        return to_instant(known_at, zone, "down")
    except ValueError as error:
        raise DefinitionError(f"known_at: {error}; possible: None, 'event', or an instant") from error


def as_spine(context: Context, spine: Spine, request: AsOfRequest) -> DataFrame:
    """A pandas or pyarrow spine as a Spark DataFrame, every value as it was; see ``columnar.user_frames.exact_table``.

    Raises SpineError for values that Spark does not hold unchanged, and for anything that is no frame.
    """
    if isinstance(spine, DataFrame):
        return spine
    if isinstance(spine, pd.DataFrame | pa.Table):
        moments = MomentColumn(request.timestamp_column, context.settings.timestamp_zone)
        keys = [name for lookup in request.key_lookups for name in lookup.values()]
        return to_spark(context.spark, exact_table(spine, "spine", moments, may_be_untyped=keys))
    raise SpineError(f"spine is {type(spine).__name__}; give a Spark or pandas DataFrame or a pyarrow Table")


def check_joinable(spine: DataFrame, request: AsOfRequest) -> None:
    """Raise SpineError where the spine lacks what the request needs, or holds columns that cannot stay beside it."""
    check_spine(spine, request.timestamp_column)
    check_outputs(spine.columns, request.columns)
    for lookup in request.all_lookups:
        types = {field.name: field.dataType for field in key_fields(lookup.group)}
        check_keys(spine, lookup.keys, types, lookup.group.name)


def point_in_time(scope: Scope, spine: DataFrame, request: AsOfRequest) -> DataFrame:
    """The spine with the asked features as of each row's timestamp; see ``point_in_time_join`` for the rules.

    Runs small jobs over the timestamps and keys of the spine and the tables, which tell what can be left out; all else
    is lazy. The tables are read as they are when this is called. Raises SpineError.
    """
    check_joinable(spine, request)
    instants = instant_column(spine)
    timed = with_instants(spine, request.timestamp_column, scope.settings.timestamp_zone, instants)
    by_key = _by_key(request.all_lookups)
    moments = {offset: instants if not offset else f"{instants}_later" for _, _, offset in by_key}
    for offset, name in moments.items():
        timed = timed.withColumn(name, _later(instants, offset)) if offset else timed
    found = bounds(timed, instants, list(dict.fromkeys(columns for columns, _, _ in by_key)))
    rows = guarded(timed, instants, found)
    planned = []
    for (_, _, offset), lookups in by_key.items():
        read = [_lookup(scope, lookup, request, moments[offset], found) for lookup in lookups]
        planned.append(plan_key(timed, read, found, scope.settings.hot_key_rows))

    def joined(rows: DataFrame) -> DataFrame:
        for lookups, hot in planned:
            rows = point_in_time_joins(rows, lookups, hot)
        return rows

    needed = [*dict.fromkeys((instants, *moments.values(), *(name for columns, _, _ in by_key for name in columns)))]
    if asks_examples_once(spine.schema, needed, found):
        rows = joined_by_example(rows, needed, joined, request.columns)
    else:
        rows = joined(rows)
    return rows.select(*(column(name) for name in (*spine.columns, *request.columns)))


def _later(instants: str, offset: timedelta) -> Column:
    return F.timestamp_micros(F.unix_micros(column(instants)) + F.lit(microseconds(offset)))


_Key: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], timedelta]


def _by_key(lookups: Iterable[ResolvedLookup]) -> dict[_Key, list[ResolvedLookup]]:
    """By the columns of the spine that are looked up by, their types, and the time: such lookups share one shuffle of the
    spine."""
    by_key: dict[_Key, list[ResolvedLookup]] = {}
    for lookup in lookups:
        types = tuple(lookup.group.entity.join_keys[key] for key in lookup.keys)
        by_key.setdefault((tuple(lookup.keys.values()), types, lookup.offset), []).append(lookup)
    return by_key


def _lookup(
    scope: Scope,
    lookup: ResolvedLookup,
    request: AsOfRequest,
    instants: str,
    found: SpineBounds,
) -> tuple[DataFrame, AsOfJoin]:
    """The values that the spine may take, and how they are joined."""
    group = lookup.group
    versions = request.table_versions or {}
    values = scope.table(group).read_values(
        scope.spark,
        scope.tenant_id,
        [*group.join_keys, *TIME_COLUMNS, *(name for name in group.feature_names if name in lookup.features)],
        _partitions(lookup, found),
        versions.get((group.name, group.version)),
    )
    join = lookup.join(instants, request.known_at, request.with_timestamps and lookup is not request.label)
    return values, replace(join, row_identity=ROW_IDENTITY if ROW_IDENTITY in values.columns else None)


def _partitions(lookup: ResolvedLookup, found: SpineBounds) -> tuple[date | None, date]:
    """The partitions that can hold a value for the spine; none of them where the spine has no timestamps."""
    dates = found.dates(lookup.group.ttl, lookup.offset)
    if dates is None:
        return _LATER, _EARLIER
    first, last = dates
    return (None if first is None else partition_of(first, lookup.group.partition_by)), last
