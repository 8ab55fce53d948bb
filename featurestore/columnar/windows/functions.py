"""Each function of a window: its values for the spine rows of a chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.windows.chunk_windows import ChunkWindows, Counted
from featurestore.columnar.windows.exact_numbers import deviations
from featurestore.columnar.windows.rules import WindowRules
from featurestore.columnar.windows.timelines import Longs
from featurestore.errors import TransformationError

NUMERIC = frozenset({"sum", "avg", "stddev", "approx_percentile"})
# These give values of the events themselves, as longs in the order of values.
OF_VALUES = frozenset({"min", "max", "first", "last", "last_n", "approx_percentile"})


@dataclass(frozen=True)
class Results:
    """Of each spine row of a chunk a number; ``valid``: those that are not null, None for all.

    With ``lengths``, each row has so many of the numbers, one row after the other.
    """

    numbers: NDArray[Any]
    valid: NDArray[np.bool_] | None = None
    lengths: Longs | None = None


def results(rules: WindowRules, chunk: ChunkWindows) -> Results:
    """Raises TransformationError if a sum is beyond the longs."""
    return _FUNCTIONS[rules.function](rules, chunk)


def _count(rules: WindowRules, chunk: ChunkWindows) -> Results:
    return Results(chunk.counts(rules.window, Counted.by(rules)))


def _count_distinct(rules: WindowRules, chunk: ChunkWindows) -> Results:
    counted = Counted.by(rules)
    return Results(chunk.windows(rules.window, counted).distinct(chunk.counted_longs(counted)))


def _sum(rules: WindowRules, chunk: ChunkWindows) -> Results:
    counted = Counted.by(rules)
    valid = chunk.counts(rules.window, counted) > 0
    sums = chunk.sums(rules.window, counted)
    if pa.types.is_floating(rules.type):
        return Results(sums.doubles(), valid)
    longs, beyond = sums.longs()
    if beyond is not None and beyond.any():
        [total] = sums.summed(lambda part: part[np.flatnonzero(beyond)[:1]]).integers()
        raise TransformationError(
            f"feature {rules.name!r}: the sum of {rules.of!r} in a window is {total}, which is beyond a long "
            f"({-(2**63)} to {2**63 - 1}). Declare the feature as double, or aggregate a smaller unit"
        )
    return Results(longs, valid)


def _avg(rules: WindowRules, chunk: ChunkWindows) -> Results:
    counted = Counted.by(rules)
    counts = chunk.counts(rules.window, counted)
    return Results(chunk.sums(rules.window, counted).quotients(np.maximum(counts, 1)), counts > 0)


def _stddev(rules: WindowRules, chunk: ChunkWindows) -> Results:
    counted = Counted.by(rules)
    counts = chunk.counts(rules.window, counted)
    rows = np.flatnonzero(counts > 1)
    found = np.zeros(len(counts))
    sums, squares = (
        numbers.summed(lambda part: part[rows])
        for numbers in (chunk.sums(rules.window, counted), chunk.square_sums(rules.window, counted))
    )
    found[rows] = deviations(sums, squares, counts[rows])
    return Results(found, counts > 1)


def _min(rules: WindowRules, chunk: ChunkWindows) -> Results:
    counted = Counted.by(rules)
    least = chunk.windows(rules.window, counted).least(chunk.longs(counted))
    return Results(least, chunk.counts(rules.window, counted) > 0)


def _max(rules: WindowRules, chunk: ChunkWindows) -> Results:
    counted = Counted.by(rules)
    greatest = ~chunk.windows(rules.window, counted).least(~chunk.longs(counted))
    return Results(greatest, chunk.counts(rules.window, counted) > 0)


def _first(rules: WindowRules, chunk: ChunkWindows) -> Results:
    counted = Counted.by(rules)
    order = chunk.by_time(counted)
    return _taken(rules, chunk, order, chunk.windows(rules.window, counted).earliest(order))


def _last(rules: WindowRules, chunk: ChunkWindows) -> Results:
    counted = Counted.by(rules)
    order = chunk.by_time(counted)
    return _taken(rules, chunk, order, chunk.windows(rules.window, counted).latest(order))


def _taken(rules: WindowRules, chunk: ChunkWindows, order: Longs, places: Longs) -> Results:
    """The values at these places of the order, where a window has events."""
    counted = Counted.by(rules)
    valid = chunk.counts(rules.window, counted) > 0
    found = np.zeros(len(valid), np.int64)
    found[valid] = chunk.longs(counted)[order[places[valid]]]
    return Results(found, valid)


def _last_n(rules: WindowRules, chunk: ChunkWindows) -> Results:
    assert rules.n is not None
    counted = Counted.by(rules)
    counts = chunk.counts(rules.window, counted)
    lengths = np.minimum(counts, rules.n)
    rows = np.repeat(np.arange(len(counts)), lengths)
    back = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    order = chunk.by_time(counted)
    places = chunk.windows(rules.window, counted).latest_several(order, rows, back)
    return Results(chunk.longs(counted)[order[places]], counts > 0, lengths)


def _approx_percentile(rules: WindowRules, chunk: ChunkWindows) -> Results:
    assert rules.p is not None
    counted = Counted.by(rules)
    counts = chunk.counts(rules.window, counted)
    rows = np.flatnonzero(counts)
    order = chunk.by_value(counted)
    places = chunk.windows(rules.window, counted).nth(order, rows, nearest_ranks(rules.p, counts[rows]) - 1)
    found = np.zeros(len(counts), np.int64)
    found[rows] = chunk.longs(counted)[order[places]]
    return Results(found, counts > 0)


def nearest_ranks(p: float, counts: Longs) -> Longs:
    """Of 1 or more values each, the rank, from 1, of the smallest with at least ``p`` of the values at or below it.

    ``p`` is the decimal number that it is written as: 0.9 of ten values are nine.
    """
    share = Fraction(Decimal(repr(float(p))))
    distinct, places = np.unique(counts, return_inverse=True)
    ranks = [max(1, -(-share.numerator * count // share.denominator)) for count in distinct.tolist()]
    found: Longs = np.array(ranks, np.int64)[places]
    return found


_FUNCTIONS: Mapping[str, Callable[[WindowRules, ChunkWindows], Results]] = {
    "sum": _sum,
    "avg": _avg,
    "count": _count,
    "min": _min,
    "max": _max,
    "stddev": _stddev,
    "first": _first,
    "last": _last,
    "last_n": _last_n,
    "count_distinct": _count_distinct,
    "approx_percentile": _approx_percentile,
}
