"""Pictures of drift: each feature's distance to its thresholds, and its distributions before and now."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from featurestore.frames.statistics.drift import FeatureDrift
from featurestore.frames.statistics.feature_statistics import as_text
from featurestore.reports.drawing import (
    FIRST,
    INK,
    MUTED,
    SECOND,
    STYLE,
    Picture,
    label_bar,
    one_panel,
    picture_of,
    short,
)

_MOST_VALUES = 12


def distances(features: Sequence[FeatureDrift]) -> Picture:
    """One bar per feature: its greatest measure as a share of that measure's threshold; a line at the threshold."""
    shares = [feature.of_threshold for feature in features]
    with mpl.rc_context(STYLE):
        figure, axes = one_panel(0.8 + 0.24 * len(features))
        positions = range(len(features))
        axes.barh(
            positions,
            shares,
            color=[SECOND if feature.status == "drifted" else FIRST for feature in features],
            height=0.7,
        )
        for position, (share, feature) in enumerate(zip(shares, features, strict=True)):
            label_bar(axes, f"{share:.2f} {feature.status}", share, position)
        axes.axvline(1, color=MUTED, linewidth=1, linestyle="--")
        axes.set_yticks(positions, [feature.feature for feature in features])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(len(features) - 0.4, -0.6)
        # Linear up to the threshold, logarithmic beyond it, so that one extreme feature does not squeeze the others.
        axes.set_xscale("symlog", linthresh=1, linscale=1)
        axes.set_xlim(0, 4 * max(1.0, *shares))
        ticks = [0.0, 0.5, *(10.0**power for power in range(7) if 10.0**power <= 2 * max(1.0, *shares))]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        worst = max(zip(shares, features, strict=True), key=lambda pair: pair[0])
        alternative = (
            f"Bars: how much of its threshold each of {len(features)} features uses; {worst[1].feature} most, "
            f"{worst[0]:.2f} times the threshold."
        )
        note = (
            "The greatest measure as a share of its threshold, which is the line. A feature beyond it that is ok has "
            "too few rows to judge."
        )
        return picture_of(figure, "Distance", note, alternative)


def spread(feature: FeatureDrift) -> Picture:
    """The shares of the values before and now: by range for numbers, by value for others."""
    by_value = feature.histogram[0].value is not None
    with mpl.rc_context(STYLE):
        figure, axes = one_panel(0.9 + 0.4 * min(len(feature.histogram), _MOST_VALUES) if by_value else 2.6)
        if by_value:
            _values(axes, feature)
        else:
            _numbers(axes, feature)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=9)
        furthest = max(feature.histogram, key=lambda part: abs(part.shares[1] - part.shares[0]))
        where = f"{furthest.value!r}" if by_value else (
            f"{as_text(furthest.low, feature.current.measure)} to {as_text(furthest.high, feature.current.measure)}"
        )  # fmt: skip
        alternative = (
            f"Histograms of {feature.feature} before and now. They differ most at {where}: {furthest.shares[0]:.1%} "
            f"before, {furthest.shares[1]:.1%} now."
        )
        quantity = {"length": "length", "norm": "norm"}.get(feature.current.measure, "value")
        note = f"Share of the values, by {'value' if by_value else quantity}; {feature.status}."
        return picture_of(figure, feature.feature, note, alternative, feature.feature)


def _numbers(axes: Axes, feature: FeatureDrift) -> None:
    measure = feature.current.measure
    edges = [
        edge for edge in (feature.histogram[0].low, *(part.high for part in feature.histogram)) if edge is not None
    ]
    for side, label, color in ((0, "before", FIRST), (1, "now", SECOND)):
        axes.stairs(
            [part.shares[side] for part in feature.histogram], edges, color=color, label=label, fill=True, alpha=0.35
        )
        axes.stairs([part.shares[side] for part in feature.histogram], edges, color=color, linewidth=1.4)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda number, _: as_text(number, measure))
    axes.grid(axis="y", linewidth=0.6)
    axes.set_axisbelow(True)


def _values(axes: Axes, feature: FeatureDrift) -> None:
    parts = sorted(feature.histogram, key=lambda part: -max(part.shares))[:_MOST_VALUES]
    for side, label, color in ((0, "before", FIRST), (1, "now", SECOND)):
        places = [position + 0.4 * side - 0.2 for position in range(len(parts))]
        axes.barh(places, [part.shares[side] for part in parts], height=0.38, color=color, label=label)
    axes.set_yticks(range(len(parts)), [short(part.value or "") for part in parts])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(parts) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.grid(axis="x", linewidth=0.6)
    axes.set_axisbelow(True)
