"""Spine rows and value rows in the form that an as-of join sorts: the key as longs, and the moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from featurestore.frames.as_of.arrays import sortable_column
from featurestore.frames.as_of.join_keys import key_longs, key_names
from featurestore.frames.as_of.join_rules import AsOfJoin, JoinedValues
from featurestore.frames.as_of.latest_order import latest_of
from featurestore.frames.as_of.union_columns import MOMENT, SPINE, slots
from featurestore.frames.columns import column
from featurestore.frames.timestamps import instant
from featurestore.late_spark import DataFrame, F, T


def spine_rows(spine: DataFrame, join: AsOfJoin, types: Sequence[T.DataType]) -> DataFrame:
    """One row per spine row; ``types`` are those of the values' join keys."""
    time = F.unix_micros(column(join.timestamp_column))
    # try_cast gives null for a key beyond the range of the values' type, which no value can have.
    keys = [column(name).try_cast(kind) for name, kind in zip(join.keys.values(), types, strict=True)]
    complete = time.isNotNull()
    for key in keys:
        complete = complete & key.isNotNull()
    # A row without a moment sorts before all values, so it matches none and may have any key. A hash spreads such rows.
    anywhere = F.xxhash64(*keys, time)
    return spine.select(
        *(
            F.when(complete, long).otherwise(anywhere).alias(name)
            for long, name in zip(key_longs(keys, types), key_names(types), strict=True)
        ),
        F.when(complete, time * 2 + 1).alias(MOMENT),
        F.struct(*(column(name) for name in spine.columns)).alias(SPINE),
    )


def value_rows(lookup: JoinedValues) -> DataFrame:
    """One row per value row, without those created after an instant ``known_at``."""
    values, join = lookup.values, lookup.join
    if isinstance(join.known_at, datetime):
        values = values.where(F.col("created_timestamp") <= instant(join.known_at))
    return values.select(
        *key_longs([column(key) for key in join.keys], lookup.key_types),
        *latest_of(join).times(F.unix_micros("event_timestamp"), F.unix_micros("created_timestamp")),
        *(
            sortable_column(values, name, join).alias(slot)
            for name, slot in zip(join.features, slots(join), strict=True)
        ),
    )


def spread_of_spine(spine: DataFrame, lookup: JoinedValues) -> DataFrame:
    """Key and moment of the complete spine rows, from which hot keys are found."""
    rows = spine_rows(spine, lookup.join, lookup.key_types)
    return rows.where(F.col(MOMENT).isNotNull()).select(*key_names(lookup.key_types), MOMENT)


def spread_of_values(lookup: JoinedValues) -> DataFrame:
    """Key and moment of the value rows, from which hot keys are found."""
    rows = value_rows(replace(lookup, join=replace(lookup.join, features=())))
    return rows.select(*key_names(lookup.key_types), MOMENT)
