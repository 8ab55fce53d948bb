"""Many numbers as few that stand for equally many each: sorted, the same whatever the order of rows, and merged by weight.

A sketch would draw lots or depend on the order in which it is fed, so that the same rows gave other quantiles each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

# Numbers are kept as they are up to so many; of more, each point stands for an equal share of them, from its middle.
POINTS = 500


def is_point(rank: Column, numbers: Column) -> Column:
    """Whether the number of this rank (from 1) of so many is one of the points: all are, of few."""
    steps = F.least(numbers, F.lit(POINTS))
    up_to, below = (_whole(2 * ranks * steps + numbers, 2 * numbers) for ranks in (rank, rank - 1))
    return up_to > below


def merged_points(parts: Column, numbers: Column) -> Column:
    """The points of all parts together; ``parts``: structs of ``numbers`` and ``points``, ``numbers``: of all parts."""
    return _let(_together(parts, numbers), lambda every: _spread_over(every, F.least(F.size(every), F.lit(POINTS))))


def merged_grid(parts: Column, numbers: Column, steps: int) -> Column:
    """The least numbers that at least 0, 1 / ``steps``, ..., 1 of the parts' numbers are at or below."""

    def read(every: Column) -> Column:
        def rank(step: Column) -> Column:
            return F.greatest(F.lit(1).cast("bigint"), _up(step * F.size(every), F.lit(steps)))

        return F.transform(
            F.sequence(F.lit(0).cast("bigint"), F.lit(steps).cast("bigint")), lambda i: _at(every, rank(i))
        )

    return _let(_together(parts, numbers), read)


def at_shares(points: Column, shares: Sequence[float]) -> Column:
    """The points that at least these shares of all are at or below; null where there is none."""
    wanted = F.array(*(F.lit(share) for share in shares))
    read = F.transform(wanted, lambda share: _at(points, F.greatest(F.lit(1), F.ceil(share * F.size(points)))))
    return F.when(F.size(points) > 0, read)


def _together(parts: Column, numbers: Column) -> Column:
    """All parts' points in one sorted array, each part's as often as its numbers weigh."""
    most = F.least(numbers, F.size(parts).cast("bigint") * POINTS)

    def weighed(part: Column) -> Column:
        often = F.when(most == numbers, part["numbers"]).otherwise(
            _whole(2 * part["numbers"] * most + numbers, 2 * numbers)
        )
        return _spread_over(part["points"], often)

    return F.array_sort(F.flatten(F.transform(parts, weighed)))


def _spread_over(points: Column, count: Column) -> Column:
    """So many of the points, evenly: each is the middle of an equal share of them."""
    size = F.size(points).cast("bigint")

    def middle(place: Column) -> Column:
        return _at(points, _up((2 * place - 1) * size, 2 * count))

    spread = F.transform(F.sequence(F.lit(1).cast("bigint"), count.cast("bigint")), middle)
    return F.when(count == size, points).when(count > 0, spread).otherwise(F.array().cast("array<double>"))


def _at(points: Column, rank: Column) -> Column:
    return F.get(points, rank.cast("int") - 1)


def _whole(number: Column, by: Column) -> Column:
    """The quotient of whole numbers that are not negative, rounded down, exactly; null where there is nothing to divide by."""
    return F.call_function("div", number.cast("bigint"), F.nullif(by.cast("bigint"), F.lit(0).cast("bigint")))


def _up(number: Column, by: Column) -> Column:
    return _whole(number.cast("bigint") + by - 1, by)


def _let(value: Column, body: Callable[[Column], Column]) -> Column:
    """``body`` of a value that is computed once, however often it stands in it."""
    return F.get(F.transform(F.array(value), body), F.lit(0))
