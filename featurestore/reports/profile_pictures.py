"""Pictures of a profile: the distribution of a feature's values, and their development over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from featurestore.frames.statistics.feature_statistics import FeatureStatistics, as_text, histogram
from featurestore.operations.statistics.profile import ProfiledGroup
from featurestore.reports.drawing import (
    FIRST,
    INK,
    SECOND,
    STYLE,
    WIDTH,
    Picture,
    dates_below,
    label_bar,
    one_panel,
    picture_of,
    short,
)

_MOST_VALUES = 8
_MIDDLE = "Over time: median, and from 5 to 95 %"
_OVER_TIME = {
    "truth": "Over time: share of true",
    "length": "Over time: length, median and from 5 to 95 %",
    "norm": "Over time: norm, median and from 5 to 95 %",
}
_MEASURES = {
    "length": "their lengths",
    "norm": "their norms",
    "microseconds": "the times (UTC)",
    "days": "the dates",
}


def rows_over_time(profiled: ProfiledGroup) -> Picture:
    """One bar per event date: the rows of the group."""
    rows = {
        day: max(statistics.rows for statistics in profiled.by_date if statistics.date == day) for day in profiled.dates
    }
    month = profiled.group.partition_by == "month"
    with mpl.rc_context(STYLE):
        figure, axes = one_panel(2.2)
        days: Any = list(rows)
        axes.bar(days, list(rows.values()), width=25 if month else 0.8, color=FIRST, alpha=0.8)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
        dates_below(axes)
        least, most = min(rows, key=lambda day: rows[day]), max(rows, key=lambda day: rows[day])
        alternative = (
            f"Bars: rows of {len(rows)} {'months' if month else 'event dates'}; fewest {rows[least]:,} on {least}, "
            f"most {rows[most]:,} on {most}."
        )
        note = f"Rows of each {'month' if month else 'event date'}, as corrected."
        return picture_of(figure, "Rows over time", note, alternative)


def feature_picture(feature: FeatureStatistics, by_date: Sequence[FeatureStatistics]) -> Picture:
    """The distribution of a feature's values; with several dates, also their median and nulls over time."""
    several = len(by_date) > 1
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
        if several:
            grid = figure.add_gridspec(2, 2, width_ratios=(2, 3), height_ratios=(2, 1))
            _spread(figure.add_subplot(grid[:, 0]), feature)
            middle = figure.add_subplot(grid[0, 1])
            _middle(middle, by_date)
            _nulls(figure.add_subplot(grid[1, 1], sharex=middle), by_date)
            middle.tick_params(axis="x", labelbottom=False)
        else:
            _spread(figure.subplots(), feature)
        return picture_of(figure, feature.feature, _note(feature), _alternative(feature, by_date), feature.feature)


def _spread(axes: Axes, feature: FeatureStatistics) -> None:
    axes.set_title("Spread", loc="left", fontsize=10, color=INK)
    bars = _bars(feature)
    if bars:
        axes.barh(range(len(bars)), [share for _, share in bars], height=0.7, color=FIRST, alpha=0.8)
        axes.set_yticks(range(len(bars)), [short(name) for name, _ in bars])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(max(len(bars), 4) - 0.4, -0.6)
        for place, (_, share) in enumerate(bars):
            label_bar(axes, f"{share:.1%}", share, place)
        axes.set_xlim(0, 1.25 * bars[0][1])
        axes.set_xticks([])
    elif feature.distribution is not None:
        parts = histogram([feature.distribution])
        edges = [edge for edge in (parts[0].low, *(part.high for part in parts)) if edge is not None]
        axes.stairs([part.shares[0] for part in parts], edges, color=FIRST, fill=True, alpha=0.8)
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(lambda number, _: _tick(number, feature.measure))
        axes.grid(axis="y", linewidth=0.6)
    axes.set_axisbelow(True)


def _bars(feature: FeatureStatistics) -> list[tuple[str, float]]:
    """Values with their shares, where these say more than a histogram: for texts, booleans and constant values."""
    if feature.top:
        return [(value, rows / feature.values) for value, rows in feature.top[:_MOST_VALUES]]
    if feature.minimum is not None and feature.minimum == feature.maximum:
        return [(as_text(feature.minimum, feature.measure), 1.0)]
    return []


def _middle(axes: Axes, by_date: Sequence[FeatureStatistics]) -> None:
    measured = [statistics for statistics in by_date if statistics.quantiles]
    days: Any = [statistics.date for statistics in measured]
    measure = measured[0].measure if measured else "none"
    axes.set_title(_OVER_TIME.get(measure, _MIDDLE), loc="left", fontsize=10, color=INK)
    if measure == "truth":
        axes.plot(days, [statistics.mean or 0.0 for statistics in measured], color=FIRST, linewidth=1.6)
        axes.set_ylim(0, 1.05)
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    elif measured:
        low, median, high = ([day.quantiles[share] for day in measured] for share in (0.05, 0.5, 0.95))
        axes.fill_between(days, low, high, color=FIRST, alpha=0.25, linewidth=0)
        axes.plot(days, median, color=FIRST, linewidth=1.6, marker="o", markersize=3 if len(days) < 40 else 0)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(lambda number, _: _tick(number, measure))
    axes.grid(axis="y", linewidth=0.6)
    axes.set_axisbelow(True)


def _nulls(axes: Axes, by_date: Sequence[FeatureStatistics]) -> None:
    shares = [statistics.null_share or 0.0 for statistics in by_date]
    days: Any = [statistics.date for statistics in by_date]
    axes.set_title("Null", loc="left", fontsize=10, color=INK)
    axes.fill_between(days, shares, color=SECOND, alpha=0.35, linewidth=0)
    axes.plot(days, shares, color=SECOND, linewidth=1.2)
    axes.set_ylim(0, max(0.05, 1.1 * max(shares)))
    axes.yaxis.set_major_locator(MaxNLocator(2))
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    dates_below(axes)


def _tick(number: float, measure: str) -> str:
    """A tick's text; a time shows only its date, since an axis has no room for hours."""
    return as_text(number, measure).partition(" ")[0]


def _note(feature: FeatureStatistics) -> str:
    note = f"{feature.type}, {feature.values:,} values"
    if feature.nulls:
        note += f", {feature.nulls:,} null ({feature.null_share:.1%})"
    if not feature.top and feature.measure in _MEASURES:
        note += f"; the picture shows {_MEASURES[feature.measure]}"
    return f"{note}."


def _alternative(feature: FeatureStatistics, by_date: Sequence[FeatureStatistics]) -> str:
    text = f"Spread of {feature.feature}: "
    bars = _bars(feature)
    if bars:
        text += f"{bars[0][0]!r} is most frequent, {bars[0][1]:.1%} of the values"
    elif feature.quantiles:
        low, median, high = (as_text(feature.quantiles[share], feature.measure) for share in (0.25, 0.5, 0.75))
        text += f"half of the values are from {low} to {high}, the median is {median}"
    else:
        text += "not measured"
    if len(by_date) < 2:
        return f"{text}."
    first, last = by_date[0], by_date[-1]
    return (
        f"{text}. Over {len(by_date)} dates from {first.date} to {last.date}: null {first.null_share or 0.0:.1%} at "
        f"first, {last.null_share or 0.0:.1%} at last."
    )
