"""Statistics of made-up features, as a profile of a store would have them: for reports without a store."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

from featurestore import Entity, Feature, FeatureGroup, FeatureStatistics, ProfiledGroup
from featurestore.definitions.feature_group import USUAL_DRIFT
from featurestore.frames.statistics.drift import compare
from featurestore.frames.statistics.feature_statistics import QUANTILES, Distribution
from featurestore.operations.statistics.drift import DriftResult

FIRST_DAY = date(2026, 9, 1)
LONGEST_NAME = "share_of_orders_that_were_sent_back_within_ninety_days"
GROUP = FeatureGroup(
    "user_stats",
    Entity("user", join_keys={"user_id": "string"}),
    features=[
        Feature("score", "double", description="From 0 to 1, <higher> is better & newer"),
        Feature(LONGEST_NAME, "double"),
        Feature("plan", "string", description="What is paid for"),
        Feature("active", "boolean"),
        Feature("constant", "long"),
        Feature("last_seen", "timestamp"),
        Feature("text", "embedding(1536)", description="Of the profile's text"),
        Feature("raw", "json"),
    ],
    owner="growth & <data>",
    description="What users did <script>alert('x')</script>",
)


def numbers(name: str, kind: str, measure: str, grid: tuple[float, ...], rows: int, nulls: int) -> FeatureStatistics:
    distribution = Distribution(rows - nulls, grid)
    return FeatureStatistics(
        feature=name,
        type=kind,
        measure=measure,
        rows=rows,
        nulls=nulls,
        distinct=len(set(grid)),
        minimum=grid[0],
        maximum=grid[-1],
        mean=sum(grid) / len(grid),
        stddev=(grid[-1] - grid[0]) / 4,
        quantiles={share: distribution.quantile(share) for share in QUANTILES},
        distribution=distribution,
    )


def texts(name: str, kind: str, top: tuple[tuple[str, int], ...], nulls: int) -> FeatureStatistics:
    values = sum(rows for _, rows in top)
    ranks = tuple(sorted(_number(value, kind) for value, rows in top for _ in range(max(1, 100 * rows // values))))
    statistics = numbers(name, kind, "truth" if kind == "boolean" else "length", ranks, values + nulls, nulls)
    return FeatureStatistics(**(vars(statistics) | {"top": top, "distinct": len(top)}))


def _number(value: str, kind: str) -> float:
    return float(value == "true") if kind == "boolean" else len(value)


def bell(middle: float, width: float) -> tuple[float, ...]:
    """A thousand and one ranks of a logistic distribution."""
    shares = [(rank + 0.5) / 1002 for rank in range(1001)]
    return tuple(middle + width * math.log(share / (1 - share)) for share in shares)


def features_of(day: int, rows: int) -> tuple[FeatureStatistics, ...]:
    """The group's on one day; as days go by scores rise, nulls become more and plans change."""
    at = datetime(2026, 9, 1, tzinfo=UTC).timestamp() * 1e6
    plans = (
        ("free", rows // 2),
        ("<b>pro</b> $5", rows // 4 + day),
        ("a plan whose name is far too long for a label", 9),
    )
    return (
        numbers("score", "double", "value", bell(0.4 + day / 200, 0.05), rows, day * rows // 300),
        numbers(LONGEST_NAME, "double", "value", bell(1.25e7, 3e5), rows, 0),
        texts("plan", "string", plans, 11),
        texts("active", "boolean", (("true", rows - 40), ("false", 40)), 0),
        numbers("constant", "long", "value", (7.0,) * 101, rows, 0),
        numbers(
            "last_seen",
            "timestamp",
            "microseconds",
            tuple(at + (day + percent / 100) * 864e8 for percent in range(101)),
            rows,
            5,
        ),
        numbers("text", "embedding(1536)", "norm", bell(1.0, 0.001), rows, rows // 3),
        FeatureStatistics("raw", "json", "none", rows, rows // 4, None, None, None, None, None),
    )


def profiled(days: int = 60) -> ProfiledGroup:
    by_date = tuple(
        FeatureStatistics(**(vars(statistics) | {"date": FIRST_DAY + timedelta(days=day)}))
        for day in range(days)
        for statistics in features_of(day, 1200 + 300 * (day % 7 < 5))
    )
    return ProfiledGroup("acme", GROUP, features_of(days // 2, 1400 * days) if days else (), by_date)


def drifted() -> DriftResult:
    """The first month compared with the last week; drifted features come first."""
    sides = zip(features_of(10, 30_000), features_of(56, 9_000), strict=True)
    drifts = [compare(before, now, USUAL_DRIFT, before.feature, True) for before, now in sides]
    order = {"drifted": 0, "warning": 1, "ok": 2}
    return DriftResult(
        "acme",
        "user_stats",
        1,
        "2026-09-01/2026-10-01",
        "2026-10-24/2026-10-31",
        USUAL_DRIFT,
        tuple(sorted(drifts, key=lambda drift: (order[drift.status], drift.feature))),
    )
