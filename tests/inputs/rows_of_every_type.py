"""A spine with a column of every type, and features of every type to join to it."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, Settings
from tests.conftest import Clock

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 400
VALUES: dict[str, tuple[str, list[Any]]] = {
    "score": ("double", [0.1, -0.0, None, 1e300]),
    "share": ("float", [0.5, 1.5, None]),
    "visits": ("long", [3, 2**53 + 1, None]),
    "days": ("int", [4, None, -4]),
    "paid": ("boolean", [True, False, None]),
    "plan": ("string", ["free", "", None, "geschäftlich, über eine lange Zeit, viel länger als 32 Bytes"]),
    "joined": ("timestamp", [datetime(2025, 3, 9, 6, 30, 0, 7, tzinfo=UTC), None, START]),
    "born": ("date", [date(1999, 12, 31), date(1, 1, 1), None]),
    "recent": ("array<double>", [[1.5, 2.5], [], None, [-0.0] * 9]),
    "labels": ("array<string>", [["b", "a"], [], None]),
    "emb": ("embedding(3)", [[0.25, 0.5, 0.75], None, [0.0, 0.0, 1.0]]),
}
USER = Entity("user", join_keys={"user_id": "string"})
STATS = FeatureGroup("stats", USER, features=[Feature(name, kind) for name, (kind, _) in VALUES.items()], ttl="3d")
OUTCOME = FeatureGroup("outcome", USER, features=[Feature("won", "boolean")])
FEATURES = [f"stats:{name}" for name in VALUES]


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


def loader_in_tasks(spark: SparkSession, settings: Settings) -> FeatureDataLoader:
    """Joins and writes in Spark's tasks."""
    in_tasks = settings.model_copy(update={"as_of_host": "in_tasks"})
    return FeatureDataLoader(FeatureStore.open(in_tasks, spark=spark, clock=Clock(hours(1000))).tenant("acme"))


def spine(rows: int = ROWS) -> pa.Table:
    """Rows of every type that a spine carries, with nulls, copies of rows, NaN, zeros of both signs and far moments."""
    choose = random.Random(7)

    def column(values: list[Any], kind: pa.DataType) -> pa.Array:
        return pa.array([choose.choice(values) for _ in range(rows)], kind)

    return pa.table(
        {
            "user_id": column([*(f"u{n}" for n in range(9)), "unknown", None], pa.string()),
            "event_timestamp": column([*(hours(n * 7) for n in range(40)), None], pa.timestamp("us", "UTC")),
            "bought": column(["yes", "no", None], pa.string()),
            "number": column([0.5, -0.0, 0.0, float("nan"), float("inf"), None], pa.float64()),
            "single": column([0.1, -0.0, float("nan"), None], pa.float32()),
            "tiny": column([1, -128, None], pa.int8()),
            "small": column([1, -1, None], pa.int16()),
            "whole": column([1, 2**31 - 1, None], pa.int32()),
            "long": column([1, -(2**63), None], pa.int64()),
            "short": column([Decimal("1.25"), Decimal("-0.01"), None], pa.decimal128(10, 2)),
            "exact": column([Decimal("12345678901234567890.0000000001"), None], pa.decimal128(38, 10)),
            "raw": column([b"\x00\xff", b"", None], pa.binary()),
            "day": column([date(2026, 1, 1), date(1, 1, 1), date(9999, 12, 31), None], pa.date32()),
            "local": column([datetime.fromisoformat("1960-01-01T00:00:00.000001"), None], pa.timestamp("us")),
            "list": column([[1.5, None], [], None], pa.list_(pa.float64())),
            "words": column([["a", None, ""], [], None], pa.list_(pa.string())),
        }
    )


def write_values(fs: FeatureStore) -> None:
    """Values of the features, of nine users in as many days, for the tenant acme."""
    fs.apply([STATS, OUTCOME])
    choose = random.Random(8)
    rows = [
        {"user_id": f"u{choose.randrange(9)}", "event_timestamp": hours(n), "created_timestamp": hours(n + n % 9)}
        for n in range(280)
    ]
    values = [row | {name: choose.choice(options) for name, (_, options) in VALUES.items()} for row in rows]
    fs.tenant("acme").write_batch("stats", values)
    fs.tenant("acme").write_batch("outcome", [row | {"won": choose.random() < 0.5} for row in rows])
