"""How an as-of join will be done: which keys its scans keep, which keys are cut in time, whether examples are asked once.

Whatever is chosen, the answer is the same; docs/scaling.md says when each way is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from typing import Literal

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from featurestore.frames.as_of.examples import is_wide
from featurestore.frames.as_of.hot_keys import hot_keys, hot_table
from featurestore.frames.as_of.key_filter import (
    LISTABLE,
    asked_keys,
    with_bloom_filter,
    with_broadcast_keys,
    with_listed_keys,
)
from featurestore.frames.as_of.key_sampling import KeySpread, key_spread, sample_rate
from featurestore.frames.as_of.point_in_time import MOMENT, AsOfJoin, spread_of_spine, spread_of_values
from featurestore.frames.as_of.spine import SpineBounds
from featurestore.stores.arrow import to_spark

# Keys of the spine: up to so many are named in the plan, known to the driver, broadcast, in a bloom filter.
_LISTED, _KNOWN, _BROADCAST, _BLOOM = 100, 10_000, 200_000, 4_000_000
# A spine this small is answered before anything could be gained by sampling.
_SMALL_SPINE = 1_000
# A filter pays where the values have so many times the keys of the spine; examples asked once, where they are so few.
_SELECTIVE, _REPEATED = 2, 2

KeyFilter = Literal["broadcast", "bloom", "none"]


def asks_examples_once(schema: T.StructType, needed: Sequence[str], spine: SpineBounds) -> bool:
    """Whether the spine's rows repeat examples, or are wide beside the ``needed`` columns."""
    if spine.rows <= _SMALL_SPINE:
        return False
    return spine.rows >= _REPEATED * spine.examples or is_wide(schema, needed)


def key_filter(asked: int, there: int) -> KeyFilter:
    """For a spine of more keys than the driver should know, by the (estimated) keys of it and of the values."""
    if there < _SELECTIVE * asked or asked > _BLOOM:
        return "none"
    return "broadcast" if asked <= _BROADCAST else "bloom"


def chunks_by_key(spreads: Sequence[KeySpread], hot_key_rows: int) -> dict[tuple[int, ...], int]:
    """Keys whose rows in all frames together make them hot, each with the chunks to cut it into."""
    rows: Counter[tuple[int, ...]] = Counter()
    for spread in spreads:
        rows.update(spread.rows_by_key)
    # Half of what makes a key hot: a chunk is then never as large as a key that is left whole.
    return {key: -(-2 * number // hot_key_rows) for key, number in rows.items() if number >= hot_key_rows}


def plan_key(
    spine: DataFrame, lookups: Sequence[tuple[DataFrame, AsOfJoin]], found: SpineBounds, hot_key_rows: int
) -> tuple[list[tuple[DataFrame, AsOfJoin]], DataFrame | None]:
    """For lookups by one key of the spine: the same, their values filtered by key; and the keys to cut in time.

    Runs a job over the key columns of each frame of values, and few more where that tells to.
    """
    _, join = lookups[0]
    spine_keys = found.keys[tuple(join.keys.values())]
    if spine_keys <= _KNOWN:
        lookups = _with_known_keys(spine, lookups)
    if found.rows <= _SMALL_SPINE:
        return list(lookups), None
    spreads = [_spread(spread_of_values(values, join), hot_key_rows) for values, join in lookups]
    hot = _hot_keys(spine, lookups, found, spreads, hot_key_rows)
    if spine_keys > _KNOWN:
        lookups = [
            (_with_asked_keys(spine, values, join, spine_keys, spread.keys), join)
            for (values, join), spread in zip(lookups, spreads, strict=True)
        ]
    return list(lookups), hot


def _with_known_keys(
    spine: DataFrame, lookups: Sequence[tuple[DataFrame, AsOfJoin]]
) -> list[tuple[DataFrame, AsOfJoin]]:
    values, join = lookups[0]
    known = asked_keys(spine, join.keys, values).toArrow()
    listable = all(isinstance(values.schema[key].dataType, LISTABLE) for key in join.keys)
    if known.num_rows <= _LISTED and listable:
        rows = list(zip(*(column.to_pylist() for column in known.columns), strict=True))
        return [(with_listed_keys(values, list(join.keys), rows), join) for values, join in lookups]
    keys = to_spark(spine.sparkSession, known)
    return [(with_broadcast_keys(values, keys.toDF(*join.keys)), join) for values, join in lookups]


def _with_asked_keys(spine: DataFrame, values: DataFrame, join: AsOfJoin, asked: int, there: int) -> DataFrame:
    chosen = key_filter(asked, there)
    if chosen == "none":
        return values
    keys = asked_keys(spine, join.keys, values)
    return with_broadcast_keys(values, keys) if chosen == "broadcast" else with_bloom_filter(values, keys, asked)


def _hot_keys(
    spine: DataFrame,
    lookups: Sequence[tuple[DataFrame, AsOfJoin]],
    found: SpineBounds,
    spreads: Sequence[KeySpread],
    hot_key_rows: int,
) -> DataFrame | None:
    """The keys to cut in time, and where; none where no key is hot."""
    of_spine = spread_of_spine(spine, *lookups[0])
    if 2 * found.rows >= hot_key_rows:
        spreads = [*spreads, _spread(of_spine, hot_key_rows)]
    chunks = chunks_by_key(spreads, hot_key_rows)
    if not chunks:
        return None
    names = [name for name in of_spine.columns if name != MOMENT]
    asked = pa.table(dict(zip(names, zip(*chunks, strict=True), strict=True)))
    rows = reduce(DataFrame.unionByName, (spread_of_values(values, join) for values, join in lookups), of_spine)
    session = spine.sparkSession
    hot = hot_keys(rows, MOMENT, chunks, to_spark(session, asked), sample_rate(hot_key_rows))
    return to_spark(session, hot_table(hot, names)) if hot else None


def _spread(rows: DataFrame, hot_key_rows: int) -> KeySpread:
    return key_spread(rows, [name for name in rows.columns if name != MOMENT], hot_key_rows)
