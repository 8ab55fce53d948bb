"""How far two distributions of a feature are apart, and whether that is drift. Plain arithmetic on small histograms."""

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
# The least share that a bin is taken to have: the logarithm of nothing would make any index infinite.
FLOOR = 1e-4
OTHERS = "(others)"
# Of differences by chance alone, one in a hundred is greater than what is called chance here.
_CHANCE = 0.01
_NORMAL_ONE_SIDED = 2.3263
_NORMAL_TWO_SIDED = 2.5758


@dataclass(frozen=True)
class FeatureDrift:
    """One feature in two periods. A measure is none where a side has no values, or where the two cannot be compared.

    ``null_share_change``: the current share of nulls less the baseline's. ``reasons``: what exceeds its threshold, with
    the numbers. ``of_threshold``: the greatest of what was judged, as a share of its threshold. ``histogram``: the shares of (baseline, current) by number, or by text.
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
        p * math.log2(2 * p / (p + q)) for one, other in ((baseline, current), (current, baseline))
        for p, q in zip(one, other, strict=True) if p > 0
    )  # fmt: skip
    return min(1.0, max(0.0, total / 2))


def kolmogorov_smirnov(baseline: Distribution, current: Distribution) -> float:
    """The greatest distance between the two cumulative distributions, from 0 to 1; symmetric.

    Known at the numbers of both grids, between which neither changes by more than a step. Smirnov, Annals of
    Mathematical Statistics 19 (1948).
    """
    numbers = {*baseline.grid, *current.grid}
    return max(abs(baseline.at_or_below(number) - current.at_or_below(number)) for number in numbers)


def smoothed(shares: Sequence[float], rows: int) -> list[float]:
    """The shares with at least half a row, and at least ``FLOOR``, in every bin, so that they sum up to 1."""
    raised = [max(share, FLOOR, 0.5 / max(1, rows)) for share in shares]
    return [share / sum(raised) for share in raised]


def binned(baseline: Distribution, current: Distribution, bins: int = BINS) -> list[tuple[float, float]]:
    """The shares of both in bins that hold equal shares of the baseline.

    A number that holds much more than a bin's share by itself has a bin of its own. Bins that are empty in both are left
    out.
    """
    cuts: set[tuple[float, bool]] = set()
    for number in {baseline.quantile(index / bins) for index in range(1, bins)}:
        cuts.add((number, True))
        own = baseline.at_or_below(number) - baseline.below(number)
        if own >= 1.5 / bins and own * baseline.rows >= 2:
            cuts.add((number, False))
    sides = [_between(one, sorted(cuts)) for one in (baseline, current)]
    return [(p, q) for p, q in zip(*sides, strict=True) if p > 0 or q > 0]


def _between(distribution: Distribution, cuts: Sequence[tuple[float, bool]]) -> list[float]:
    """The shares between the cuts, each just above its number, or just below."""
    up_to = [distribution.at_or_below(number) if above else distribution.below(number) for number, above in cuts]
    return [high - low for low, high in zip([0.0, *up_to], [*up_to, 1.0], strict=True)]


def categories(baseline: FeatureStatistics, current: FeatureStatistics) -> dict[str, tuple[float, float]]:
    """By value, its shares of both periods' values; what is not among the most frequent is together in ``OTHERS``."""
    rows = dict(baseline.top), dict(current.top)
    shares = {
        value: (rows[0].get(value, 0) / baseline.values, rows[1].get(value, 0) / current.values)
        for value in dict.fromkeys([*rows[0], *rows[1]])
    }
    # Counts of very many texts are estimates.
    rest = [max(0, one.values - sum(told.values())) for one, told in zip((baseline, current), rows, strict=True)]
    others = rest[0] / baseline.values, rest[1] / current.values
    return shares | ({OTHERS: others} if any(rest) else {})


@dataclass(frozen=True)
class _Measured:
    """A measure, its threshold, and what chance alone would give for so few rows."""

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
    """One feature's two periods, measured and judged.

    A measure counts where it exceeds its threshold (or half of it: a warning) and also what chance alone would give, at 1
    in 100, for rows that have nothing to do with each other. ``judge_nulls=False`` tells the change of nulls without
    judging it. Numbers are compared in tenths of the baseline, booleans and texts by value (texts that hardly ever come
    twice by length); Kolmogorov-Smirnov is of numbers, and of the lengths of texts.
    """
    alike = baseline.measure == current.measure
    found = _spread(baseline, current, thresholds) if alike and baseline.values and current.values else []
    change = _null_share_change(baseline, current, thresholds)
    judged = [*found, *([change] if change is not None and judge_nulls else [])]
    statuses = {one.status for one in judged} | (set() if alike else {"warning"})
    reasons = [] if alike else [f"was {baseline.type} and is {current.type}: not compared"]
    values = {one.name: one.value for one in found}
    return FeatureDrift(
        feature=name or current.feature,
        type=current.type,
        status="drifted" if "drifted" in statuses else "warning" if "warning" in statuses else "ok",
        psi=values.get("psi"),
        jensen_shannon=values.get("jensen_shannon"),
        kolmogorov_smirnov=values.get("kolmogorov_smirnov"),
        null_share_change=None if change is None else change.value,
        of_threshold=max((abs(one.value) / one.threshold for one in judged), default=0.0),
        reasons=(*reasons, *(str(one) for one in judged if one.status != "ok")),
        baseline=baseline,
        current=current,
        histogram=_histogram(baseline, current),
    )


def _spread(a: FeatureStatistics, b: FeatureStatistics, thresholds: DriftThresholds) -> list[_Measured]:
    if a.distribution is None or b.distribution is None:
        return []
    by_value = categories(a, b) if a.top or b.top else None
    pairs = binned(a.distribution, b.distribution) if by_value is None else list(by_value.values())
    p, q = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    once = 1 / a.values + 1 / b.values
    spread = _chi_squared(len(pairs) - 1) * once
    index = population_stability_index(smoothed(p, a.values), smoothed(q, b.values))
    if a.measure == "truth" and by_value is not None:
        truth = by_value.get("true", (0.0, 0.0))
        distance = abs(truth[0] - truth[1])
    else:
        distance = kolmogorov_smirnov(a.distribution, b.distribution)
    chance = math.sqrt(-math.log(_CHANCE / 2) / 2 * once)
    return [
        # Yurdakul and Naranjo, Journal of Risk Model Validation 14 (2020): by chance it is chi-squared times this.
        _Measured("psi", index, thresholds.psi, spread),
        # Grosse et al., Physical Review E 65 (2002): the same law, in bits.
        _Measured("jensen_shannon", jensen_shannon(p, q), thresholds.jensen_shannon, spread / (8 * math.log(2))),
        _Measured("kolmogorov_smirnov", distance, thresholds.kolmogorov_smirnov, chance),
    ]


def _null_share_change(a: FeatureStatistics, b: FeatureStatistics, thresholds: DriftThresholds) -> _Measured | None:
    if a.null_share is None or b.null_share is None:
        return None
    pooled = (a.nulls + b.nulls) / (a.rows + b.rows)
    chance = _NORMAL_TWO_SIDED * math.sqrt(pooled * (1 - pooled) * (1 / a.rows + 1 / b.rows))
    return _Measured("null_share_change", b.null_share - a.null_share, thresholds.null_share, chance)


def _chi_squared(degrees: int) -> float:
    """The quantile that chance exceeds once in a hundred; Wilson and Hilferty, PNAS 17 (1931)."""
    if degrees < 1:
        return 0.0
    part = 2 / (9 * degrees)
    return float(degrees * (1 - part + _NORMAL_ONE_SIDED * math.sqrt(part)) ** 3)


def _histogram(a: FeatureStatistics, b: FeatureStatistics) -> tuple[HistogramBin, ...]:
    """By text where there are texts to tell, else by number; a side without values has none."""
    if not a.values or not b.values or a.measure != b.measure:
        return ()
    if a.top or b.top:
        return tuple(HistogramBin(shares, value=value) for value, shares in categories(a, b).items())
    both = [one.distribution for one in (a, b) if one.distribution is not None]
    return histogram(both) if len(both) == 2 else ()
