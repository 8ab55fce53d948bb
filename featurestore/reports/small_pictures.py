"""Draw pictures as high as a line, as plain SVG paths in the page's colours; a page may have thousands of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from featurestore.frames.statistics.feature_statistics import FeatureStatistics, as_text, histogram, significant

# A divisor of the number of rank steps that a distribution stores, so that evenly spread values give even bars.
_BINS = 20
# A text is shown only if it is one of few and many rows have it; it is then a category, and not a person's name.
_MOST_DISTINCT, _LEAST_ROWS, _MOST_SHOWN = 50, 5, 3


@dataclass(frozen=True)
class Bars:
    """A row of bars: ``path`` draws them in a box of ``width`` by ``height``; ``alternative`` is a description."""

    width: int
    height: int
    path: str
    first: str
    last: str
    alternative: str


@dataclass(frozen=True)
class ValueShare:
    """A value with its share of the values that are not null."""

    value: str
    share: float


def spread(statistics: FeatureStatistics) -> Bars | None:
    """A histogram of the numbers (for arrays, of lengths); None for texts and booleans, and without numbers."""
    distribution, measure = statistics.distribution, statistics.measure
    if distribution is None or measure == "truth" or statistics.type == "string":
        return None
    parts = histogram([distribution], _BINS)
    first, last = brief(parts[0].low, measure), brief(parts[-1].high, measure)
    middle = brief(distribution.quantile(0.5), measure)
    noun = {"length": "lengths", "norm": "norms"}.get(measure, "values")
    alternative = f"Histogram of the {noun} of {statistics.feature}: from {first} to {last}, half at or below {middle}."
    return Bars(168, 36, bars([part.shares[0] for part in parts], 168, 36), first, last, alternative)


def brief(number: float | None, measure: str) -> str:
    """A feature's number in short form: the date of an instant, else four digits."""
    if number is None or measure == "days":
        return as_text(number, measure)
    return as_text(number, measure)[:10] if measure == "microseconds" else significant(number, 4)


def rows_over_time(days: Sequence[tuple[date, int]]) -> Bars | None:
    """One bar per date that has rows; None for fewer than two dates."""
    if len(days) < 2:
        return None
    most, least = max(days, key=lambda day: day[1]), min(days, key=lambda day: day[1])
    first, last = days[0][0].isoformat(), days[-1][0].isoformat()
    alternative = (
        f"Bars: rows on {len(days)} dates from {first} to {last}; most on {most[0]}, {most[1]:,}, fewest on "
        f"{least[0]}, {least[1]:,}."
    )
    return Bars(900, 90, bars([rows for _, rows in days], 900, 90), first, last, alternative)


def bars(heights: Sequence[float], width: int, height: int) -> str:
    """An SVG path of bars from the lower edge up; the highest fills the box, and every share above 0 is visible."""
    highest = max(heights) or 1
    step = width / len(heights)
    thickness = max(step - 1, step * 0.8)
    drawn = ((index * step, max(1.0, share / highest * height)) for index, share in enumerate(heights) if share > 0)
    return "".join(f"M{x:.4g} {height}v-{tall:.3g}h{thickness:.3g}v{tall:.3g}z" for x, tall in drawn)


def frequent(statistics: FeatureStatistics) -> list[ValueShare]:
    """The most frequent values of a boolean, or of a text with few distinct values, without rare values."""
    if not statistics.values or (statistics.type == "string" and (statistics.distinct or 0) > _MOST_DISTINCT):
        return []
    return [
        ValueShare(value, rows / statistics.values)
        for value, rows in statistics.top[:_MOST_SHOWN]
        if rows >= _LEAST_ROWS
    ]
