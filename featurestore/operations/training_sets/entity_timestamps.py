"""Spines made by the store: (entity, timestamp) pairs of events, or of stored feature values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any, TypeAlias

from featurestore.columnar.names import check_names
from featurestore.definitions.entity import Entity
from featurestore.definitions.source import Source
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.definitions.values.types import storage_of_key
from featurestore.errors import InvalidArgumentError, NotFoundError, SpineError, nearest
from featurestore.frames.as_of.spine import check_keys, check_spine, instant_column, with_instants
from featurestore.frames.columns import column
from featurestore.frames.schema import data_type
from featurestore.frames.timestamps import in_window
from featurestore.late_spark import DataFrame, F
from featurestore.operations.context import Context, Scope
from featurestore.operations.entities import Entities
from featurestore.operations.instants import argument_window
from featurestore.operations.jobs.transform import isolated
from featurestore.operations.reading.batch import values_in
from featurestore.operations.reading.request import ResolvedLookup, Spine, as_spine
from featurestore.operations.training_sets.request import ExamplesPlan
from featurestore.stores.sources import read_source

TimeRange: TypeAlias = TimeWindow | tuple[Any, Any]


def time_range_window(time_range: object, zone: str | None) -> TimeWindow:
    """The window ``[start, end)`` of a TimeWindow or a pair; raises InvalidArgumentError."""
    if isinstance(time_range, TimeWindow):
        return time_range
    if not isinstance(time_range, tuple | list) or len(time_range) != 2:
        raise InvalidArgumentError(f"time_range is {time_range!r}; give a pair (start, end), the end not included")
    return argument_window(time_range[0], time_range[1], zone)


def get_entity_timestamps(
    scope: Scope,
    source: str | Source,
    entity: str | Entity,
    *,
    time_range: TimeRange | None,
    timestamp_column: str,
    on: Mapping[str, str],
) -> DataFrame:
    """The distinct (join keys, ``event_timestamp``) of a source's rows, for use as a spine.

    ``source``: a Source, or the name of a declared one (``orders``, or ``user_orders.orders`` if several groups declare
    that name). ``on``: join key -> column of the source, if the names differ. ``time_range``: ``[start, end)``. Rows
    without a key or a timestamp are left out. Raises NotFoundError, SpineError, InvalidArgumentError.
    """
    known = _entity(scope.context, entity)
    unknown = sorted(on.keys() - set(known.keys))
    if unknown:
        raise InvalidArgumentError(f"on= names {unknown}; the join keys of {known.name!r} are {known.keys}")
    columns = {key: on.get(key, key) for key in known.keys}
    name, declared = _source(scope.context, source)
    inside = isolated(scope, {name: declared})
    events = read_source(inside.named_files, name, declared, scope.tenant_id, scope.settings)
    check_names(events.columns, f"source {name!r}")
    if timestamp_column not in events.columns:
        raise SpineError(
            f"source {name!r} has no column {timestamp_column!r}; name its timestamp with timestamp_column=. "
            f"{nearest(timestamp_column, events.columns)}"
        )
    types = {key: data_type(storage_of_key(kind)) for key, kind in known.join_keys.items()}
    remedy = "say which column holds the key with on={{{key!r}: <column>}}"
    check_keys(events, columns, types, known.name, f"source {name!r}", remedy)
    instants = instant_column(events)
    timed = with_instants(events, timestamp_column, scope.settings.timestamp_zone, instants)
    pairs = timed.select(
        *(column(columns[key]).try_cast(kind).alias(key) for key, kind in types.items()),
        column(instants).alias("event_timestamp"),
    ).dropna()
    if time_range is not None:
        pairs = pairs.where(
            in_window(F.col("event_timestamp"), time_range_window(time_range, scope.settings.timestamp_zone))
        )
    return pairs.distinct()


def examples(
    scope: Scope,
    spine: Spine | None,
    plan: ExamplesPlan,
    *,
    entities: Entities | None,
    time_range: TimeRange | None,
) -> Spine:
    """The rows of ``spine`` within ``time_range``; without a spine, the times of stored values in that range.

    A spine without a time range is returned as it is, and everything else is a Spark DataFrame.
    The values are those of the label if it is a feature, otherwise those of the features. Raises InvalidArgumentError
    without a spine and a time range, and for ``entities`` together with a spine.
    """
    zone = scope.settings.timestamp_zone
    window = None if time_range is None else time_range_window(time_range, zone)
    if spine is None:
        if window is None:
            raise InvalidArgumentError("there are no examples: give a spine, or time_range= (and entities=)")
        lookups = (*plan.join.lookups, *plan.join.inputs) if plan.join.label is None else (plan.join.label,)
        pairs = written_timestamps(scope, lookups, window, entities)
        return pairs.withColumnRenamed("event_timestamp", plan.join.timestamp_column)
    if entities is not None:
        raise InvalidArgumentError("entities= goes with time_range= in place of a spine; filter the spine instead")
    if window is None:
        return spine
    rows = as_spine(scope.context, spine, plan.join)
    check_spine(rows, plan.join.timestamp_column)
    instants = instant_column(rows)
    timed = with_instants(rows, plan.join.timestamp_column, zone, instants)
    return timed.where(in_window(column(instants), window)).drop(instants)


def written_timestamps(
    scope: Scope,
    lookups: Sequence[ResolvedLookup],
    window: TimeWindow,
    entities: Entities | None,
) -> DataFrame:
    """The distinct (join keys, ``event_timestamp``) in the window with a value of any of the looked-up features.

    Raises InvalidArgumentError if the lookups are of several entities.
    """
    first = lookups[0].group
    for lookup in lookups:
        if lookup.group.entity.join_keys != first.entity.join_keys or list(lookup.keys) != list(lookup.keys.values()):
            raise InvalidArgumentError(
                f"examples of a time range are of one entity, and {first.name!r} has the join keys {first.join_keys}, "
                f"{lookup.group.name!r} {lookup.keys}; give a spine instead"
            )
    pairs = []
    for lookup in lookups:
        values = values_in(scope, lookup.group, lookup.features, window, entities)
        if lookup.group.nulls == "skip":
            conditions = (column(name).isNotNull() for name in lookup.features)
            values = values.where(reduce(or_, conditions))
        pairs.append(values.select(*(column(key) for key in first.join_keys), F.col("event_timestamp")))
    return reduce(DataFrame.unionByName, pairs).distinct()


def _entity(context: Context, entity: str | Entity) -> Entity:
    if isinstance(entity, Entity):
        return entity
    definition = context.state.entity(entity) or context.refresh().entity(entity)
    if definition is None:
        known = [name for kind, name, _ in context.state.entries if kind == "entity"]
        raise NotFoundError(f"entity {entity!r} was never applied. {nearest(entity, known)}")
    return definition


def _source(context: Context, source: str | Source) -> tuple[str, Source]:
    if isinstance(source, Source):
        return "given", source
    owner, _, name = source.rpartition(".")
    declared = list(_declared(context))
    matches = [(group, match) for group, known, match in declared if known == name and owner in ("", group)]
    if not matches:
        names = {f"{group}.{known}" if owner else known for group, known, _ in declared}
        raise NotFoundError(f"source {source!r} is not declared by any group or training set. {nearest(source, names)}")
    if any(other != matches[0][1] for _, other in matches):
        raise InvalidArgumentError(
            f"source {source!r} is declared differently by {sorted(group for group, _ in matches)}; name one of them, "
            f"as in '{matches[0][0]}.{name}'"
        )
    return source, matches[0][1]


def _declared(context: Context) -> Iterator[tuple[str, str, Source]]:
    """Every declared source, with the group or training set that declares it, and its name."""
    state = context.refresh()
    for group in state.feature_groups():
        yield from ((group.name, name, source) for name, source in group.sources.items())
    for training_set in state.training_sets():
        yield from ((training_set.name, name, source) for name, source in training_set.spine.sources.items())
