"""Pictures of a line's height, thousands of them on few pages: plain SVG paths that take their colours from the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from featurestore.frames.statistics.feature_statistics import FeatureStatistics, as_text, histogram, significant

# A divisor of the steps of rank that are kept, so that even values make even bars.
_BINS = 20
# A text is shown where it is one of few and many rows have it: a category, no name of anybody.
_MOST_DISTINCT, _LEAST_ROWS, _MOST_SHOWN = 50, 5, 3


@dataclass(frozen=True)
class Bars:
    """Bars side by side: ``path`` draws them in a box of ``width`` by ``height``; ``alternative`` tells them in words."""

    width: int
    height: int
    path: str
    first: str
    last: str
    alternative: str


@dataclass(frozen=True)
class ValueShare:
    """A value with its share of all that is not null."""

    value: str
    share: float


def spread(one: FeatureStatistics) -> Bars | None:
    """A histogram of the numbers (of lengths, for arrays); none for texts, booleans and where there are no numbers."""
    distribution = one.distribution
    if distribution is None or one.measure == "truth" or one.type == "string":
        return None
    parts = histogram([distribution], _BINS)
    first, last = brief(parts[0].low, one.measure), brief(parts[-1].high, one.measure)
    middle = brief(distribution.quantile(0.5), one.measure)
    what = {"length": "lengths", "norm": "norms"}.get(one.measure, "values")
    alternative = f"Histogram of the {what} of {one.feature}: from {first} to {last}, half at or below {middle}."
    return Bars(168, 36, bars([part.shares[0] for part in parts], 168, 36), first, last, alternative)


def brief(number: float | None, measure: str) -> str:
    """A feature's number in the room that there is: a moment's date, else four digits."""
    if number is None or measure == "days":
        return as_text(number, measure)
    return as_text(number, measure)[:10] if measure == "microseconds" else significant(number, 4)


def rows_over_time(days: Sequence[tuple[date, int]]) -> Bars | None:
    """A bar a date that has rows; none without two of them."""
    if len(days) < 2:
        return None
    most, least = max(days, key=lambda day: day[1]), min(days, key=lambda day: day[1])
    first, last = days[0][0].isoformat(), days[-1][0].isoformat()
    alternative = (
        f"Bars: rows on {len(days)} dates from {first} to {last}; most on {most[0]}, {most[1]:,}, fewest on {least[0]}, "
        f"{least[1]:,}."
    )
    return Bars(900, 90, bars([rows for _, rows in days], 900, 90), first, last, alternative)


def bars(heights: Sequence[float], width: int, height: int) -> str:
    """An SVG path of bars from the lower edge up, the highest as high as the box; what is above nothing can be seen."""
    highest = max(heights) or 1
    step = width / len(heights)
    thickness = max(step - 1, step * 0.8)
    drawn = ((index * step, max(1.0, share / highest * height)) for index, share in enumerate(heights) if share > 0)
    return "".join(f"M{x:.4g} {height}v-{tall:.3g}h{thickness:.3g}v{tall:.3g}z" for x, tall in drawn)


def frequent(one: FeatureStatistics) -> list[ValueShare]:
    """The most frequent values of a boolean, or of a text that is one of few; none of which only few rows have."""
    if not one.values or (one.type == "string" and (one.distinct or 0) > _MOST_DISTINCT):
        return []
    return [ValueShare(value, rows / one.values) for value, rows in one.top[:_MOST_SHOWN] if rows >= _LEAST_ROWS]
