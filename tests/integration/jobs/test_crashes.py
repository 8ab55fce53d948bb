"""Jobs that are killed between any two of their side effects, by SIGKILL, and then run again."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from featurestore import FeatureStore, OfflineStore, Settings
from tests.processes.job_processes import exit_code, write_settings

pytestmark = pytest.mark.slow

DEFINITIONS = """
entities:
  - name: user
    join_keys: {user_id: string}
feature_groups:
  - name: daily
    entity: user
    features:
      - {name: orders, type: long, max: 3}
    sources:
      orders: {path: "{landing}/{tenant_id}/orders", format: parquet}
    transformation:
      sql: >-
        SELECT user_id, count(*) AS orders FROM orders WHERE at >= :start_time AND at < :end_time GROUP BY user_id
"""
STEPS = ["materialize.started", "write.rejected", "write.values", "materialize.done", "materialize.recorded"]
FIRST = datetime(2026, 11, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return FIRST + timedelta(days=number)


def project(folder: Path) -> Path:
    """Settings, definitions, and orders of each day: one user with one, one with two, and one with too many."""
    (folder / "conf" / "features").mkdir(parents=True)
    (folder / "conf" / "features" / "daily.yml").write_text(DEFINITIONS, encoding="utf-8")
    write_settings(folder)
    users = ["u1", "u2", "u2", "u3", "u3", "u3", "u3"]
    rows = [(user, day(number) + timedelta(hours=8)) for number in range(len(STEPS)) for user in users]
    table = pa.table(
        {"user_id": [user for user, _ in rows], "at": pa.array([at for _, at in rows], pa.timestamp("us", "UTC"))}
    )
    (folder / "landing" / "acme" / "orders").mkdir(parents=True)
    pq.write_table(table, folder / "landing" / "acme" / "orders" / "orders.parquet")
    return folder


def opened(spark: SparkSession, folder: Path) -> OfflineStore:
    fs = FeatureStore.open(Settings.load(folder / "conf", {}), spark=spark)
    fs.apply(folder / "conf" / "features")
    return fs.tenant("acme")


def killed_after(step: str, folder: Path, start: datetime, end: datetime, most: int) -> int:
    """Materialize a window in a process of its own that is killed after a step; gives how it ended.

    ``most``: the setting ``local_batch_rows``.
    """
    window = ["--start", start.isoformat(), "--end", end.isoformat()]
    rows = {"FEATURESTORE_LOCAL_BATCH_ROWS": str(most)}
    return exit_code(folder, "materialize", "daily", *window, stop_at=step, **rows)


def content(store: OfflineStore) -> tuple[Counter[Any], Counter[Any]]:
    """Values and rejected rows, each with how often it is there."""
    history = store.get_batch_features("daily:orders", day(0), day(30)).rows.collect()
    stored = store._scope.context.table(store._scope.context.group("daily")).values.read()
    assert stored.count() == len(history)
    rejected = store.rejected("daily").select("batch_id", "row").collect()
    return Counter(tuple(row) for row in history), Counter(tuple(row) for row in rejected)


@pytest.mark.parametrize("most", [1000, 0], ids=["fetched", "by executors"])
def test_a_job_killed_after_any_of_its_steps_ends_as_if_nothing_had_been(
    spark: SparkSession, tmp_path: Path, most: int
) -> None:
    undisturbed = opened(spark, project(tmp_path / "undisturbed"))
    undisturbed.backfill("daily", day(0), day(len(STEPS)))
    folder = project(tmp_path / "killed")
    store = opened(spark, folder)

    ends = [killed_after(step, folder, day(number), day(number + 1), most) for number, step in enumerate(STEPS)]
    assert ends == [-signal.SIGKILL] * len(STEPS)
    states = [window.state for window in store.plan_backfill("daily", day(0), day(len(STEPS)))]
    store.backfill("daily", day(0), day(len(STEPS)))

    assert states == ["interrupted"] * 4 + ["done"]
    assert content(store) == content(undisturbed)
    runs = Counter((row.window_start, row.state) for row in store.runs().collect())
    assert sorted(runs.values()) == [1] * 9
    assert Counter(state for _, state in runs) == {"succeeded": 5, "abandoned": 4}
