"""Hot keys: split in time, so that no task holds all rows of a key. The results stay the same.

A key with very many rows is split into chunks of time, and each chunk is joined as if it were a key. A chunk lacks the
values that earlier rows carry forward: per feature, the latest value of all earlier chunks. One small aggregation
computes them, and they are broadcast to the spine rows of the chunk. Rows with the same time always share a chunk. The
TTL is applied afterwards, to the value that a row takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from featurestore.late_spark import Column, DataFrame, F, W

CHUNK = "__chunk"
_STARTS, _FIRST, _LATEST = "__starts", "__first", "__latest_event"
# Enough for a key of 255 times the rows that make a key hot. Finding a row's chunk costs the logarithm of this number.
MOST_CHUNKS = 256


@dataclass(frozen=True)
class HotKey:
    """A key, as the longs that the join compares, and the start moments of its second and later chunks.

    The moments ascend. They are moments of values (even), so that a value and the spine rows of its instant share a
    chunk.
    """

    key: tuple[int, ...]
    starts: tuple[int, ...]


def hot_table(hot: Sequence[HotKey], names: Sequence[str]) -> pa.Table:
    """One row per hot key: its longs, by name, and its starts."""
    columns: dict[str, pa.Array] = {
        name: pa.array([key.key[index] for key in hot], pa.int64()) for index, name in enumerate(names)
    }
    return pa.table({**columns, _STARTS: pa.array([key.starts for key in hot], pa.list_(pa.int64()))})


def in_chunks(rows: DataFrame, hot: DataFrame, moment: str) -> DataFrame:
    """The rows with their chunk: 0 for a key that is not hot, else the number of starts at or before the moment."""
    keys = [name for name in hot.columns if name != _STARTS]
    return rows.join(F.broadcast(hot), keys, "left").withColumn(CHUNK, _chunk_number(F.col(moment))).drop(_STARTS)


def _chunk_number(moment: Column) -> Column:
    """The number of starts at or before a moment, by binary search; 0 without starts or moment."""
    steps = F.array(*(F.lit(MOST_CHUNKS >> halvings) for halvings in range(1, MOST_CHUNKS.bit_length())))
    return F.aggregate(
        steps,
        F.lit(0),
        lambda passed, step: F.when(F.get(_STARTS, passed + step - 1) <= moment, passed + step).otherwise(passed),
    )


def carried_column(unit: str) -> str:
    return f"{unit}_carried"


def values_before_chunk(
    values: DataFrame, hot: DataFrame, by: Sequence[str], candidates: Mapping[str, Column], event: str
) -> DataFrame:
    """One row per hot key and chunk: the greatest candidate of each unit in the chunks before it.

    ``values`` has the columns ``by`` (the key, then the chunk). ``candidates`` are structs with ``event`` as their
    first field, or null if a row has no value for the unit.
    """
    keys = [name for name in by if name != CHUNK]
    inside = values.join(F.broadcast(hot.select(*keys)), keys, "left_semi").select(
        *by, *(candidate.alias(unit) for unit, candidate in candidates.items())
    )
    # Spark aggregates longs by hash but structs by sorting. So the first step finds the latest event time of each unit,
    # and the second the greatest of the few rows at that time.
    times = inside.groupBy(*by).agg(*(F.max(F.col(unit)[event]).alias(f"{unit}{_LATEST}") for unit in candidates))
    is_latest = {unit: F.col(unit)[event] == F.col(f"{unit}{_LATEST}") for unit in candidates}
    any_latest = F.lit(False)
    for condition in is_latest.values():
        any_latest = any_latest | F.coalesce(condition, F.lit(False))
    of_chunk = (
        inside.join(F.broadcast(times), list(by))
        .where(any_latest)
        .groupBy(*by)
        .agg(*(F.max(F.when(latest, F.col(unit))).alias(unit) for unit, latest in is_latest.items()))
    )
    chunks = hot.select(*keys, F.explode(F.sequence(F.lit(0), F.size(_STARTS))).alias(CHUNK))
    before = W.partitionBy(*keys).orderBy(CHUNK).rowsBetween(W.unboundedPreceding, -1)
    return chunks.join(F.broadcast(of_chunk), list(by), "left").select(
        *by, *(F.max(unit).over(before).alias(carried_column(unit)) for unit in candidates)
    )


def hot_keys(
    rows: DataFrame, moment: str, chunks: Mapping[tuple[int, ...], int], keys: DataFrame, sample_rate: float
) -> list[HotKey]:
    """Where to split keys so that each gets its number of ``chunks``, of about equal size; runs one job.

    ``rows`` has keys (longs) and moments; ``keys`` has the keys of ``chunks``. A key with all its rows at one moment
    cannot be split, and is left out.
    """
    names = keys.columns
    sampled = rows.where(F.col(moment).isNotNull()).join(F.broadcast(keys), names, "left_semi")
    if sample_rate < 1.0:
        sampled = sampled.sample(sample_rate, seed=0)
    # A spine row's moment is odd. The even moment before it is that of values at the same instant.
    even = F.col(moment) - F.pmod(F.col(moment), F.lit(2))
    shares = [part / MOST_CHUNKS for part in range(1, MOST_CHUNKS)]
    distributions = (
        sampled.groupBy(*names)
        .agg(F.min(even).alias(_FIRST), F.percentile_approx(even, shares, 10_000).alias(_STARTS))
        .collect()
    )
    cut_keys = []
    for row in distributions:
        key = tuple(row)[: len(names)]
        number = min(chunks[key], MOST_CHUNKS)
        cuts = {row[_STARTS][part * MOST_CHUNKS // number - 1] for part in range(1, number)}
        cut_keys.append(HotKey(key, tuple(sorted(cut for cut in cuts if cut > row[_FIRST]))))
    return [key for key in cut_keys if key.starts]
