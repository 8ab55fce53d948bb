"""The distance between two distributions of a feature, and whether it is drift: arithmetic on small histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from featurestore.definitions.feature_group import DriftThresholds
from featurestore.frames.statistics.feature_statistics import Distribution, FeatureStatistics, HistogramBin, histogram

Status = Literal["ok", "warning", "drifted"]

# Tenths of the baseline, as in Siddiqi, Credit Risk Scorecards (2006).
BINS = 10
# The least share of a bin: the logarithm of zero would make any index infinite.
FLOOR = 1e-4
OTHERS = "(others)"
# One in a hundred differences that arise by chance alone exceeds what counts as chance here.
_CHANCE = 0.01
_NORMAL_ONE_SIDED = 2.3263
_NORMAL_TWO_SIDED = 2.5758


@dataclass(frozen=True)
class FeatureDrift:
    """One feature in two periods. A measure is None if a side has no values, or if the two cannot be compared.

    ``null_share_change``: the current share of nulls less the baseline's. ``reasons``: the measures that exceed their
    thresholds, with the numbers. ``of_threshold``: the greatest judged measure, as a share of its threshold.
    ``histogram``: the shares of (baseline, current) by number, or by text.
    """

    feature: str
    type: str
    status: Status
    psi: float | None
    jensen_shannon: float | None
    kolmogorov_smirnov: float | None
    null_share_change: float | None
    of_threshold: float
    reasons: tuple[str, ...]
    baseline: FeatureStatistics
    current: FeatureStatistics
    histogram: tuple[HistogramBin, ...] = ()


def population_stability_index(baseline: Sequence[float], current: Sequence[float]) -> float:
    """The sum of ``(p - q) * ln(p / q)`` over the bins' shares, which must be above 0; from 0 up, symmetric.

    Lewis, An Introduction to Credit Scoring (1994); it is Jeffreys' divergence of the binned shares.
    """
    return sum((p - q) * math.log(p / q) for p, q in zip(baseline, current, strict=True))


def jensen_shannon(baseline: Sequence[float], current: Sequence[float]) -> float:
    """The Jensen-Shannon divergence of the bins' shares in bits, from 0 (equal) to 1 (nothing in common); symmetric.

    Lin, Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 37 (1991).
    """
    total = sum(
        p * math.log2(2 * p / (p + q)) for left, right in ((baseline, current), (current, baseline))
        for p, q in zip(left, right, strict=True) if p > 0
    )  # fmt: skip
    return min(1.0, max(0.0, total / 2))


def kolmogorov_smirnov(baseline: Distribution, current: Distribution) -> float:
    """The greatest distance between the two cumulative distributions, from 0 to 1; symmetric.

    It is computed at the numbers of both grids; between these, neither distribution changes by more than a step.
    Smirnov, Annals of Mathematical Statistics 19 (1948).
    """
    numbers = {*baseline.grid, *current.grid}
    return max(abs(baseline.at_or_below(number) - current.at_or_below(number)) for number in numbers)


def smoothed(shares: Sequence[float], rows: int) -> list[float]:
    """The shares with every bin raised to at least half a row and at least ``FLOOR``, scaled to sum to 1."""
    raised = [max(share, FLOOR, 0.5 / max(1, rows)) for share in shares]
    return [share / sum(raised) for share in raised]


def binned(baseline: Distribution, current: Distribution, bins: int = BINS) -> list[tuple[float, float]]:
    """The shares of both distributions in bins that hold equal shares of the baseline.

    A number that alone makes up much more than a bin's share has a bin of its own. Bins that are empty in both are
    left out.
    """
    cuts: set[tuple[float, bool]] = set()
    for number in {baseline.quantile(index / bins) for index in range(1, bins)}:
        cuts.add((number, True))
        own = baseline.at_or_below(number) - baseline.below(number)
        if own >= 1.5 / bins and own * baseline.rows >= 2:
            cuts.add((number, False))
    sides = [_between(distribution, sorted(cuts)) for distribution in (baseline, current)]
    return [(p, q) for p, q in zip(*sides, strict=True) if p > 0 or q > 0]


def _between(distribution: Distribution, cuts: Sequence[tuple[float, bool]]) -> list[float]:
    """The shares between the cuts, each just above its number, or just below."""
    up_to = [distribution.at_or_below(number) if above else distribution.below(number) for number, above in cuts]
    return [high - low for low, high in zip([0.0, *up_to], [*up_to, 1.0], strict=True)]


def categories(baseline: FeatureStatistics, current: FeatureStatistics) -> dict[str, tuple[float, float]]:
    """Value -> its shares of both periods' values; ``OTHERS`` has all values that are not among the most frequent."""
    rows = dict(baseline.top), dict(current.top)
    shares = {
        value: (rows[0].get(value, 0) / baseline.values, rows[1].get(value, 0) / current.values)
        for value in dict.fromkeys([*rows[0], *rows[1]])
    }
    # The counts may exceed the number of values: with very many texts, they are estimates.
    rest = [
        max(0, period.values - sum(counts.values())) for period, counts in zip((baseline, current), rows, strict=True)
    ]
    others = rest[0] / baseline.values, rest[1] / current.values
    return shares | ({OTHERS: others} if any(rest) else {})


@dataclass(frozen=True)
class _Measure:
    """A measure, its threshold, and the value that chance alone would give for this number of rows."""

    name: str
    value: float
    threshold: float
    chance: float

    @property
    def status(self) -> Status:
        if abs(self.value) <= max(self.chance, self.threshold / 2):
            return "ok"
        return "drifted" if abs(self.value) > self.threshold else "warning"

    def __str__(self) -> str:
        half = "half of " if self.status == "warning" else ""
        return f"{self.name} {self.value:.3f} is above {half}{self.threshold:g}"


def compare(
    baseline: FeatureStatistics,
    current: FeatureStatistics,
    thresholds: DriftThresholds,
    name: str | None = None,
    judge_nulls: bool = True,
) -> FeatureDrift:
    """Measure and judge the difference between two periods of one feature.

    A measure counts if it exceeds its threshold (or half of it: a warning) and also exceeds what chance alone would
    give, once in 100 times, for independent rows. ``judge_nulls=False`` reports the change of nulls without judging it.
    Numbers are compared in tenths of the baseline, booleans and texts by value (texts that hardly ever repeat, by
    length); Kolmogorov-Smirnov compares numbers, and the lengths of texts.
    """
    is_comparable = baseline.measure == current.measure
    measures = _measures(baseline, current, thresholds) if is_comparable and baseline.values and current.values else []
    change = _null_share_change(baseline, current, thresholds)
    judged = [*measures, *([change] if change is not None and judge_nulls else [])]
    statuses = {measure.status for measure in judged} | (set() if is_comparable else {"warning"})
    reasons = [] if is_comparable else [f"was {baseline.type} and is {current.type}: not compared"]
    values = {measure.name: measure.value for measure in measures}
    return FeatureDrift(
        feature=name or current.feature,
        type=current.type,
        status="drifted" if "drifted" in statuses else "warning" if "warning" in statuses else "ok",
        psi=values.get("psi"),
        jensen_shannon=values.get("jensen_shannon"),
        kolmogorov_smirnov=values.get("kolmogorov_smirnov"),
        null_share_change=None if change is None else change.value,
        of_threshold=max((abs(measure.value) / measure.threshold for measure in judged), default=0.0),
        reasons=(*reasons, *(str(measure) for measure in judged if measure.status != "ok")),
        baseline=baseline,
        current=current,
        histogram=_histogram(baseline, current),
    )


def _measures(a: FeatureStatistics, b: FeatureStatistics, thresholds: DriftThresholds) -> list[_Measure]:
    if a.distribution is None or b.distribution is None:
        return []
    by_value = categories(a, b) if a.top or b.top else None
    pairs = binned(a.distribution, b.distribution) if by_value is None else list(by_value.values())
    p, q = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    variance = 1 / a.values + 1 / b.values
    spread = _chi_squared(len(pairs) - 1) * variance
    index = population_stability_index(smoothed(p, a.values), smoothed(q, b.values))
    if a.measure == "truth" and by_value is not None:
        truth = by_value.get("true", (0.0, 0.0))
        distance = abs(truth[0] - truth[1])
    else:
        distance = kolmogorov_smirnov(a.distribution, b.distribution)
    chance = math.sqrt(-math.log(_CHANCE / 2) / 2 * variance)
    return [
        # Yurdakul and Naranjo, Journal of Risk Model Validation 14 (2020): by chance it is chi-squared times variance.
        _Measure("psi", index, thresholds.psi, spread),
        # Grosse et al., Physical Review E 65 (2002): the same law, in bits.
        _Measure("jensen_shannon", jensen_shannon(p, q), thresholds.jensen_shannon, spread / (8 * math.log(2))),
        _Measure("kolmogorov_smirnov", distance, thresholds.kolmogorov_smirnov, chance),
    ]


def _null_share_change(a: FeatureStatistics, b: FeatureStatistics, thresholds: DriftThresholds) -> _Measure | None:
    if a.null_share is None or b.null_share is None:
        return None
    pooled = (a.nulls + b.nulls) / (a.rows + b.rows)
    chance = _NORMAL_TWO_SIDED * math.sqrt(pooled * (1 - pooled) * (1 / a.rows + 1 / b.rows))
    return _Measure("null_share_change", b.null_share - a.null_share, thresholds.null_share, chance)


def _chi_squared(degrees: int) -> float:
    """The quantile that chance exceeds once in a hundred times; Wilson and Hilferty, PNAS 17 (1931)."""
    if degrees < 1:
        return 0.0
    part = 2 / (9 * degrees)
    return float(degrees * (1 - part + _NORMAL_ONE_SIDED * math.sqrt(part)) ** 3)


def _histogram(a: FeatureStatistics, b: FeatureStatistics) -> tuple[HistogramBin, ...]:
    """Bins by text if there are frequent texts, else by number; empty if a side has no values."""
    if not a.values or not b.values or a.measure != b.measure:
        return ()
    if a.top or b.top:
        return tuple(HistogramBin(shares, value=value) for value, shares in categories(a, b).items())
    distributions = [period.distribution for period in (a, b) if period.distribution is not None]
    return histogram(distributions) if len(distributions) == 2 else ()
