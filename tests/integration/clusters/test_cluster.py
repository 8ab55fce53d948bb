"""A training set is the same on a Spark standalone cluster as on one machine, even if an executor is lost."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from featurestore import (
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
)
from featurestore.frames.fingerprint import content_hash
from featurestore.stores.training_sets.manifests import Manifest
from tests.inputs.landed_visits import drawn, drawn_minute, training_set_of_visits
from tests.processes.spark_cluster import HOST, Cluster, last_lines, standalone_cluster
from tests.processes.spark_submit import PROJECT, spark_environment, submit_command
from tests.processes.waiting import PATIENCE, wait_for
from tests.settings_folder import write_settings_folder

pytestmark = pytest.mark.slow

VALUES, EXAMPLES, USERS = 300_000, 120_000, 20_000
START, DAYS = datetime(2026, 3, 1, tzinfo=UTC), 12
# Enough tasks that some work remains after an executor was killed.
PARTITIONS = 24

ACTIVITY = FeatureGroup(
    "activity",
    Entity("user", join_keys={"user_id": "string"}),
    features=[Feature("score", "double"), Feature("plan", "string"), Feature("recent", "array<double>")],
    ttl=timedelta(days=5),
)
LOCAL, ON_CLUSTER, EXECUTOR_LOST = "built_locally", "built_on_a_cluster", "built_with_an_executor_lost"


def user_id() -> Column:
    """Two rows in five are of one user."""
    return F.when(drawn(1, 5) < 2, F.lit("everyone")).otherwise(F.concat(F.lit("u"), drawn(2, USERS)))


def minute() -> Column:
    return drawn_minute(3, START, DAYS)


@pytest.fixture(scope="module")
def conf(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings of a store with values and landed visits: one user has much of both, and nulls are everywhere."""
    project = tmp_path_factory.mktemp("on_a_cluster")
    # So low that the user with many rows is cut in time, and that executors write all values.
    low = {"hot_key_rows": 50_000, "local_batch_rows": 0}
    folder = write_settings_folder(project / "conf", warehouse="warehouse", landing="landing", **low)
    feature_store = FeatureStore.open(folder, spark=spark)
    feature_store.apply(
        [
            ACTIVITY,
            *(
                training_set_of_visits(name, "activity", "user_id", "bought")
                for name in (LOCAL, ON_CLUSTER, EXECUTOR_LOST)
            ),
        ]
    )
    ids = spark.range(VALUES)
    values = ids.select(
        user_id().alias("user_id"),
        minute(),
        F.when(drawn(4, 5) > 0, drawn(5, 1_000_000) / 1000).alias("score"),
        F.when(drawn(6, 3) > 0, F.concat(F.lit("plan_"), drawn(7, 4))).alias("plan"),
        F.when(drawn(8, 4) > 0, F.array(drawn(9, 100) / 10, drawn(10, 100) / 10)).alias("recent"),
    )
    feature_store.tenant("acme").write_batch("activity", values, batch_id="all")
    visits = spark.range(VALUES, VALUES + EXAMPLES).select(
        F.when(drawn(4, 50) > 0, user_id()).alias("user_id"),
        F.when(drawn(5, 50) > 0, minute()).alias("event_timestamp"),
        (drawn(6, 2) == 0).alias("bought"),
    )
    visits.repartition(4).write.parquet(str(project / "landing" / "acme" / "visits"))
    return folder


@pytest.fixture(scope="module")
def loader(conf: Path, spark: SparkSession) -> FeatureDataLoader:
    return FeatureDataLoader(FeatureStore.open(conf, spark=spark).tenant("acme"))


@pytest.fixture(scope="module")
def built_locally(loader: FeatureDataLoader) -> Manifest:
    return loader.build(LOCAL).manifest


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with standalone_cluster(tmp_path_factory.mktemp("cluster"), workers=2) as running:
        yield running


@dataclass(frozen=True)
class Driver:
    """A submitted job that builds a training set; ``folder`` holds what it writes, its log, and Spark's event log."""

    process: subprocess.Popen[bytes]
    cluster: Cluster
    folder: Path

    def logs(self) -> str:
        return f"{last_lines(self.folder / 'stdout')}\n{last_lines(self.folder / 'stderr')}\n{self.cluster.logs()}"

    def manifest(self) -> Manifest:
        """What the job answers when it is done."""
        assert self.process.wait(PATIENCE) == 0, self.logs()
        document = json.loads((self.folder / "stdout").read_text(encoding="utf-8"))
        assert document.pop("is_up_to_date") is False
        return Manifest.model_validate(document)

    def applications(self) -> list[str]:
        """Ids of the Spark applications that the job started: Spark names its event log so, also while it is written."""
        return sorted({log.name.split(".")[0] for log in (self.folder / "events").glob("app-*")})

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Spark's events of one kind, when the job is done."""
        (log,) = (self.folder / "events").iterdir()
        events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        return [event for event in events if event["Event"] == f"SparkListener{kind}"]


def lost_tasks(driver: Driver, executor: str) -> set[tuple[int, int]]:
    """Stage and index of the tasks that were lost with an executor."""
    return {
        (event["Stage ID"], event["Task Info"]["Index"])
        for event in driver.events("TaskEnd")
        if event["Task End Reason"]["Reason"] == "ExecutorLostFailure" and event["Task Info"]["Executor ID"] == executor
    }


def done_tasks(driver: Driver, since: int) -> set[tuple[int, int]]:
    """Stage and index of the tasks that succeeded at or after ``since``, in milliseconds of the epoch."""
    return {
        (event["Stage ID"], event["Task Info"]["Index"])
        for event in driver.events("TaskEnd")
        if event["Task End Reason"]["Reason"] == "Success" and event["Task Info"]["Finish Time"] >= since
    }


@contextmanager
def submitted(cluster: Cluster, conf: Path, training_set: str, folder: Path, **properties: str) -> Iterator[Driver]:
    (folder / "events").mkdir()
    settings = {
        "spark.driver.host": HOST,
        "spark.executor.memory": "1g",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m",
        "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.shuffle.partitions": str(PARTITIONS),
        "spark.sql.adaptive.coalescePartitions.enabled": "false",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": (folder / "events").as_uri(),
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
        **{name.replace("_", "."): value for name, value in properties.items()},
    }
    job = ("build_training_set", "--conf", str(conf), "--tenant", "acme", training_set, "--json")
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            submit_command(*job, master=cluster.master, properties=settings),
            cwd=PROJECT,
            # A spine of this size would be fetched, and joined and written by the driver.
            env=spark_environment() | {"SPARK_LOCAL_IP": HOST, "FEATURESTORE_AS_OF_HOST": "in_tasks"},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    try:
        yield Driver(process, cluster, folder)
    finally:
        process.kill()
        process.wait()


def wait_until_half_written(driver: Driver, training_set: Path) -> None:
    """Waits until some of the tasks that join and write the rows have begun a file each, and most have not."""

    def half_written() -> bool:
        return len(list(training_set.rglob("part-*.parquet"))) > 3

    wait_for("files of four tasks", half_written, driver.logs)


def assert_the_same(loader: FeatureDataLoader, built: Manifest, expected: Manifest) -> None:
    """Published once; its table has the content hash of its manifest, which is the expected one."""
    assert (built.row_count, built.content_hash) == (EXAMPLES, expected.content_hash)
    assert loader.list(built.name) == [built]
    rows = loader.get(built.name).rows
    assert rows.count() == EXAMPLES
    assert content_hash(rows) == expected.content_hash


def test_the_training_set_has_values_and_gaps_in_every_column(
    loader: FeatureDataLoader, built_locally: Manifest
) -> None:
    missing = loader.get(LOCAL).metadata()["missing_values"]
    assert built_locally.row_count == EXAMPLES
    assert all(EXAMPLES * 0.02 < count < EXAMPLES * 0.9 for count in missing.values()), missing


def test_a_cluster_builds_what_one_machine_builds(
    cluster: Cluster, conf: Path, loader: FeatureDataLoader, built_locally: Manifest, tmp_path: Path
) -> None:
    with submitted(cluster, conf, ON_CLUSTER, tmp_path) as driver:
        built = driver.manifest()

    assert_the_same(loader, built, built_locally)
    assert {event["Task Info"]["Executor ID"] for event in driver.events("TaskEnd")} == {"0", "1"}


def test_an_executor_lost_in_the_middle_changes_nothing(
    cluster: Cluster, conf: Path, loader: FeatureDataLoader, built_locally: Manifest, tmp_path: Path
) -> None:
    with submitted(cluster, conf, EXECUTOR_LOST, tmp_path) as driver:
        training_set = conf.parent / "warehouse" / "training_sets" / "acme" / EXECUTOR_LOST
        wait_until_half_written(driver, training_set)
        (application,) = driver.applications()
        executor, process = sorted(cluster.executors(application).items())[0]
        process.kill()
        built = driver.manifest()

    assert_the_same(loader, built, built_locally)
    (removed,) = [event for event in driver.events("ExecutorRemoved") if event["Executor ID"] == executor]
    done_afterwards = done_tasks(driver, since=removed["Timestamp"])
    assert done_afterwards
    assert lost_tasks(driver, executor) <= done_afterwards
