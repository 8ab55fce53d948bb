"""Faults of the storage and of the clock: clear errors, nothing half written, and no wrong answer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, OfflineStore, Settings, Source
from featurestore.errors import StorageError
from featurestore.stores.storage_faults import storage_error
from tests.conftest import Clock
from tests.processes.job_processes import write_settings
from tests.processes.waiting import PATIENCE

PROJECT = Path(__file__).parents[3]
START = datetime(2026, 11, 1, tzinfo=UTC)
SCORES = FeatureGroup(
    "scores",
    Entity("user", join_keys={"user_id": "string"}),
    features=[Feature("score", "double")],
    sources={"events": Source(path="{landing}/{tenant_id}/events", format="parquet")},
    transformation="SELECT user_id, score, at AS event_timestamp FROM events WHERE at >= :start_time AND at < :end_time",
)


def row(user: str, hour: int, score: float) -> dict[str, Any]:
    return {"user_id": user, "event_timestamp": START + timedelta(hours=hour), "score": score}


def opened(spark: SparkSession, folder: Path, clock: Clock, **more: Any) -> OfflineStore:
    settings = Settings(warehouse=str(folder / "warehouse"), landing=str(folder / "landing"), **more)
    fs = FeatureStore.open(settings, spark=spark, clock=clock)
    fs.apply([SCORES])
    return fs.tenant("acme")


@pytest.fixture(scope="module")
def healthy_stores(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """By the engine that commits, Spark or delta-rs: the folder of a store with two batches; each is made once."""

    @cache
    def healthy_store(engine: str) -> Path:
        folder = tmp_path_factory.mktemp(engine)
        store = opened(spark, folder, Clock(START), small_tables=engine)
        store.write_batch("scores", [row("u1", 1, 1.0), row("u2", 1, 2.0)])
        store.write_batch("scores", [row("u1", 30, 3.0)])
        return folder

    return healthy_store


@pytest.fixture(params=["spark", "native"])
def healthy(healthy_stores: Callable[[str], Path], request: pytest.FixtureRequest) -> Path:
    """A healthy store, to be copied and damaged."""
    return healthy_stores(request.param)


@pytest.mark.parametrize(("healthy", "by_spark"), [("spark", True), ("native", False)], indirect=["healthy"])
def test_an_error_names_a_truncated_file_and_no_training_set_is_published(
    spark: SparkSession, healthy: Path, tmp_path: Path, by_spark: bool
) -> None:
    shutil.copytree(healthy, tmp_path, dirs_exist_ok=True)
    file = next((tmp_path / "warehouse/groups/scores_v1/values/tenant_id=acme").glob("*/*.parquet"))
    file.write_bytes(file.read_bytes()[:100])
    store = opened(spark, tmp_path, Clock(START))
    loader = FeatureDataLoader(store)
    times = [START + timedelta(hours=40), START + timedelta(hours=2)]
    rows = pd.DataFrame({"user_id": ["u1", "u2"], "event_timestamp": times})
    spine = spark.createDataFrame(rows) if by_spark else rows

    with pytest.raises(StorageError, match=rf"{file.name}.*the file is damaged; put a copy in its place"):
        loader.load_training_data(spine, "scores:score", name="damaged")

    assert loader.list() == []


@pytest.mark.parametrize("healthy", ["native"], indirect=True)
def test_a_truncated_source_file_is_named_and_its_window_stays_due(
    spark: SparkSession, healthy: Path, tmp_path: Path
) -> None:
    shutil.copytree(healthy, tmp_path, dirs_exist_ok=True)
    landed = tmp_path / "landing" / "acme" / "events"
    landed.mkdir(parents=True)
    rows = pa.Table.from_pylist([{"user_id": "u9", "score": 9.0, "at": START + timedelta(hours=50)}])
    pq.write_table(rows, landed / "whole.parquet")
    whole = (landed / "whole.parquet").read_bytes()
    (landed / "part.parquet").write_bytes(whole[: len(whole) - 20])
    store = opened(spark, tmp_path, Clock(START))
    window = (START + timedelta(days=2), START + timedelta(days=3))

    with pytest.raises(StorageError, match=r"part\.parquet.*the file is damaged"):
        store.materialize_feature("scores", *window)

    assert store.get_batch_features("scores:score", START, window[1], to="arrow").rows.num_rows == 3
    [run] = store.runs(to="arrow").to_pylist()
    assert (run["state"], "StorageError" in run["error"]) == ("failed", True)
    (landed / "part.parquet").unlink()
    assert store.materialize_feature("scores", *window).written == 1


def test_a_missing_log_entry_is_named_and_nothing_is_written(
    spark: SparkSession, healthy: Path, tmp_path: Path
) -> None:
    shutil.copytree(healthy, tmp_path, dirs_exist_ok=True)
    log = tmp_path / "warehouse/groups/scores_v1/values/_delta_log"
    entries = sorted(log.glob("*.json"))
    entries[1].unlink()
    files = sorted(tmp_path.rglob("*.parquet"))
    settings = Settings(warehouse=str(tmp_path / "warehouse"))
    store = FeatureStore.open(settings, spark=spark, clock=Clock(START)).tenant("acme")

    with pytest.raises(StorageError, match=r"an entry of the table's log is lost; put back a copy of it"):
        store.write_batch("scores", [row("u3", 1, 1.0)])

    assert sorted(tmp_path.rglob("*.parquet")) == files
    assert sorted(log.glob("*.json")) == [entry for entry in entries if entry != entries[1]]


VALUES = "warehouse/groups/scores_v1/values"
LATEST = "00000000000000000002"


def remove(log: Path, *patterns: str) -> None:
    for pattern in patterns:
        for file in log.glob(pattern):
            if file.is_file():
                file.unlink()


def cut(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    remove(file.parent, f".{file.name}.crc")


def fault_of(call: Callable[[], object]) -> StorageError:
    """The fault that a call raises; an error of Spark in a frame's own action is translated as in the command line."""
    try:
        call()
    except StorageError as error:
        return error
    except Exception as error:
        fault = storage_error(error)
        if fault is None:
            raise
        return fault
    raise AssertionError("no fault was raised")


# What happens to the log of a table with three commits, or of one with a checkpoint, too -> what is said of it.
_LOSSES: list[tuple[bool, Callable[[Path], None], str]] = [
    (False, lambda log: remove(log, f"{LATEST}.json"), f"{LATEST}.json is lost"),
    (False, lambda log: remove(log, f"{LATEST}.json", f"{LATEST}.crc"), f"{LATEST}.json is lost"),
    (False, lambda log: remove(log, "*.json"), "00000000000000000000.json is lost"),
    (False, lambda log: remove(log, "*", ".*"), "_delta_log has no commits, and there are rows, such as"),
    (False, lambda log: cut(log / f"{LATEST}.json", 0), f"{LATEST}.json is cut off"),
    (False, lambda log: cut(log / f"{LATEST}.json", 50), f"{LATEST}.json is cut off"),
    (True, lambda log: remove(log, f"{LATEST}.json"), f"{LATEST}.json is lost"),
    (True, lambda log: remove(log, "*.json", ".*"), "00000000000000000000.json is lost"),
]
# Only Spark writes a version's checksum, by which this loss shows.
_LOSSES_OF_SPARK: list[tuple[bool, Callable[[Path], None], str]] = [
    (False, lambda log: remove(log, f"{LATEST}.json", f".{LATEST}*"), f"{LATEST}.json is lost"),
    (True, lambda log: cut(next(log.glob("*.checkpoint*.parquet")), 100), "checkpoint.*the file is damaged"),
    (
        True,
        lambda log: remove(log, "*.checkpoint*", f"{0:020d}.json"),
        "a checkpoint of the table's log is lost|an entry of the table's log is lost",
    ),
]


@pytest.mark.parametrize(
    ("healthy", "checkpoint", "damage", "message"),
    [
        *(("spark", *loss) for loss in (*_LOSSES, *_LOSSES_OF_SPARK)),
        *(("native", *loss) for loss in _LOSSES),
    ],
    indirect=["healthy"],
)
def test_every_read_and_write_reports_a_log_without_its_newest_part(
    spark: SparkSession, healthy: Path, tmp_path: Path, checkpoint: bool, damage: Callable[[Path], None], message: str
) -> None:
    shutil.copytree(healthy, tmp_path, dirs_exist_ok=True)
    log = tmp_path / VALUES / "_delta_log"
    if checkpoint:
        spark._jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, str(log.parent)).checkpoint()  # type: ignore[union-attr]
    damage(log)
    files = sorted(tmp_path.rglob("*.parquet"))
    settings = Settings(warehouse=str(tmp_path / "warehouse"))
    store = FeatureStore.open(settings, spark=spark, clock=Clock(START)).tenant("acme")

    for call in (
        lambda: store.write_batch("scores", [row("u3", 1, 1.0)]),
        lambda: store.get_batch_features("scores:score", START, START + timedelta(days=3)).rows.count(),
    ):
        fault = fault_of(call)
        assert re.search(message, str(fault))
        assert VALUES in str(fault)
        assert "put back cop" in str(fault) or "put back a copy" in str(fault) or "put a copy" in str(fault)
    assert sorted(tmp_path.rglob("*.parquet")) == files


def test_a_correction_counts_though_the_clock_stepped_back_before_it(spark: SparkSession, tmp_path: Path) -> None:
    clock = Clock(START + timedelta(days=1))
    store = opened(spark, tmp_path, clock)
    store.write_batch("scores", [row("u1", 1, 1.0)])
    clock.now -= timedelta(hours=3)
    store.write_batch("scores", [row("u1", 1, 2.0)])
    clock.now -= timedelta(hours=3)
    store.write_batch("scores", [row("u1", 1, 3.0), row("u2", 1, 9.0)])

    value = store.get_feature_at_time("scores:score", {"user_id": "u1"}, START + timedelta(hours=2))

    assert value is not None
    assert value.value == 3.0
    assert value.created_timestamp == START + timedelta(days=1, microseconds=2)


# A disk of its own for a few processes: filled, enlarged, and made read-only. Where nothing can be mounted, the same
# refusals come from a limit on the size of files and from permissions.
_ON_ITS_OWN_DISK = r"""
set -u
ingest() { "$PYTHON" -m featurestore ingest scores "$1" --batch-id "$2" --conf "$3/conf" --tenant acme --log json; echo "code $?"; }
if mount -t tmpfs -o size=6m tmpfs "$1" 2>/dev/null; then
    cp -r "$2/." "$1"
    ingest "$3/small.jsonl" small "$1"
    dd if=/dev/zero of="$1/filler" bs=1k 2>/dev/null
    ingest "$3/large.jsonl" large "$1"
    rm "$1/filler"
    # Spark's process may end a moment after the command that started it.
    for _ in $(seq 100); do mount -o remount,ro "$1" 2>/dev/null && break; sleep 0.2; done
    ingest "$3/large.jsonl" large "$1"
    mount -o remount,rw,size=64m "$1"
else
    cp -r "$2/." "$1"
    ingest "$3/small.jsonl" small "$1"
    (ulimit -f 1; ingest "$3/large.jsonl" large "$1")
    chmod -R a-w "$1/warehouse"
    ingest "$3/large.jsonl" large "$1"
    chmod -R u+w "$1/warehouse"
fi
ingest "$3/large.jsonl" large "$1"
"$PYTHON" -m featurestore stats --conf "$1/conf" --tenant acme --json
"""


@pytest.mark.slow
def test_errors_report_a_full_and_a_read_only_disk_and_the_batch_is_written_once_there_is_room(
    spark: SparkSession, tmp_path: Path
) -> None:
    template, disk, rows = tmp_path / "template", tmp_path / "disk", tmp_path / "rows"
    for folder in (disk, rows):
        folder.mkdir(parents=True)
    write_settings(template)
    FeatureStore.open(Settings.load(template / "conf", {}), spark=spark).apply([SCORES])
    for name, count in (("small", 10), ("large", 40_000)):
        lines = (
            f'{{"user_id": "{name}{i}", "event_timestamp": "2026-11-01T00:00:00Z", "score": {i}}}' for i in range(count)
        )
        (rows / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    script = ["sh", "-c", _ON_ITS_OWN_DISK, "sh", str(disk), str(template), str(rows)]
    own_mounts = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
    done = subprocess.run(
        [*(["unshare", "-m"] if own_mounts else []), *script],
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("code ")] == ["code 0", "code 26", "code 26", "code 0"], (
        done.stderr
    )
    faults = [line for line in done.stderr.splitlines() if '"kind": "StorageError"' in line]
    assert len(faults) == 2
    assert "make room" in faults[0] or "raise it" in faults[0]
    assert "mount it for writing" in faults[1] or "this user may not write" in faults[1]
    assert '"rows": 40010' in done.stdout
