"""Windowed features at the moments of a schedule, for groups that store them.

At its first moment a run computes each entity that has had an event by then, and at each later one the entities of
which an event entered or left a window. At other moments their values are what they were before, and as-of reads find
these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from featurestore.columnar.events.event_columns import EVENT, INSTANT, key_name
from featurestore.columnar.fixed_width import as_arrow, as_numpy
from featurestore.columnar.ranks import one_array
from featurestore.columnar.schema import TIME_COLUMNS, key_fields
from featurestore.columnar.values.changed_rows import changed_rows
from featurestore.columnar.values.corrections import latest_values
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.lookup import Lookup
from featurestore.definitions.values.durations import microseconds
from featurestore.definitions.values.time_window import TimeWindow, to_micros
from featurestore.frames.columns import column
from featurestore.frames.timestamps import instant, partitions_of
from featurestore.late_spark import DataFrame, F
from featurestore.operations.as_of.join import get_point_in_time, point_in_time
from featurestore.operations.context import Scope
from featurestore.operations.reading.request import AsOfRequest, resolve_lookup
from featurestore.operations.windows.event_tables import EventTable, open_events
from featurestore.stores.arrow import from_spark, to_spark

_AT = "event_timestamp"


@dataclass(frozen=True)
class Schedule:
    """The multiples of ``every`` since 1970 in ``(start, end]``, from ``first`` to ``last``, in microseconds.

    ``windows``: how long after an event it leaves a window.
    """

    first: int
    last: int
    every: int
    windows: tuple[int, ...]

    @classmethod
    def of(cls, group: FeatureGroup, window: TimeWindow) -> Schedule:
        assert group.every is not None
        every = microseconds(group.every)
        after = to_micros(window.start) + 1
        first = after + -after % every
        end = to_micros(window.end)
        lengths = {feature.window for feature in group.aggregates if feature.window is not None}
        return cls(first, end - end % every, every, tuple(sorted(map(microseconds, lengths))))


def scheduled_rows(scope: Scope, group: FeatureGroup, window: TimeWindow, *, again: bool) -> pa.Table | DataFrame:
    """The group's rows at the moments of its schedule in ``(start, end]``: join keys, event timestamp, features.

    ``again``: only rows that differ from the stored ones, and among them moments of entities that are stored already.
    Values are those that the events give as they are known now.
    """
    schedule, computed = Schedule.of(group, window), group.model_copy(update={"every": None})
    request = AsOfRequest(
        (resolve_lookup(computed, Lookup(group.name), full_feature_names=False),), timestamp_column=_AT
    )
    events = open_events(scope, group, group.aggregates)
    stored = _stored(scope, group, window) if again else None
    if events.obstacle is None:
        spine = _local_spine(events, schedule, group, stored)
        rows: pa.Table = get_point_in_time(scope, spine, request, to="arrow", host=None)
        return rows if stored is None else changed_rows(rows, stored, rows.column_names)
    by_spark = point_in_time(scope, _spark_spine(scope, events, schedule, group, stored), request)
    if stored is None:
        return by_spark
    differs = [column(name) for name in by_spark.columns]
    return by_spark.select(*differs).exceptAll(to_spark(scope.spark, stored.select(by_spark.columns)))


def _stored(scope: Scope, group: FeatureGroup, window: TimeWindow) -> pa.Table:
    """The latest stored row of each entity and moment."""
    until = TimeWindow(window.start, window.end + timedelta(microseconds=1))
    columns, dates = [*group.join_keys, *TIME_COLUMNS, *group.feature_names], partitions_of(until, group.partition_by)
    rows = scope.read_local(group, columns, dates, (window.start, window.end))
    if rows is None:
        values = scope.read_values(group, columns, dates)
        inside = column(_AT).between(instant(window.start), instant(window.end))
        rows = from_spark(values.where(inside).select(*map(column, columns)))
    return latest_values(rows, group.join_keys, group.feature_names, group.nulls)


def _local_spine(events: EventTable, schedule: Schedule, group: FeatureGroup, stored: pa.Table | None) -> pa.Table:
    rows = events.read()
    times = as_numpy(one_array(rows.column(EVENT)))
    keys = {field.name: rows.column(key_name(place)) for place, field in enumerate(key_fields(group))}
    parts = []
    for moments in _moments(times, schedule):
        wanted = (moments >= schedule.first) & (moments <= schedule.last)
        part = pa.table({**keys, _AT: as_arrow(moments, kind=INSTANT)}).filter(as_arrow(wanted))
        parts.append(part.group_by(part.column_names).aggregate([]))
    if stored is not None:
        parts.append(stored.select(parts[0].column_names).cast(parts[0].schema))
    whole = pa.concat_tables(parts)
    return whole.group_by(whole.column_names).aggregate([])


def _moments(times: np.ndarray, schedule: Schedule) -> Iterator[np.ndarray]:
    """For each event the moment from which it counts, and for each window that from which it no longer does.

    What changed before the first moment is part of the values at the first.
    """
    for after in (0, *schedule.windows):
        changed = times + after
        yield np.maximum(changed + (schedule.first - changed) % schedule.every, schedule.first)


def _spark_spine(
    scope: Scope, events: EventTable, schedule: Schedule, group: FeatureGroup, stored: pa.Table | None
) -> DataFrame:
    """The same by Spark."""
    first, every = F.lit(schedule.first), F.lit(schedule.every)
    moments = []
    for after in (0, *schedule.windows):
        changed = F.unix_micros(EVENT) + F.lit(after)
        moments.append(F.greatest(changed + F.pmod(first - changed, every), first))
    keys = [column(key_name(place)).alias(name) for place, name in enumerate(group.join_keys)]
    rows = events.frame().select(*keys, F.explode(F.array(*moments)).alias("__moment"))
    inside = rows.where(F.col("__moment") <= F.lit(schedule.last))
    spine = inside.select(*map(column, group.join_keys), F.timestamp_micros("__moment").alias(_AT))
    if stored is not None:
        spine = spine.unionByName(to_spark(scope.spark, stored.select([*group.join_keys, _AT])))
    return spine.distinct()
