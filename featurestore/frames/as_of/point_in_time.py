"""The as-of join: for each spine row, per feature, the latest value at or before its timestamp.

The join takes one shuffle and one sort, whatever the length of the history. It puts spine rows and value rows into one
frame, partitions it by the join key and sorts it by time, values before the spine rows of the same moment. A running
window then carries the latest values forward to each spine row. (The usual alternative, a range join with row_number,
compares every spine row with the whole history of its key.)
"""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.definitions.values.durations import microseconds
from featurestore.frames.as_of.arrays import with_arrays
from featurestore.frames.as_of.hot_keys import CHUNK, in_chunks, values_before_chunk
from featurestore.frames.as_of.join_keys import key_names
from featurestore.frames.as_of.join_rules import AsOfJoin, JoinedValues
from featurestore.frames.as_of.latest_order import Latest, greatest, latest_of
from featurestore.frames.as_of.union_columns import EVENT, MOMENT, RESULTS, ROW, SPINE, micros, slots, units
from featurestore.frames.as_of.union_rows import spine_rows, value_rows
from featurestore.late_spark import Column, DataFrame, F


def point_in_time_join(
    spine: DataFrame, values: DataFrame, join: AsOfJoin, hot_keys: DataFrame | None = None
) -> DataFrame:
    """The spine's rows and columns, unchanged, with the value of each feature as of the row's timestamp T.

    - Grain: one row per spine row, duplicates included. Row order is not kept.
    - A value row matches if ``T - ttl <= event_timestamp <= T``, both ends included, exact to the microsecond.
    - ``nulls="skip"``: each feature takes its latest non-null value; ``"keep"``: all features take the values of the
      latest row. The TTL applies to this value or row; an older one does not replace it.
    - The latest is the greatest by event timestamp, then created timestamp, then the tuple of the requested features
      (nulls lowest; an array is compared by its xxhash64).
    - ``known_at``: an instant K keeps the rows created at or before K; ``"event"`` keeps those created at or before T.
    - A null key, a null timestamp or no match gives null features.

    ``values`` has the join keys, ``event_timestamp``, ``created_timestamp`` and the features. ``hot_keys`` (rows of
    ``hot_table``) are split in time, which does not change the result. The query checks for each row that no value
    newer than T was visible, and raises INVARIANT otherwise.
    """
    return point_in_time_joins(spine, [JoinedValues(values, join)], hot_keys)


def point_in_time_joins(
    spine: DataFrame, lookups: Sequence[JoinedValues], hot_keys: DataFrame | None = None
) -> DataFrame:
    """The same for several lookups by the same columns of the spine, which is shuffled once for all of them."""
    first = lookups[0]
    by = [*key_names(first.key_types), *([CHUNK] if hot_keys is not None else [])]
    rows = spine_rows(spine, first.join, first.key_types)
    if hot_keys is not None:
        rows = in_chunks(rows, hot_keys, MOMENT)
    for index, lookup in enumerate(lookups):
        rows = _looked_up(rows, lookup, by, hot_keys, _results(index), is_spread=index > 0)
    results = [
        F.col(_results(index))[name].alias(name)
        for index, lookup in enumerate(lookups)
        for name in lookup.join.output_columns
    ]
    joined = rows.select(*(F.col(SPINE)[name].alias(name) for name in spine.columns), *results)
    for lookup in lookups:
        joined = with_arrays(joined, lookup)
    return joined


def _results(index: int) -> str:
    return f"{RESULTS}_{index}"


def _looked_up(
    rows: DataFrame, lookup: JoinedValues, by: list[str], hot: DataFrame | None, results: str, is_spread: bool
) -> DataFrame:
    """The spine's rows with a struct ``results`` of the join's outputs."""
    join, latest = lookup.join, latest_of(lookup.join)
    values = value_rows(lookup)
    if hot is not None:
        values = in_chunks(values, hot, MOMENT)
    # An earlier lookup has partitioned the spine rows by the key. They are not shuffled again, because a union of
    # frames with equal partitioning keeps it. The first lookup partitions both sides in one shuffle of the union.
    partitioned = values.repartition(*by) if is_spread else values
    union = rows.unionByName(partitioned, allowMissingColumns=True)
    looked_up = union.select(*rows.columns, *latest.running(by)).where(F.col(SPINE).isNotNull())
    if hot is not None:
        before = values_before_chunk(values, hot, by, {unit: latest.candidate(unit) for unit in units(join)}, EVENT)
        looked_up = looked_up.join(F.broadcast(before), by, "left").withColumns(latest.completed())
    outputs = F.struct(*_outputs(join, latest)).alias(results)
    return looked_up.where(_nothing_from_the_future(latest)).select(*rows.columns, outputs)


def _nothing_from_the_future(latest: Latest) -> Column:
    message = F.lit("INVARIANT: the as-of join saw a value newer than its spine row; nothing may be built from this")
    is_future = latest.newest_event() > micros()
    return F.when(is_future, F.raise_error(message).cast("boolean")).otherwise(F.lit(True))


def _outputs(join: AsOfJoin, latest: Latest) -> list[Column]:
    def fresh(unit: str, latest_value: Column) -> Column:
        """The latest value, or null if it is older than the TTL."""
        if join.ttl is None:
            return latest_value
        return F.when(latest.event_time(unit) >= micros() - F.lit(microseconds(join.ttl)), latest_value)

    unit_of = {slot: ROW if join.nulls == "keep" else slot for slot in slots(join)}
    outputs = [
        fresh(unit, latest.value(unit, slot)).alias(join.output(feature))
        for feature, (slot, unit) in zip(join.features, unit_of.items(), strict=True)
    ]
    if join.event_timestamp_output is not None:
        newest = greatest([fresh(unit, latest.event_time(unit)) for unit in units(join)])
        outputs.append(F.timestamp_micros(newest).alias(join.event_timestamp_output))
    return outputs
