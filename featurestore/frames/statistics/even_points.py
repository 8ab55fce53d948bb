"""Many numbers as few points, each of which represents equally many: sorted, merged by weight, in any order of rows.

The same rows always give the same points. A sketch would be random or depend on the order of its input, so that the
same rows gave different quantiles each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from featurestore.late_spark import Column, F

# Up to this many numbers are kept as they are. Of more, each point represents an equal share, and is its middle number.
POINTS = 500


def is_point(rank: Column, numbers: Column) -> Column:
    """Whether the number at ``rank`` (from 1, of ``numbers``) is kept as a point; of few numbers, all are kept."""
    steps = F.least(numbers, F.lit(POINTS))
    up_to, below = (_whole(2 * ranks * steps + numbers, 2 * numbers) for ranks in (rank, rank - 1))
    return up_to > below


def merged_points(parts: Column, numbers: Column) -> Column:
    """The points of all parts together; ``parts``: structs of ``numbers`` and ``points``, ``numbers``: of all parts."""
    return _let(_together(parts, numbers), lambda every: _spread_over(every, F.least(F.size(every), F.lit(POINTS))))


def merged_grid(parts: Column, numbers: Column, steps: int) -> Column:
    """The least numbers such that at least 0, 1 / ``steps``, ..., 1 of the parts' numbers are at or below them."""

    def grid(every: Column) -> Column:
        def rank(step: Column) -> Column:
            return F.greatest(F.lit(1).cast("bigint"), _up(step * F.size(every), F.lit(steps)))

        return F.transform(
            F.sequence(F.lit(0).cast("bigint"), F.lit(steps).cast("bigint")), lambda i: _at(every, rank(i))
        )

    return _let(_together(parts, numbers), grid)


def at_shares(points: Column, shares: Sequence[float]) -> Column:
    """The least points such that at least these shares of all points are at or below them; null without points."""
    literals = F.array(*(F.lit(share) for share in shares))
    quantiles = F.transform(literals, lambda share: _at(points, F.greatest(F.lit(1), F.ceil(share * F.size(points)))))
    return F.when(F.size(points) > 0, quantiles)


def _together(parts: Column, numbers: Column) -> Column:
    """The points of all parts in one sorted array, as many of each part as its share of the numbers."""
    most = F.least(numbers, F.size(parts).cast("bigint") * POINTS)

    def weighed(part: Column) -> Column:
        count = F.when(most == numbers, part["numbers"]).otherwise(
            _whole(2 * part["numbers"] * most + numbers, 2 * numbers)
        )
        return _spread_over(part["points"], count)

    return F.array_sort(F.flatten(F.transform(parts, weighed)))


def _spread_over(points: Column, count: Column) -> Column:
    """``count`` of the points, evenly spread: each is the middle of an equal share of them."""
    size = F.size(points).cast("bigint")

    def middle(place: Column) -> Column:
        return _at(points, _up((2 * place - 1) * size, 2 * count))

    spread = F.transform(F.sequence(F.lit(1).cast("bigint"), count.cast("bigint")), middle)
    return F.when(count == size, points).when(count > 0, spread).otherwise(F.array().cast("array<double>"))


def _at(points: Column, rank: Column) -> Column:
    return F.get(points, rank.cast("int") - 1)


def _whole(number: Column, by: Column) -> Column:
    """The exact quotient of two whole numbers of at least 0, rounded down; null for the divisor 0."""
    return F.call_function("div", number.cast("bigint"), F.nullif(by.cast("bigint"), F.lit(0).cast("bigint")))


def _up(number: Column, by: Column) -> Column:
    return _whole(number.cast("bigint") + by - 1, by)


def _let(value: Column, body: Callable[[Column], Column]) -> Column:
    """``body`` of a value that Spark computes once, however often ``body`` uses it."""
    return F.get(F.transform(F.array(value), body), F.lit(0))
