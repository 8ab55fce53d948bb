"""A process with a store elsewhere and one on the disk that hold the same values; each host's joins are compared.

Run as ``python -m tests.processes.store_elsewhere WAREHOUSE FOLDER``; it ends with 0 only if all answers are the same.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore, Settings
from tests.processes.quick_spark import QUICK

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
USERS, VALUES, EXAMPLES = 40, 3_000, 500
STATS = FeatureGroup(
    "stats",
    Entity("user", join_keys={"user_id": "string"}),
    features=[Feature("score", "double"), Feature("tags", "array<string>")],
    ttl=timedelta(days=3),
)
FEATURES, FEATURE_COLUMNS = ["stats:score", "stats:tags"], ["score", "tags"]
SPARK = QUICK | {"spark.master": "local[2]"}


def values(seed: int) -> pd.DataFrame:
    drawn = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user_id": [f"u{number}" for number in drawn.integers(USERS, size=VALUES)],
            "event_timestamp": [START + int(hours) * HOUR for hours in drawn.integers(240, size=VALUES)],
            "score": drawn.normal(size=VALUES),
            "tags": [None if number % 3 == 0 else [str(number)] for number in range(VALUES)],
        }
    )


def examples() -> pd.DataFrame:
    drawn = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "user_id": [f"u{number}" for number in drawn.integers(USERS + 5, size=EXAMPLES)],
            "event_timestamp": [START + int(hours) * HOUR for hours in drawn.integers(260, size=EXAMPLES)],
            "example": range(EXAMPLES),
        }
    )


def filled(warehouse: str) -> OfflineStore:
    settings = Settings(warehouse=warehouse, spark=SPARK)
    fs = FeatureStore.open(settings, clock=lambda: START)
    fs.apply([STATS])
    store = fs.tenant("acme")
    for seed in (1, 2):
        assert store.write_batch("stats", values(seed), batch_id=str(seed)).written == VALUES
    return store


def main(warehouse: str, folder: str) -> None:
    elsewhere = filled(warehouse)
    on_disk = filled(folder)
    spine = examples()
    expected = on_disk.get_point_in_time(spine, FEATURES, host="in_process")
    assert expected["score"].notna().sum() > EXAMPLES / 2
    for host in (None, "in_process", "in_tasks", "by_shuffle"):
        pd.testing.assert_frame_equal(elsewhere.get_point_in_time(spine, FEATURES, host=host), expected)
    by_spark = elsewhere._scope.spark.createDataFrame(spine)
    assert elsewhere.explain_point_in_time(by_spark, FEATURES).host == "in_tasks"
    joined = elsewhere.get_point_in_time(by_spark, FEATURES).toPandas().sort_values("example", ignore_index=True)
    pd.testing.assert_frame_equal(joined[["example", *FEATURE_COLUMNS]], expected[["example", *FEATURE_COLUMNS]])
    at = START + 120 * HOUR
    assert elsewhere.get_feature_at_time("stats:score", {"user_id": "u1"}, at) == on_disk.get_feature_at_time(
        "stats:score", {"user_id": "u1"}, at
    )
    print("the same")


if __name__ == "__main__":
    main(*sys.argv[1:])
