"""The order of rows by a hash of (seed, content), which sampling and splitting cut exactly, on any number of machines.

Counting finds the cut after the k-th row, without sorting the rows: first the number of rows in each of 4,096 equal
ranges of the hash, then the hashes of the one range that contains the cut.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import as_numpy
from featurestore.columnar.ranks import one_array
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


def count_ranges(hashes: DataFrame, *, distinct: bool) -> list[tuple[int, int]]:
    """How many rows of the column ``hash`` are in each equal range that has any, in order. Runs one job.

    With ``distinct``, equal hashes are one row.
    """
    ranged = hashes.select(F.col("hash"), range_of(F.col("hash")).alias("range"))
    # Equal hashes are in one range, so that one shuffle serves both to find them and to count the range.
    units = ranged.repartition("range").distinct() if distinct else ranged
    return sorted((row["range"], row["count"]) for row in units.groupBy("range").count().collect())


def cuts(
    hashes: DataFrame, ranges: Sequence[tuple[int, int]], counts: Sequence[int], *, distinct: bool
) -> list[int | None]:
    """For each k of ``counts``, the k-th of the column ``hash`` in order; None if k is 0. ``ranges``: as counted.

    Exactly the first k rows have a hash at or below it, unless rows have the same hash. Runs one job, which returns the
    hashes of the ranges with a cut. If k exceeds the number of rows, returns the last hash.
    """
    places = [_place(ranges, count) for count in counts]
    needed = sorted({place[0] for place in places if place is not None})
    if not needed:
        return [None for _ in places]
    inside = hashes.where(range_of(F.col("hash")).isin(needed))
    found = (inside.distinct() if distinct else inside).toArrow()
    in_order = np.sort(as_numpy(one_array(found.column("hash"))))
    numbers = in_order >> np.int64(_SHIFT)
    return [None if place is None else _nth(in_order, numbers, *place) for place in places]


def _place(ranges: Sequence[tuple[int, int]], count: int) -> tuple[int, int] | None:
    """The range of the count-th hash, and which one it is there, from 1."""
    remaining = min(count, sum(size for _, size in ranges))
    if remaining < 1:
        return None
    for number, size in ranges:
        if remaining <= size:
            return number, remaining
        remaining -= size
    raise AssertionError("the ranges hold all rows")


def _nth(in_order: NDArray[np.int64], numbers: NDArray[np.int64], number: int, place: int) -> int:
    return int(in_order[np.searchsorted(numbers, number) + place - 1])
