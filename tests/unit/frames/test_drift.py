"""The formulas of drift, against values by hand and by SciPy, and what is called drift."""

from __future__ import annotations

import math
import random
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from featurestore.definitions.feature_group import DriftThresholds
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.errors import DefinitionError, DriftError, InvalidArgumentError
from featurestore.frames.statistics.drift import (
    FLOOR,
    _chi_squared,
    binned,
    categories,
    compare,
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability_index,
    smoothed,
)
from featurestore.frames.statistics.feature_statistics import Distribution, FeatureStatistics, HistogramBin, histogram
from featurestore.operations.statistics.drift import DriftResult
from featurestore.operations.statistics.periods import Period, last_whole, months_before, read_period

DEFAULT = DriftThresholds()


def distribution(values: list[float], steps: int = 1000) -> Distribution:
    """By the definition: the least value that at least i / steps of all are at or below."""
    ordered = sorted(values)
    ranks = [max(1, math.ceil(step * len(values) / steps)) for step in range(steps + 1)]
    return Distribution(len(values), tuple(ordered[rank - 1] for rank in ranks))


def numbers(values: list[float], nulls: int = 0, **changed: Any) -> FeatureStatistics:
    fields: dict[str, Any] = {
        "feature": "score",
        "type": "double",
        "measure": "value",
        "rows": len(values) + nulls,
        "nulls": nulls,
        "distinct": len(set(values)),
        "minimum": min(values, default=None),
        "maximum": max(values, default=None),
        "mean": None,
        "stddev": None,
        "distribution": distribution(values) if values else None,
    }
    return FeatureStatistics(**(fields | changed))


def texts(counts: dict[str, int], others: int = 0, measure: str = "length") -> FeatureStatistics:
    rows = sum(counts.values()) + others
    spread = distribution([float(len(text)) for text, count in counts.items() for _ in range(count)] + [1.0] * others)
    kind = "boolean" if measure == "truth" else "string"
    return numbers([], rows=rows, type=kind, measure=measure, top=tuple(counts.items()), distribution=spread)


def normal(mean: float, rows: int, seed: int, deviation: float = 1.0) -> list[float]:
    source = random.Random(seed)
    return [source.gauss(mean, deviation) for _ in range(rows)]


def test_the_population_stability_index_by_hand() -> None:
    # (0.5 - 0.25) ln(0.5 / 0.25) + (0.5 - 0.75) ln(0.5 / 0.75) = 0.25 * 0.693147 + 0.25 * 0.405465
    assert population_stability_index([0.5, 0.5], [0.25, 0.75]) == pytest.approx(0.274653, abs=1e-6)
    # Siddiqi's way over ten bins: nine lose a hundredth each, one gains nine.
    current = [0.09] * 9 + [0.19]
    assert population_stability_index([0.1] * 10, current) == pytest.approx(
        9 * 0.01 * math.log(10 / 9) + 0.09 * math.log(1.9)
    )


def test_the_jensen_shannon_divergence_by_hand_and_by_scipy() -> None:
    # With m = (0.75, 0.25): (log2(1 / 0.75) + 0.5 log2(0.5 / 0.75) + 0.5 log2(0.5 / 0.25)) / 2
    assert jensen_shannon([1.0, 0.0], [0.5, 0.5]) == pytest.approx(0.311278, abs=1e-6)
    assert jensen_shannon([1.0, 0.0], [0.0, 1.0]) == 1.0
    p, q = [0.1, 0.2, 0.3, 0.4], [0.4, 0.4, 0.2, 0.0]
    assert jensen_shannon(p, q) == pytest.approx(distance.jensenshannon(p, q, base=2) ** 2)


@pytest.mark.parametrize(("rows", "shift"), [(50, 0.0), (400, 0.5), (3000, 3.0)])
def test_kolmogorov_smirnov_by_scipy_to_the_resolution_of_the_grids(rows: int, shift: float) -> None:
    a, b = normal(0, rows, seed=1), normal(shift, 2 * rows, seed=2)

    assert kolmogorov_smirnov(distribution(a), distribution(b)) == pytest.approx(
        stats.ks_2samp(a, b).statistic, abs=0.002
    )


def test_shares_are_read_back_to_one_step() -> None:
    values = [1.0, 2.0, 2.0, 2.0, 9.0]
    grid = distribution(values)

    assert [grid.at_or_below(number) for number in (0.5, 1, 1.5, 2, 8, 9, 10)] == [0, 0.2, 0.2, 0.8, 0.8, 1, 1]
    assert [grid.below(number) for number in (0.5, 1, 1.5, 2, 9, 10)] == pytest.approx(
        [0, 0, 0.2, 0.2, 0.8, 1], abs=0.001
    )
    assert [grid.quantile(share) for share in (0, 0.2, 0.21, 0.8, 0.81, 1)] == [1, 1, 2, 2, 9, 9]


SHARES = st.lists(st.integers(0, 1000), min_size=2, max_size=12).filter(any)


@given(SHARES, SHARES, st.integers(1, 10**6), st.integers(1, 10**6))
@settings(max_examples=300)
def test_measures_are_symmetric_zero_of_the_same_and_never_nan(
    left: list[int], right: list[int], rows_left: int, rows_right: int
) -> None:
    bins = max(len(left), len(right))
    p, q = ([count / sum(counts) for count in counts] + [0.0] * (bins - len(counts)) for counts in (left, right))
    smooth_p, smooth_q = smoothed(p, rows_left), smoothed(q, rows_right)

    index = population_stability_index(smooth_p, smooth_q)
    assert index == pytest.approx(population_stability_index(smooth_q, smooth_p))
    assert index >= 0
    assert math.isfinite(index)
    assert jensen_shannon(p, q) == pytest.approx(jensen_shannon(q, p))
    assert 0 <= jensen_shannon(p, q) <= 1
    assert population_stability_index(smooth_p, smooth_p) == 0
    assert jensen_shannon(p, p) == 0


VALUES = st.lists(
    st.one_of(st.integers(-3, 3).map(float), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=60
)


@given(VALUES, VALUES, st.integers(0, 5))
@settings(max_examples=200)
def test_any_two_periods_can_be_compared(left: list[float], right: list[float], nulls: int) -> None:
    a, b = numbers(left, nulls), numbers(right)
    forward, backward = compare(a, b, DEFAULT), compare(b, a, DEFAULT)

    assert forward.kolmogorov_smirnov == backward.kolmogorov_smirnov
    for measure in (forward.psi, forward.jensen_shannon, forward.kolmogorov_smirnov, forward.null_share_change):
        assert measure is not None
        assert math.isfinite(measure)
    for side in (0, 1):
        assert sum(part.shares[side] for part in forward.histogram) == pytest.approx(1)
    same = compare(a, a, DEFAULT)
    assert (same.status, same.psi, same.jensen_shannon, same.kolmogorov_smirnov) == ("ok", 0, 0, 0)
    assert same.null_share_change == 0


def test_an_empty_bin_counts_as_half_a_row_and_at_least_the_floor() -> None:
    assert smoothed([1.0, 0.0], 10) == pytest.approx([1 / 1.05, 0.05 / 1.05])
    assert smoothed([1.0, 0.0], 10**9) == pytest.approx([1 / (1 + FLOOR), FLOOR / (1 + FLOOR)])
    assert smoothed([0.3, 0.7], 10) == [0.3, 0.7]


def test_bins_hold_tenths_of_the_baseline() -> None:
    baseline = distribution([float(number) for number in range(1, 101)])

    pairs = binned(baseline, distribution([float(number) for number in range(51, 151)]))

    assert [p for p, _ in pairs] == pytest.approx([0.1] * 10)
    assert [q for _, q in pairs] == pytest.approx([0.0] * 5 + [0.1] * 4 + [0.6])


def test_a_number_that_outweighs_a_bin_is_a_bin_so_that_nothing_hides_beside_it() -> None:
    always_five = distribution([5.0] * 100)

    assert binned(always_five, distribution([5.0] * 30)) == [(1.0, 1.0)]
    assert binned(always_five, distribution([4.0] * 30)) == [(0.0, 1.0), (1.0, 0.0)]
    assert binned(always_five, distribution([6.0] * 30)) == [(1.0, 0.0), (0.0, 1.0)]


def test_a_shift_is_drift_half_of_it_a_warning_and_none_is_ok() -> None:
    before = numbers(normal(0, 5000, seed=1))

    same = compare(before, numbers(normal(0, 5000, seed=2)), DEFAULT)
    slight = compare(before, numbers(normal(0.35, 5000, seed=3)), DEFAULT)
    far = compare(before, numbers(normal(1.0, 5000, seed=4)), DEFAULT)

    assert (same.status, same.reasons) == ("ok", ())
    assert slight.status == "warning"
    assert all("half of" in reason for reason in slight.reasons)
    assert far.status == "drifted"
    # Shifted by a deviation d, the normal distribution's index is d squared, but for what ten bins do not see.
    assert far.psi == pytest.approx(1.0, abs=0.15)
    # And the greatest distance is 2 Phi(d / 2) - 1.
    assert far.kolmogorov_smirnov == pytest.approx(2 * stats.norm.cdf(0.5) - 1, abs=0.03)
    assert [reason.split()[0] for reason in far.reasons] == ["psi", "jensen_shannon", "kolmogorov_smirnov"]


def test_what_chance_alone_gives_for_few_rows_is_no_drift() -> None:
    alarms = sum(
        compare(numbers(normal(0, 30, seed)), numbers(normal(0, 20, 1000 + seed)), DEFAULT).status != "ok"
        for seed in range(200)
    )

    assert alarms <= 10
    assert compare(numbers(normal(0, 30, 1)), numbers(normal(5, 20, 2)), DEFAULT).status == "drifted"


def test_the_law_of_chance_by_scipy() -> None:
    for degrees in (1, 2, 5, 9, 30, 200):
        assert _chi_squared(degrees) == pytest.approx(stats.chi2.ppf(0.99, degrees), rel=0.01)
    assert _chi_squared(0) == 0


def test_texts_are_compared_by_value_and_rare_ones_together() -> None:
    before, now = texts({"a": 60, "b": 30}, others=10), texts({"a": 20, "c": 50}, others=30)

    drift = compare(before, now, DEFAULT)

    assert categories(before, now) == {"a": (0.6, 0.2), "b": (0.3, 0.0), "c": (0.0, 0.5), "(others)": (0.1, 0.3)}
    p, q = [0.6, 0.3, 0.0, 0.1], [0.2, 0.0, 0.5, 0.3]
    assert drift.jensen_shannon == pytest.approx(distance.jensenshannon(p, q, base=2) ** 2)
    assert drift.psi == pytest.approx(
        population_stability_index(
            [x / 1.005 for x in (0.6, 0.3, 0.005, 0.1)], [x / 1.005 for x in (0.2, 0.005, 0.5, 0.3)]
        )
    )
    assert drift.kolmogorov_smirnov == 0
    assert (drift.status, [part.value for part in drift.histogram]) == ("drifted", ["a", "b", "c", "(others)"])


def test_texts_that_never_come_twice_are_compared_by_length() -> None:
    before = numbers([float(8 + number % 3) for number in range(300)], type="string", measure="length")
    now = numbers([36.0] * 300, type="string", measure="length")

    drift = compare(before, now, DEFAULT)

    assert drift.kolmogorov_smirnov == 1
    assert drift.status == "drifted"


def test_booleans_are_compared_by_their_shares() -> None:
    drift = compare(
        texts({"true": 80, "false": 20}, measure="truth"), texts({"false": 50, "true": 50}, measure="truth"), DEFAULT
    )

    assert drift.psi == pytest.approx(0.3 * math.log(0.8 / 0.5) + 0.3 * math.log(0.5 / 0.2))
    assert drift.kolmogorov_smirnov == pytest.approx(0.3)
    assert drift.status == "drifted"


def test_nulls_are_judged_by_the_change_of_their_share() -> None:
    before, now = numbers([1.0] * 90, nulls=10), numbers([1.0] * 60, nulls=40)

    drift = compare(before, now, DEFAULT)
    not_judged = compare(before, now, DEFAULT, judge_nulls=False)

    assert drift.null_share_change == pytest.approx(0.3)
    assert (drift.status, drift.reasons) == ("drifted", ("null_share_change 0.300 is above 0.1",))
    assert (not_judged.status, not_judged.null_share_change) == ("ok", drift.null_share_change)
    fewer = compare(now, before, DEFAULT)
    assert (fewer.status, fewer.null_share_change) == ("drifted", pytest.approx(-0.3))


def test_without_values_only_nulls_are_compared() -> None:
    drift = compare(numbers([1.0] * 50), numbers([], nulls=50), DEFAULT)

    assert (drift.psi, drift.jensen_shannon, drift.kolmogorov_smirnov, drift.null_share_change) == (
        None,
        None,
        None,
        1.0,
    )
    assert (drift.status, drift.histogram) == ("drifted", ())
    assert compare(numbers([], nulls=9), numbers([], nulls=50), DEFAULT).status == "ok"
    assert compare(numbers([]), numbers([]), DEFAULT).null_share_change is None


def test_a_feature_that_changed_its_kind_is_told_and_not_compared() -> None:
    drift = compare(texts({"1": 50}), numbers([1.0] * 50), DEFAULT)

    assert (drift.status, drift.psi) == ("warning", None)
    assert drift.reasons == ("was string and is double: not compared",)


def test_thresholds_decide() -> None:
    before, now = numbers(normal(0, 5000, seed=1)), numbers(normal(1.0, 5000, seed=4))
    loose = DriftThresholds(psi=100, jensen_shannon=1, kolmogorov_smirnov=1, null_share=1)

    assert compare(before, now, loose).status == "ok"
    assert compare(before, now, DriftThresholds(psi=100, jensen_shannon=1, kolmogorov_smirnov=0.3)).reasons == (
        "kolmogorov_smirnov 0.386 is above 0.3",
    )
    with pytest.raises(DefinitionError, match="psi"):
        DriftThresholds(psi=0)


def test_a_histogram_has_bins_of_one_width_and_all_the_rows() -> None:
    a, b = distribution([float(number) for number in range(100)]), distribution([50.0] * 40)

    bins = histogram([a, b], bins=10)

    assert [part.low for part in bins[:2]] == [0.0, 9.9]
    assert [sum(part.shares[side] for part in bins) for side in (0, 1)] == pytest.approx([1, 1])
    assert [part.shares[1] for part in bins] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert histogram([b]) == (HistogramBin((1.0,), 50.0, 50.0),)


def test_drift_is_raised_only_when_asked() -> None:
    good = compare(numbers([1.0] * 50), numbers([1.0] * 50), DEFAULT, "calm")
    bad = compare(numbers([1.0] * 50), numbers([2.0] * 50), DEFAULT, "score")
    result = DriftResult("acme", "stats", 1, "2026-10-01/2026-11-01", "2026-11-01/2026-12-01", DEFAULT, (bad, good))

    assert (result.drifted, result.of_status("ok")) == (["score"], ["calm"])
    with pytest.raises(
        DriftError, match=r"1 of 2 features of 'stats' drifted from 2026-10-01.*\n- score: psi"
    ) as raised:
        result.require_none()
    assert raised.value.exit_code not in (0, 1)
    DriftResult("acme", "stats", 1, "a", "b", DEFAULT, (good,)).require_none()
    assert result.to_pandas()["status"].tolist() == ["drifted", "ok"]


@pytest.mark.parametrize(
    ("value", "partition_by", "first", "end"),
    [
        ("2026-11-01/2026-11-08", "day", date(2026, 11, 1), date(2026, 11, 8)),
        (("2026-11-01", "2026-11-08T00:00:00Z"), "day", date(2026, 11, 1), date(2026, 11, 8)),
        ((date(2026, 11, 1), datetime(2026, 11, 8, 1, tzinfo=timezone(timedelta(hours=1)))), "day",
         date(2026, 11, 1), date(2026, 11, 8)),
        (TimeWindow.of("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"), "day", date(2026, 11, 1), date(2026, 11, 2)),
        ("7d", "day", date(2026, 11, 24), date(2026, 12, 1)),
        ("2026-10-01/2026-12-01", "month", date(2026, 10, 1), date(2026, 12, 1)),
    ],
)  # fmt: skip
def test_periods_are_read(value: Any, partition_by: Any, first: date, end: date) -> None:
    assert read_period("current", value, date(2026, 12, 1), partition_by) == Period(first, end)


@pytest.mark.parametrize(
    ("value", "partition_by", "message"),
    [
        ("2026-11-08/2026-11-01", "day", "is not before its end"),
        ("2026-11-01/2026-11-01", "day", "is not before its end"),
        ("2026-11-01T12:00:00Z/2026-11-08", "day", "does not begin a UTC day"),
        ("12h", "day", "a length must be whole days"),
        ("last week", "day", "write '2026-11-01/2026-11-08'"),
        (("2026-11-01",), "day", "is not a period"),
        (datetime(2026, 11, 1), "day", "is not a period"),  # noqa: DTZ001
        ("7d", "month", "does not cover whole months"),
        ("2026-10-02/2026-11-01", "month", "does not cover whole months"),
    ],
)
def test_what_is_no_period_is_told(value: Any, partition_by: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^current: .*{message}"):
        read_period("current", value, date(2026, 12, 1), partition_by)


def test_the_usual_months_before_one() -> None:
    assert months_before(date(2026, 2, 1), 3) == Period(date(2025, 11, 1), date(2026, 2, 1))
    assert last_whole(datetime(2026, 2, 17, 5, tzinfo=UTC), "month") == date(2026, 2, 1)
    assert last_whole(datetime(2026, 2, 17, 5, tzinfo=UTC), "day") == date(2026, 2, 17)
