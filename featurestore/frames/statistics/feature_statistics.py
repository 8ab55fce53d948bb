"""Statistics of one feature's values over a period: counts, moments and the distribution."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from featurestore.definitions.values.durations import spoken
from featurestore.definitions.values.time_window import from_micros

# Shares at which a profile has a quantile, for people and for tools.
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_MICROS = 1_000_000
_SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Distribution:
    """Numbers by rank: at least ``i / (len(grid) - 1)`` of the rows are at or below ``grid[i]``, the least such number.

    Shares that are read from the grid are rounded down to a whole step. ``rows``: the number of numbers.
    """

    rows: int
    grid: tuple[float, ...]

    @property
    def steps(self) -> int:
        return len(self.grid) - 1

    def at_or_below(self, number: float) -> float:
        """The share of rows at or below the number."""
        return max(0, bisect_right(self.grid, number) - 1) / self.steps

    def below(self, number: float) -> float:
        """The share of rows below the number."""
        return max(0, bisect_left(self.grid, number) - 1) / self.steps

    def quantile(self, share: float) -> float:
        """The least number such that at least this share of the rows is at or below it."""
        return self.grid[min(self.steps, math.ceil(share * self.steps))]


@dataclass(frozen=True)
class FeatureStatistics:
    """A feature over a period, or on one ``date``; a corrected value counts once.

    - ``rows``: entities and event timestamps at which the group has a row; ``nulls``: those without a value.
    - ``distinct``: the number of different values, an estimate (None for json).
    - ``measure``: what the numbers measure: ``value``, ``truth`` (true is 1), ``length`` (of a text in characters, or
      of an array), ``microseconds`` and ``days`` since 1970 (UTC), ``norm`` (of an embedding), ``none`` (json).
    - ``minimum``, ``maximum``, ``mean``, ``stddev`` (of a sample) of these numbers; None if there are no numbers.
    - ``quantiles``: share -> the least number such that at least this share is at or below it; an estimate.
    - ``top``: the most frequent values of texts and booleans, with their rows.
    """

    feature: str
    type: str
    measure: str
    rows: int
    nulls: int
    distinct: int | None
    minimum: float | None
    maximum: float | None
    mean: float | None
    stddev: float | None
    quantiles: dict[float, float] = field(default_factory=dict)
    top: tuple[tuple[str, int], ...] = ()
    date: date | None = None
    distribution: Distribution | None = field(default=None, repr=False, compare=False)

    @property
    def values(self) -> int:
        return self.rows - self.nulls

    @property
    def null_share(self) -> float | None:
        return self.nulls / self.rows if self.rows else None

    @classmethod
    def of(cls, line: dict[str, Any]) -> FeatureStatistics:
        """From a merged line (``frames.feature_profile.merged_lines``)."""
        grid = line["grid"]
        distribution = None if grid is None else Distribution(line["numbers"], tuple(grid))
        return cls(
            feature=line["feature"],
            type=line["type"],
            measure=line["measure"],
            rows=line["rows"],
            nulls=line["nulls"],
            distinct=line["distinct_values"],
            minimum=line["minimum"],
            maximum=line["maximum"],
            mean=_finite(line["mean"]),
            stddev=_stddev(line["numbers"], line["squares"]),
            quantiles={} if distribution is None else {share: distribution.quantile(share) for share in QUANTILES},
            top=tuple((part["value"], part["rows"]) for part in line["top"] or ()),
            date=line.get("event_date"),
            distribution=distribution,
        )


def as_text(number: float | None, measure: str) -> str:
    """A number of a measure as people read it; ``-`` for None."""
    if number is None:
        return "-"
    try:
        if measure == "microseconds":
            return from_micros(round(number)).strftime("%Y-%m-%d %H:%M")
        if measure == "days":
            return (date(1970, 1, 1) + timedelta(days=round(number))).isoformat()
    except OverflowError:
        pass
    return significant(number, 6)


def significant(number: float, digits: int) -> str:
    """A number rounded to this many digits: ``0.403197``, ``12,499,400``."""
    rounded = float(f"{number:.{digits}g}")
    # A double holds whole numbers below this bound to the last digit, so they need no power of ten.
    return f"{rounded:,.0f}" if 10**digits <= abs(rounded) < 1e15 else f"{rounded:.{digits}g}"


def deviation_as_text(number: float | None, measure: str) -> str:
    """The same for a difference of such numbers."""
    if number is not None and measure == "microseconds":
        return spoken(number / _MICROS)
    if number is not None and measure == "days":
        return spoken(number * _SECONDS_A_DAY)
    return as_text(number, "value")


def _finite(number: float | None) -> float | None:
    """The number, or None if a step of its computation left the range of a double."""
    return number if number is not None and math.isfinite(number) else None


def _stddev(numbers: int, squares: float | None) -> float | None:
    return None if squares is None or numbers < 2 else _finite(math.sqrt(max(0.0, squares) / (numbers - 1)))


@dataclass(frozen=True)
class HistogramBin:
    """Numbers in ``(low, high]``, or the text ``value``; the first and last bin also hold the numbers beyond them.

    ``shares``: the share of each distribution, in the order of the distributions.
    """

    shares: tuple[float, ...]
    low: float | None = None
    high: float | None = None
    value: str | None = None


def histogram(distributions: Sequence[Distribution], bins: int = 20) -> tuple[HistogramBin, ...]:
    """Bins of equal width over all but the outermost half a percent of each distribution, with the shares in each."""
    low = min(distribution.quantile(0.005) for distribution in distributions)
    high = max(distribution.quantile(0.995) for distribution in distributions)
    if low == high:
        return (HistogramBin(tuple(1.0 for _ in distributions), low, high),)
    edges = [low + index * (high / bins - low / bins) for index in range(bins)] + [high]
    cumulative = [
        [0.0, *(distribution.at_or_below(edge) for edge in edges[1:-1]), 1.0] for distribution in distributions
    ]
    return tuple(
        HistogramBin(tuple(shares[index + 1] - shares[index] for shares in cumulative), edges[index], edges[index + 1])
        for index in range(bins)
    )
