"""The jobs, as a scheduler starts them: by spark-submit, with the project's properties file."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Source
from tests.processes.spark_submit import PROJECT, spark_environment, submit_command
from tests.processes.waiting import PATIENCE
from tests.settings_folder import write_settings_folder

COMMANDS = {
    "build_catalog": "catalog build",
    "build_training_set": "training-set build",
    "profile_features": "profile",
    "sync_embeddings": "sync-embeddings",
}
JOBS = sorted(path.stem for path in (PROJECT / "jobs").glob("*.py") if path.stem != "demo")

VISITS = FeatureGroup(
    "user_visits",
    Entity("user", join_keys={"user_id": "string"}),
    features=[Feature("visits", "long")],
    sources={"visits": Source(path="{landing}/{tenant_id}/visits", format="parquet")},
    transformation=(
        "SELECT user_id, count(*) AS visits FROM visits WHERE at >= :start_time AND at < :end_time GROUP BY user_id"
    ),
)


@pytest.fixture
def conf(spark: SparkSession, tmp_path: Path) -> Path:
    """Settings of a store in which the group is applied and the data of acme has landed."""
    folder = write_settings_folder(tmp_path / "conf", warehouse="warehouse", landing="landing")
    landed = tmp_path / "landing" / "acme" / "visits"
    landed.mkdir(parents=True)
    rows = [{"user_id": user, "at": datetime(2026, 11, 1, 8, tzinfo=UTC)} for user in ("u1", "u1", "u2")]
    pq.write_table(pa.Table.from_pylist(rows), landed / "part.parquet")
    FeatureStore.open(folder).apply([VISITS])
    return folder


def spark_submit(job: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        submit_command(job, *arguments),
        cwd=PROJECT,
        env=spark_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@pytest.mark.slow
def test_a_job_runs_by_spark_submit(conf: Path) -> None:
    window = ["--start", "2026-11-01T00:00:00Z", "--end", "2026-11-02T00:00:00Z"]

    done = spark_submit("materialize", "--conf", str(conf), "--tenant", "acme", "user_visits", *window, "--json")

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["group"], document["state"], document["written"]) == ("user_visits", "succeeded", 2)
    store = FeatureStore.open(conf).tenant("acme")
    assert [(run["job"], run["state"], run["rows_written"]) for run in store.runs().collect()] == [
        ("materialize", "succeeded", 2)
    ]


@pytest.mark.slow
def test_spark_submit_exits_with_the_code_of_the_error() -> None:
    done = spark_submit("ingest", "--tenant", "../acme", "user_visits", "rows.csv")

    assert done.returncode == 7
    # spark-submit hands the driver's stderr on as stdout.
    assert done.stdout.startswith("Error: tenant id '../acme' is refused")
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_the_command_of_its_name(job: str) -> None:
    command = COMMANDS.get(job, job)

    done = subprocess.run(
        [sys.executable, str(PROJECT / "jobs" / f"{job}.py"), "--help"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert f"Usage: featurestore {command} [OPTIONS]" in done.stdout


def test_no_job_is_named_like_a_module_of_python() -> None:
    """A job's folder is the first place in which its process looks for modules."""
    assert not {path.stem for path in (PROJECT / "jobs").glob("*.py")} & sys.stdlib_module_names
