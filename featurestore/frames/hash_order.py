"""The order of rows by a hash of (seed, content), which sampling and splitting cut exactly, on any number of machines.

Counting finds the cut after the k-th row, without sorting the rows: first the number of rows in each of 4,096 equal
ranges of the hash, then the hashes of the one range that contains the cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.frames.columns import column
from featurestore.frames.fingerprint import row_hash
from featurestore.late_spark import Column, DataFrame, F

_BITS = 12
_SHIFT = 64 - _BITS


def range_of(hashed: Column) -> Column:
    """The number of the equal range that a 64-bit hash is in; ranges are in the order of the hash."""
    return F.shiftright(hashed, _SHIFT)


def hash_of(columns: Sequence[str], seed: int) -> Column:
    return row_hash([column(name) for name in columns], seed)


def cuts(units: DataFrame, columns: Sequence[str], seed: int, counts: Sequence[int]) -> list[int | None]:
    """For each k of ``counts``, the hash of the k-th unit in hash order; None if k is 0.

    Exactly the first k units have a hash at or below it, unless units have the same hash. Runs one job, and one for
    each cut. If k exceeds the number of units, returns the hash of the last unit.
    """
    hashed = units.select(hash_of(columns, seed).alias("hash"))
    ranges = hashed.groupBy(range_of(F.col("hash")).alias("range")).count().collect()
    by_range = sorted((row["range"], row["count"]) for row in ranges)
    return [_cut(hashed, by_range, count) for count in counts]


def _cut(hashed: DataFrame, by_range: Sequence[tuple[int, int]], count: int) -> int | None:
    remaining = min(count, sum(size for _, size in by_range))
    if remaining < 1:
        return None
    for number, size in by_range:
        if remaining <= size:
            hashes = hashed.where(range_of(F.col("hash")) == F.lit(number))
            [row] = hashes.orderBy("hash").limit(remaining).agg(F.max("hash").alias("cut")).collect()
            return int(row["cut"])
        remaining -= size
    raise AssertionError("the ranges hold all units")
