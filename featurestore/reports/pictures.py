"""Pictures of a training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from featurestore.definitions.values.durations import spoken
from featurestore.reports.drawing import (
    FIRST,
    INK,
    MUTED,
    SECOND,
    STYLE,
    WIDTH,
    Picture,
    dates_below,
    label_bar,
    one_panel,
    picture_of,
)
from featurestore.reports.training_set_numbers import FeatureNumbers, PeriodNumbers

_AGE_TICKS = (1.0, 60.0, 600.0, 3_600.0, 6 * 3_600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0, 365 * 86_400.0)


def label_over_time(label: str, periods: Sequence[PeriodNumbers], cuts: Mapping[str, date]) -> Picture:
    """The label's mean per period, over its labelled rows; a vertical line at the start of each part of the split."""
    labelled = [period for period in periods if period.label_rate is not None]
    rates = [period.label_rate for period in labelled if period.label_rate is not None]
    with mpl.rc_context(STYLE):
        figure, axes = one_panel(3.0)
        axes.plot(_days(labelled), rates, color=FIRST, linewidth=1.8, marker="o", markersize=3)
        # Room above the line for the names of the parts.
        axes.set_ylim(min(0.0, *rates), max(1.15 * max(rates), 0.01))
        for part, day in cuts.items():
            first_day: Any = day
            axes.axvline(first_day, color=MUTED, linewidth=1, linestyle="--")
            axes.annotate(
                part,
                (first_day, 1),
                xycoords=("data", "axes fraction"),
                xytext=(4, 0),
                textcoords="offset points",
                va="top",
                color=MUTED,
            )
        dates_below(axes)
        lowest, highest = min(labelled, key=_rate), max(labelled, key=_rate)
        alternative = (
            f"Line: mean of the label from {labelled[0].first_day} to {labelled[-1].last_day}; lowest "
            f"{_rate(lowest):.3f} from {lowest.first_day} on, highest {_rate(highest):.3f} from {highest.first_day} on."
        )
        return picture_of(figure, "Label over time", f"Mean of {label} over the rows that have it.", alternative)


def _days(periods: Sequence[PeriodNumbers]) -> Any:
    """Dates for an axis; matplotlib's type hints know only numbers."""
    return [period.first_day for period in periods]


def _rate(period: PeriodNumbers) -> float:
    return period.label_rate or 0.0


def missing_shares(features: Sequence[FeatureNumbers]) -> Picture:
    """One bar per feature: the share of rows in which it is null."""
    shares = [1 - (feature.value_share or 0.0) for feature in features]
    with mpl.rc_context(STYLE):
        figure, axes = one_panel(0.8 + 0.24 * len(features))
        positions = range(len(features))
        axes.barh(positions, shares, color=SECOND, height=0.7)
        for position, share in zip(positions, shares, strict=True):
            label_bar(axes, f"{share:.1%}", share, position)
        _feature_rows(axes, features)
        axes.set_xlim(0, max(1.1 * max(shares), 0.01))
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        worst = max(zip(shares, features, strict=True), key=lambda pair: pair[0])
        complete = sum(share == 0 for share in shares)
        alternative = (
            f"Bars: share of rows without a value, for {len(features)} features. {complete} miss none; {worst[1].name} "
            f"misses most, {worst[0]:.1%}."
        )
        return picture_of(figure, "Missing values", "Share of the rows without a value.", alternative)


def matched_over_time(periods: Sequence[PeriodNumbers], lookups: Sequence[str]) -> Picture:
    """One small panel per lookup: the share of a period's rows for which the group had a value within its TTL."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.6 + 1.0 * len(lookups)), layout="constrained")
        panels: Any = figure.subplots(len(lookups), 1, sharex=True, squeeze=False)
        means = []
        for index, lookup in enumerate(lookups):
            axes = panels[index][0]
            shares = [period.matched[index] / period.rows for period in periods]
            means.append(sum(period.matched[index] for period in periods) / sum(period.rows for period in periods))
            axes.fill_between(_days(periods), shares, color=FIRST, alpha=0.35, linewidth=0)
            axes.plot(_days(periods), shares, color=FIRST, linewidth=1.2)
            axes.set_ylim(0, 1.05)
            axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
            axes.set_title(lookup, loc="left", fontsize=10, color=INK)
            dates_below(axes)
        totals = "; ".join(f"{lookup} {mean:.1%}" for lookup, mean in zip(lookups, means, strict=True))
        note = "Share of the rows for which the group had a value within its TTL."
        return picture_of(figure, "Matches over time", note, f"Areas over time, one per lookup. In all: {totals}.")


def ages(features: Sequence[FeatureNumbers]) -> Picture:
    """One line per feature, from percentile 5 to 95 of its values' age, a dot at the median, a bar at the TTL."""
    measured = [feature for feature in features if feature.age_median is not None]
    floor = _youngest_drawn(measured)
    with mpl.rc_context(STYLE):
        figure, axes = one_panel(0.7 + 0.24 * len(measured))
        for position, feature in enumerate(measured):
            low, median, high = (
                max(age or 0.0, floor) for age in (feature.age_low, feature.age_median, feature.age_high)
            )
            axes.plot([low, high], [position, position], color=FIRST, linewidth=3, alpha=0.45, solid_capstyle="round")
            axes.plot([median], [position], color=FIRST, marker="o", markersize=5)
            if feature.ttl is not None:
                axes.plot([feature.ttl.total_seconds()], [position], color=SECOND, marker="|", markersize=10, mew=2)
        axes.set_xscale("log")
        low_limit, high_limit = axes.get_xlim()
        ticks = [tick for tick in _AGE_TICKS if low_limit <= tick <= high_limit]
        axes.set_xticks(ticks, [spoken(tick) for tick in ticks])
        axes.minorticks_off()
        _feature_rows(axes, measured)
        oldest = max(measured, key=lambda feature: feature.age_median or 0.0)
        note = (
            "Age of the value at the row's timestamp: from percentile 5 to 95, a dot at the median, a bar at the TTL; "
            f"under {spoken(floor)} at the left edge."
        )
        alternative = (
            f"Ranges: age of the values of {len(measured)} features. The oldest by median is {oldest.name}, "
            f"{spoken(oldest.age_median)}."
        )
        return picture_of(figure, "Freshness", note, alternative)


def _youngest_drawn(features: Sequence[FeatureNumbers]) -> float:
    """The start of the logarithmic axis, without which the smallest ages would fill half of the picture."""
    youngest = min(feature.age_median or 0.0 for feature in features)
    return max((tick for tick in _AGE_TICKS if tick <= youngest / 10), default=_AGE_TICKS[0])


def _feature_rows(axes: Axes, features: Sequence[FeatureNumbers]) -> None:
    axes.set_yticks(range(len(features)), [feature.name for feature in features])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(features) - 0.4, -0.6)
    axes.grid(axis="x", linewidth=0.6)
    axes.set_axisbelow(True)
