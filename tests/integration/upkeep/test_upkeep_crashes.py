"""The jobs of upkeep, killed by SIGKILL after each of their side effects and then run again: the end is that of no kill."""

from __future__ import annotations

import os
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from featurestore import FeatureDataLoader, FeatureStore, OfflineStore, Settings
from tests.byte_search import found_in
from tests.processes.job_processes import exit_code, write_settings

pytestmark = pytest.mark.slow

DEFINITIONS = """
entities:
  - name: user
    join_keys: {user_id: string}
feature_groups:
  - name: scores
    entity: user
    retention: 30d
    features:
      - {name: score, type: double, max: 100}
"""
SECRET = {"FEATURESTORE_SUPPRESSION_SECRET": "kept with the other secrets"}
PERSON = "erika-mustermann"
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
# Each job with the steps after which it is killed: some of them, or with EVERY_KILL=1 in the environment all.
EVERY_KILL = os.environ.get("EVERY_KILL") == "1"
KILLS = {
    ("cleanup",): ["cleanup.started", "cleanup.deleted", "cleanup.done", "cleanup.recorded"]
    if EVERY_KILL
    else ["cleanup.deleted"],
    ("optimize",): ["optimize.rewritten", "optimize.recorded"] if EVERY_KILL else ["optimize.rewritten"],
    ("profile",): ["profile.computed", "profile.recorded"] if EVERY_KILL else ["profile.computed"],
    ("vacuum", "--older-than", "3d"): ["vacuum.table", "vacuum.recorded"] if EVERY_KILL else [],
    ("erase", "user", "--key", f"user_id={PERSON}"): (
        [
            "erase.suppressed",
            "erase.exports",
            "erase.rows",
            "erase.files",
            "erase.log",
            "erase.manifest",
            "erase.certified",
            "erase.recorded",
        ]
        if EVERY_KILL
        else ["erase.rows", "erase.log"]
    ),
}


def made(spark: SparkSession, folder: Path) -> OfflineStore:
    """A store with old rows, days of several files, a bad row, a training set with its export, and a person in each."""
    write_settings(folder)
    (folder / "groups.yml").write_text(DEFINITIONS, encoding="utf-8")
    fs = FeatureStore.open(Settings.load(folder / "conf", {}), spark=spark, environ={**os.environ, **SECRET})
    fs.apply(folder / "groups.yml")
    store = fs.tenant("acme")
    for days_ago, hour in ((100, 0), (2, 0), (2, 1), (1, 0)):
        at = NOW - timedelta(days=days_ago) + timedelta(hours=hour)
        rows = [{"user_id": user, "event_timestamp": at, "score": float(hour)} for user in (PERSON, "ann", "bob")]
        store.write_batch("scores", rows)
    store.write_batch("scores", [{"user_id": PERSON, "event_timestamp": NOW, "score": 200.0}])
    spine = spark.createDataFrame([(PERSON, NOW), ("ann", NOW)], "user_id string, event_timestamp timestamp")
    built = FeatureDataLoader(store).load_training_data(spine, "scores:score", name="set")
    built.export(str(folder / "export"))
    return store


def run_here(store: OfflineStore, job: str) -> None:
    if job == "vacuum":
        FeatureStore(store._scope.context).vacuum(older_than="3d")
    elif job == "erase":
        store.erase("user", {"user_id": PERSON})
    else:
        {"cleanup": store.cleanup, "optimize": store.optimize, "profile": store.profile}[job]()


def content(store: OfflineStore) -> dict[str, Any]:
    table = store._scope.context.table(store._scope.context.group("scores"))
    # Killed once it was certified, an erasure that is run again is another one, and finds nothing.
    erased = Counter[tuple[str, str]]()
    for certificate in store.erasures():
        erased.update({(table.kind, table.name): table.rows for table in certificate.tables})
    [manifest] = FeatureDataLoader(store).list()
    return {
        "values": Counter(table.values.read().select("user_id", "event_timestamp", "score").collect()),
        "files": len(table.values.read().inputFiles()),
        "rejected": store.rejected("scores").count(),
        "erased": +erased,
        "exports": [Path(folder).name for erasure in store.erasures() for folder in erasure.exports],
        "training set": (manifest.row_count, manifest.content_hash),
    }


def test_upkeep_killed_after_any_of_its_steps_ends_as_if_nothing_had_been(spark: SparkSession, tmp_path: Path) -> None:
    undisturbed = made(spark, tmp_path / "undisturbed")
    for words in KILLS:
        run_here(undisturbed, words[0])
    folder = tmp_path / "killed"
    store = made(spark, folder)

    for words, steps in KILLS.items():
        assert [exit_code(folder, *words, stop_at=step, **SECRET) for step in steps] == [-signal.SIGKILL] * len(
            steps
        ), words
        run_here(store, words[0])

    assert content(store) == content(undisturbed)
    assert found_in(folder / "warehouse", PERSON.encode()) == []
    ended = Counter((row["job"], row["state"]) for row in store.runs().collect())
    for words, steps in KILLS.items():
        if words[0] != "vacuum":
            # After its last step, a killed run had succeeded, too.
            recorded = [step for step in steps if step.endswith(".recorded")]
            expected = (1 + len(recorded), len(steps) - len(recorded))
            assert (ended[words[0], "succeeded"], ended[words[0], "abandoned"]) == expected, words
