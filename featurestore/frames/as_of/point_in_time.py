"""The as-of join: for each spine row, per feature, the latest value at or before its timestamp.

One shuffle and one sort, whatever the length of the history. Spine rows and value rows are put into one frame, spread
by the join key and sorted by time, values before the spine rows of the same moment; a running window then carries the
latest values on to each spine row. (A range join with row_number, the usual other way, compares every spine row with
its key's whole history.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from pyspark.sql import Column, DataFrame, WindowSpec
from pyspark.sql import Window as W
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.definitions.values.durations import microseconds
from featurestore.frames.as_of.hot_keys import CHUNK, carried, carried_on, in_chunks
from featurestore.frames.as_of.join_keys import key_longs, key_names
from featurestore.frames.columns import column
from featurestore.frames.timestamps import instant

KnownAt: TypeAlias = datetime | Literal["event"] | None

# Of a row in the union. A value row at event time t has moment 2t, a spine row at time t has moment 2t + 1: one long
# sorts both by time, and values before the spine rows that may see them.
MOMENT, _EVENT, _CREATED = "__moment", "__event", "__created"
# Of spine rows only: their columns, and what earlier lookups found for them.
_SPINE, _FOUND = "__spine", "__found"
_NEWEST = "__newest_event"
# What is carried on by itself where the latest row wins as a whole.
_ROW = "__row"
# Of an array's slot: what orders it, and the array, or the identity of its row.
_ORDER, _HELD = "order", "held"
_HELD_ROW, _ARRAY = "__held_row", "__array"


@dataclass(frozen=True)
class AsOfJoin:
    """What to join, and by which rules.

    - ``keys``: join key of the values -> column of the spine;
    - ``features``: columns of the values, in declared order;
    - ``outputs``: feature -> name in the output;
    - ``event_timestamp_output``: where the newest event timestamp of what was taken goes, if anywhere;
    - ``row_identity``: a column of the values, a long from 0 on that no two rows share. Where there is one, arrays stay
      out of the sort, and are joined to the result by it.
    """

    keys: Mapping[str, str]
    features: tuple[str, ...]
    timestamp_column: str = "event_timestamp"
    ttl: timedelta | None = None
    nulls: Literal["skip", "keep"] = "skip"
    known_at: KnownAt = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    event_timestamp_output: str | None = None
    row_identity: str | None = None

    def output(self, feature: str) -> str:
        return self.outputs.get(feature, feature)

    @property
    def output_columns(self) -> list[str]:
        names = [self.output(feature) for feature in self.features]
        return names if self.event_timestamp_output is None else [*names, self.event_timestamp_output]

    @property
    def needs_event_times(self) -> bool:
        return self.ttl is not None or self.event_timestamp_output is not None


def point_in_time_join(
    spine: DataFrame, values: DataFrame, join: AsOfJoin, hot_keys: DataFrame | None = None
) -> DataFrame:
    """The spine's rows and columns, unchanged, and for each feature its value as of the row's timestamp.

    - Grain: one row a spine row, duplicates included. Row order is not kept.
    - A value row matches when ``T - ttl <= event_timestamp <= T``, both ends included, exact to the microsecond.
    - ``nulls="skip"``: each feature takes its latest non-null value; ``"keep"``: the latest row wins as a whole. The
      TTL applies to the value that was taken.
    - Latest is by event timestamp, then created timestamp, then the tuple of the asked features (nulls lowest; an array
      is compared by its xxhash64).
    - ``known_at``: an instant K keeps the rows created at or before it; ``"event"`` those created at or before T.
    - A null key, a null timestamp or no match gives nulls.

    ``values`` has the join keys, ``event_timestamp``, ``created_timestamp`` and the features. ``hot_keys`` (rows of
    ``hot_table``) are cut in time, which changes no answer. The plan checks, row by row, that nothing newer than T was
    visible, and raises INVARIANT otherwise.
    """
    return point_in_time_joins(spine, [(values, join)], hot_keys)


def point_in_time_joins(
    spine: DataFrame, lookups: Sequence[tuple[DataFrame, AsOfJoin]], hot_keys: DataFrame | None = None
) -> DataFrame:
    """As above, for lookups by the same key and timestamp columns of the spine: it is shuffled once for all of them."""
    values, first = lookups[0]
    types = [values.schema[key].dataType for key in first.keys]
    by = [*key_names(types), *([CHUNK] if hot_keys is not None else [])]
    rows = _spine_rows(spine, first, types)
    if hot_keys is not None:
        rows = in_chunks(rows, hot_keys, MOMENT)
    for index, (values, join) in enumerate(lookups):
        rows = _looked_up(rows, values, join, by, hot_keys, f"{_FOUND}_{index}", is_spread=index > 0)
    found = [
        F.col(f"{_FOUND}_{index}")[name].alias(name)
        for index, (_, join) in enumerate(lookups)
        for name in join.output_columns
    ]
    joined = rows.select(*(F.col(_SPINE)[name].alias(name) for name in spine.columns), *found)
    for values, join in lookups:
        joined = _with_arrays(joined, values, join)
    return joined


def spread_of_spine(spine: DataFrame, values: DataFrame, join: AsOfJoin) -> DataFrame:
    """The complete spine rows' key, as longs, and moment: what hot keys are found by."""
    types = [values.schema[key].dataType for key in join.keys]
    return _spine_rows(spine, join, types).where(F.col(MOMENT).isNotNull()).select(*key_names(types), MOMENT)


def spread_of_values(values: DataFrame, join: AsOfJoin) -> DataFrame:
    """The same of value rows."""
    return _value_rows(values, replace(join, features=())).drop(_EVENT, _CREATED)


def _spine_rows(spine: DataFrame, join: AsOfJoin, types: Sequence[T.DataType]) -> DataFrame:
    time = F.unix_micros(column(join.timestamp_column))
    # try_cast: a key beyond the range of the values' type is a key that no value has.
    keys = [column(name).try_cast(kind) for name, kind in zip(join.keys.values(), types, strict=True)]
    complete = time.isNotNull()
    for key in keys:
        complete = complete & key.isNotNull()
    # A row without a moment sorts before all values of whatever key it has: it finds none, and any key spreads it.
    anywhere = F.xxhash64(*keys, time)
    return spine.select(
        *(
            F.when(complete, long).otherwise(anywhere).alias(name)
            for long, name in zip(key_longs(keys, types), key_names(types), strict=True)
        ),
        F.when(complete, time * 2 + 1).alias(MOMENT),
        F.struct(*(column(name) for name in spine.columns)).alias(_SPINE),
    )


def _looked_up(
    rows: DataFrame,
    values: DataFrame,
    join: AsOfJoin,
    by: list[str],
    hot: DataFrame | None,
    found: str,
    is_spread: bool,
) -> DataFrame:
    """The spine's rows with a struct ``found`` of the join's outputs."""
    of_values = _value_rows(values, join)
    if hot is not None:
        of_values = in_chunks(of_values, hot, MOMENT)
    # Spine rows that an earlier lookup spread by the key stay where they are: a union of equally spread frames is spread
    # so. Of the first lookup, both are spread in one shuffle of the union.
    beside = of_values.repartition(*by) if is_spread else of_values
    union = rows.unionByName(beside, allowMissingColumns=True)
    taken = union.select(*rows.columns, *_taken(join, by)).where(F.col(_SPINE).isNotNull())
    if hot is not None:
        latest = carried_on(of_values, hot, by, {unit: _candidate(join, unit) for unit in _units(join)}, _EVENT)
        taken = taken.join(F.broadcast(latest), by, "left").withColumns(_with_carried(join))
    return taken.where(_nothing_from_the_future(join)).select(*rows.columns, F.struct(*_outputs(join)).alias(found))


def _slot(index: int) -> str:
    """A feature's column in the union: its own name may be one of the spine's, or of this module's."""
    return f"__feature_{index}"


def _slots(join: AsOfJoin) -> list[str]:
    return [_slot(index) for index in range(len(join.features))]


def _row(join: AsOfJoin) -> Column:
    return F.struct(*_slots(join))


def _units(join: AsOfJoin) -> list[str]:
    """What takes a latest value each: the row as a whole, or every feature on its own."""
    return [_ROW] if join.nulls == "keep" else _slots(join)


def _time(unit: str) -> str:
    return f"{unit}_event"


def _value_rows(values: DataFrame, join: AsOfJoin) -> DataFrame:
    if isinstance(join.known_at, datetime):
        values = values.where(F.col("created_timestamp") <= instant(join.known_at))
    event, created = F.unix_micros("event_timestamp"), F.unix_micros("created_timestamp")
    visible = F.greatest(event, created) if join.known_at == "event" else event
    return values.select(
        *key_longs([column(key) for key in join.keys], [values.schema[key].dataType for key in join.keys]),
        (visible * 2).alias(MOMENT),
        *([event.alias(_EVENT)] if join.known_at == "event" else []),
        created.alias(_CREATED),
        *(_held(values, name, join).alias(slot) for name, slot in zip(join.features, _slots(join), strict=True)),
    )


def _held(values: DataFrame, feature: str, join: AsOfJoin) -> Column:
    """What stands for a feature in the sort: itself; of an array, its hash, and itself or its row's identity."""
    value = column(feature)
    if not _is_array(values, feature):
        return value
    held = value if join.row_identity is None else column(join.row_identity)
    return F.when(value.isNotNull(), F.struct(F.xxhash64(value).alias(_ORDER), held.alias(_HELD)))


def _is_array(values: DataFrame, feature: str) -> bool:
    return isinstance(values.schema[feature].dataType, T.ArrayType)


def _event(join: AsOfJoin) -> Column:
    """A value row's event time, which its moment tells unless that is when it became known."""
    return F.col(_EVENT) if join.known_at == "event" else F.shiftright(MOMENT, 1)


def _candidate(join: AsOfJoin, unit: str) -> Column:
    """A value row as what the unit may take: among several, the greatest is the latest. Null where it has no value."""
    candidate = F.struct(_event(join).alias(_EVENT), F.col(_CREATED), _row(join).alias(_ROW))
    return candidate if unit == _ROW else F.when(F.col(unit).isNotNull(), candidate)


def _running(by: list[str], *order: str) -> WindowSpec:
    return W.partitionBy(*by).orderBy(*order).rowsBetween(W.unboundedPreceding, W.currentRow)


def _taken(join: AsOfJoin, by: list[str]) -> list[Column]:
    """Running columns: per unit the latest value so far, and where it is needed the event time of that.

    Under ``known_at="event"`` a unit's latest candidate as a whole: rows become visible in the order of knowledge, which
    is not the order of event time.
    """
    is_value = F.col(_SPINE).isNull()
    if join.known_at == "event":
        known = {unit: F.when(is_value, _candidate(join, unit)) for unit in _units(join)}
        return [F.max(candidate).over(_running(by, MOMENT)).alias(unit) for unit, candidate in known.items()]
    # The sort compares the features only where event and created timestamps tie.
    window = _running(by, MOMENT, _CREATED, *_slots(join))
    present = {unit: F.when(is_value, _row(join)) if unit == _ROW else F.col(unit) for unit in _units(join)}
    latest = [F.last(value, ignorenulls=True).over(window).alias(unit) for unit, value in present.items()]
    if not join.needs_event_times:
        newest = F.max(F.when(is_value, _event(join))).over(window)
        return [*latest, newest.alias(_NEWEST)]
    times = {unit: F.when(is_value & value.isNotNull(), _event(join)) for unit, value in present.items()}
    return [*latest, *(F.last(time, ignorenulls=True).over(window).alias(_time(unit)) for unit, time in times.items())]


def _with_carried(join: AsOfJoin) -> dict[str, Column]:
    """The running columns, completed by what earlier chunks of time carried on."""
    completed = {}
    for unit in _units(join):
        before = F.col(carried(unit))
        if join.known_at == "event":
            completed[unit] = F.greatest(F.col(unit), before)
            continue
        # Whatever the chunk itself has is later than all that was before it.
        completed[unit] = F.coalesce(F.col(unit), before[_ROW] if unit == _ROW else before[_ROW][unit])
        if join.needs_event_times:
            completed[_time(unit)] = F.coalesce(F.col(_time(unit)), before[_EVENT])
    return completed


def _value(join: AsOfJoin, unit: str, slot: str) -> Column:
    taken = F.col(unit)[_ROW] if join.known_at == "event" else F.col(unit)
    return taken[slot] if unit == _ROW or join.known_at == "event" else taken


def _taken_event(join: AsOfJoin, unit: str) -> Column:
    return F.col(unit)[_EVENT] if join.known_at == "event" else F.col(_time(unit))


def _nothing_from_the_future(join: AsOfJoin) -> Column:
    if join.known_at == "event" or join.needs_event_times:
        seen = [_taken_event(join, unit) for unit in _units(join)]
    else:
        seen = [F.col(_NEWEST)]
    newest = F.greatest(*seen) if len(seen) > 1 else seen[0]
    message = F.lit("INVARIANT: the as-of join saw a value newer than its spine row; nothing may be built from this")
    return F.when(newest > _spine_micros(), F.raise_error(message).cast("boolean")).otherwise(F.lit(True))


def _spine_micros() -> Column:
    return F.shiftright(MOMENT, 1)


def _outputs(join: AsOfJoin) -> list[Column]:
    outputs = []
    times = {}
    for feature, slot in zip(join.features, _slots(join), strict=True):
        unit = _ROW if join.nulls == "keep" else slot
        value = _value(join, unit, slot)
        if join.ttl is not None:
            value = F.when(_is_fresh(join, unit), value)
        outputs.append(value.alias(join.output(feature)))
        if join.event_timestamp_output is not None:
            event = _taken_event(join, unit)
            times[unit] = event if join.ttl is None else F.when(_is_fresh(join, unit), event)
    if join.event_timestamp_output is not None:
        newest = F.greatest(*times.values()) if len(times) > 1 else next(iter(times.values()))
        outputs.append(F.timestamp_micros(newest).alias(join.event_timestamp_output))
    return outputs


def _is_fresh(join: AsOfJoin, unit: str) -> Column:
    assert join.ttl is not None
    return _taken_event(join, unit) >= _spine_micros() - F.lit(microseconds(join.ttl))


def _with_arrays(joined: DataFrame, values: DataFrame, join: AsOfJoin) -> DataFrame:
    """The rows with arrays in place of what was held for them in the sort."""
    for feature in join.features:
        name = join.output(feature)
        if not _is_array(values, feature):
            continue
        held = column(name)[_HELD]
        if join.row_identity is None:
            joined = joined.withColumn(name, held)
            continue
        # No row's identity is negative: rows that hold none meet none, and are spread.
        anywhere = F.xxhash64(*(column(key) for key in join.keys.values()), column(join.timestamp_column))
        asked = joined.withColumn(_HELD_ROW, F.coalesce(held, F.lit(-1) - F.pmod(anywhere, F.lit(1 << 40))))
        arrays = values.select(column(join.row_identity).alias(_HELD_ROW), column(feature).alias(_ARRAY))
        # The side of the spine, which has no arrays, is the one that is hashed; the arrays stream past it, unsorted.
        found = asked.hint("shuffle_hash").join(arrays, _HELD_ROW, "left")
        joined = found.select(
            *(F.col(_ARRAY).alias(name) if other == name else column(other) for other in joined.columns)
        )
    return joined
