"""Run the jobs that measure the keys of an as-of join; ``shuffle_plan`` decides what follows from the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import pyarrow as pa

from featurestore.frames.as_of.hot_keys import HotKey, hot_keys
from featurestore.frames.as_of.join_rules import JoinedValues
from featurestore.frames.as_of.key_filter import spine_keys
from featurestore.frames.as_of.key_sampling import KeySpread, key_spread, sample_rate
from featurestore.frames.as_of.spine import SpineBounds
from featurestore.frames.as_of.union_columns import MOMENT
from featurestore.frames.as_of.union_rows import spread_of_spine, spread_of_values
from featurestore.late_spark import DataFrame
from featurestore.operations.as_of.shuffle_frames import ShuffleInputs, filtered_lookups
from featurestore.operations.as_of.shuffle_plan import (
    AsOfPlan,
    KeyedScans,
    are_known,
    chunks_by_key,
    is_small,
    key_filter,
)
from featurestore.stores.arrow import to_spark


def with_key_plans(plan: AsOfPlan, inputs: ShuffleInputs, hot_key_rows: int) -> AsOfPlan:
    """The plan with the keys that its scans keep, and the keys that are split in time.

    Runs a job over the key columns of each frame of values, and a few more if these find hot keys.
    """
    bounds = plan.spine.bounds
    keyed_scans = tuple(_planned(keyed, inputs, bounds, hot_key_rows) for keyed in plan.keyed_scans)
    return replace(plan, keyed_scans=keyed_scans)


def _planned(keyed: KeyedScans, inputs: ShuffleInputs, bounds: SpineBounds, hot_key_rows: int) -> KeyedScans:
    if are_known(keyed.spine_keys):
        keyed = _with_known_keys(keyed, inputs)
    if is_small(bounds):
        return keyed
    lookups = filtered_lookups(inputs, keyed)
    spreads = [_spread(spread_of_values(lookup), hot_key_rows) for lookup in lookups]
    keyed = replace(keyed, hot_keys=tuple(_hot_keys(inputs.spine, lookups, bounds, spreads, hot_key_rows)))
    return keyed if are_known(keyed.spine_keys) else _with_key_filters(keyed, spreads)


def _with_known_keys(keyed: KeyedScans, inputs: ShuffleInputs) -> KeyedScans:
    first = keyed.scans[0]
    known = spine_keys(inputs.spine, first.join.keys, inputs.lookup(first).values).toArrow()
    scans = tuple(replace(scan, key_filter="known") for scan in keyed.scans)
    return replace(keyed, scans=scans, known_keys=known)


def _with_key_filters(keyed: KeyedScans, spreads: Sequence[KeySpread]) -> KeyedScans:
    scans = tuple(
        replace(scan, key_filter=key_filter(keyed.spine_keys, spread.keys))
        for scan, spread in zip(keyed.scans, spreads, strict=True)
    )
    return replace(keyed, scans=scans)


def _hot_keys(
    spine: DataFrame,
    lookups: Sequence[JoinedValues],
    bounds: SpineBounds,
    spreads: Sequence[KeySpread],
    hot_key_rows: int,
) -> list[HotKey]:
    """The keys to split in time, and the moments at which to split them."""
    of_spine = spread_of_spine(spine, lookups[0])
    if 2 * bounds.rows >= hot_key_rows:
        spreads = [*spreads, _spread(of_spine, hot_key_rows)]
    chunks = chunks_by_key(spreads, hot_key_rows)
    if not chunks:
        return []
    names = [name for name in of_spine.columns if name != MOMENT]
    keys = pa.table(dict(zip(names, zip(*chunks, strict=True), strict=True)))
    rows = reduce(DataFrame.unionByName, map(spread_of_values, lookups), of_spine)
    return hot_keys(rows, MOMENT, chunks, to_spark(spine.sparkSession, keys), sample_rate(hot_key_rows))


def _spread(rows: DataFrame, hot_key_rows: int) -> KeySpread:
    return key_spread(rows, [name for name in rows.columns if name != MOMENT], hot_key_rows)
