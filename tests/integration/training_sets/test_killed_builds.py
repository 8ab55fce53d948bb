"""Builds and exports that are killed by SIGKILL after one of their steps, and run again: the end is that of one run."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from featurestore import FeatureDataLoader, FeatureStore, Settings
from tests.processes.job_processes import exit_code, write_settings

pytestmark = pytest.mark.slow

DEFINITIONS = """
entities:
  - name: user
    join_keys: {user_id: string}
feature_groups:
  - name: scores
    entity: user
    features:
      - {name: score, type: double}
      - {name: answer, type: string}
training_sets:
  - name: late
    features: [scores:score]
    label: late
    spine:
      sources:
        orders: {path: "{landing}/{tenant_id}/orders.parquet", format: parquet}
      transformation:
        sql: SELECT user_id, event_timestamp, late FROM orders
"""
AT = datetime(2026, 11, 1, tzinfo=UTC)
# After its last step, each job has only to say what it did.
EVERY_KILL = os.environ.get("EVERY_KILL") == "1"
BUILD = ["training_set.written", "training_set.checked", "training_set.published"]
EXPORT = ["export.written", "export.published"]
FINE_TUNING = ["fine_tuning.written", "fine_tuning.published"]


def project(folder: Path) -> None:
    """Settings, definitions, and orders as the spine."""
    write_settings(folder)
    (folder / "groups.yml").write_text(DEFINITIONS, encoding="utf-8")
    (folder / "landing" / "acme").mkdir(parents=True)
    users = [f"u{number}" for number in range(5)]
    spine = {
        "user_id": users,
        "event_timestamp": pa.array([AT + timedelta(hours=2)] * 5, pa.timestamp("us", "UTC")),
        "late": [True, False] * 2 + [True],
    }
    pq.write_table(pa.table(spine), folder / "landing" / "acme" / "orders.parquet")


def killed(folder: Path, steps: list[str], *words: str) -> None:
    """Run a command once for each step, each time killed after it; some of the steps, or with EVERY_KILL=1 all."""
    chosen = steps if EVERY_KILL else steps[-1:]
    assert [exit_code(folder, *words, stop_at=step) for step in chosen] == [-signal.SIGKILL] * len(chosen)


def test_a_build_and_its_exports_killed_after_a_step_are_done_once(spark: SparkSession, tmp_path: Path) -> None:
    project(tmp_path)
    fs = FeatureStore.open(Settings.load(tmp_path / "conf", {}), spark=spark)
    fs.apply(tmp_path / "groups.yml")
    store = fs.tenant("acme")
    values = [
        {"user_id": f"u{i}", "event_timestamp": AT, "score": float(i), "answer": "a" if i < 3 else None}
        for i in range(5)
    ]
    store.write_batch("scores", values)
    loader = FeatureDataLoader(store)
    out = tmp_path / "out"
    chat = ["--spine", str(tmp_path / "landing" / "acme" / "orders.parquet"), "--output-feature", "scores:answer"]

    killed(tmp_path, BUILD, "training-set", "build", "late")
    built = loader.build("late")
    killed(tmp_path, EXPORT, "training-set", "export", "late", str(out / "set"))
    exported = built.export(str(out / "set"))
    killed(tmp_path, FINE_TUNING, "fine-tuning", "scores:score", *chat, "--path", str(out / "chat"))
    ends = [exit_code(tmp_path, "fine-tuning", "scores:score", *chat, "--path", str(out / "chat"), stop_at="none")]

    assert (built.is_up_to_date, exported.is_up_to_date, ends) == (True, True, [0])
    [manifest] = loader.list("late")
    assert manifest == built.manifest
    assert manifest.row_count == pq.read_table(exported).num_rows == 5
    assert sorted(path.name for path in out.iterdir()) == ["chat", "set"]
    lines = [line for file in (out / "chat").glob("*.jsonl") for line in file.read_text().splitlines()]
    assert len(lines) == 3
    versions = {path.name for path in (tmp_path / "warehouse" / "training_sets" / "acme" / "late").iterdir()}
    # Rows of killed builds that were never published stay until a vacuum.
    assert versions == ({"v1", "v2", "v3"} if EVERY_KILL else {"v1"})
    fs.vacuum(older_than="2d")
    versions = {path.name for path in (tmp_path / "warehouse" / "training_sets" / "acme" / "late").iterdir()}
    assert versions == {f"v{manifest.version}"}
