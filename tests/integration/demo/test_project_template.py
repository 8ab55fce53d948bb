"""The project that ``featurestore init`` writes, used as its README says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from featurestore.cli.start_project import start_project
from tests.cli_answers import document_of, output_of
from tests.processes.quick_spark import QUICK
from tests.processes.spark_submit import PROJECT, spark_environment
from tests.processes.waiting import PATIENCE

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    start_project(tmp_path / "shop", "0.1.0")
    return tmp_path / "shop"


def run_in(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in the project's folder; it uses this tree's package, and the jars that are here."""
    environment = {name: value for name, value in spark_environment().items() if not name.startswith("PYTEST_")}
    spark = json.dumps(QUICK | {"spark.master": "local[2]"})
    return subprocess.run(
        words,
        cwd=project,
        env=environment | {"PYTHONPATH": str(PROJECT), "FEATURESTORE_SPARK": spark},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_its_test_passes_as_it_is(project: Path) -> None:
    before = {path for path in project.rglob("*") if path.is_file()}

    done = run_in(project, sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    after = {path for path in project.rglob("*") if path.is_file()}
    assert after == before, "the test writes to folders of its own"


def test_definitions_are_applied_and_the_job_runs_both_ways(
    spark: SparkSession, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    definitions = str(project / "conf" / "features")
    assert "feature group customer_orders v1: create" in output_of(project, capsys, "apply", definitions)
    assert output_of(project, capsys, "plan", definitions) == "Nothing to change: 2 unchanged\n"
    job = ["jobs/daily.py", "--tenant", "acme", "--day"]
    submit = str(Path(sys.executable).parent / "spark-submit")

    first = run_in(project, sys.executable, *job, "2026-11-01")
    second = run_in(
        project,
        *(submit, "--master", "local[2]", "--properties-file", "conf/spark-defaults.conf"),
        *("--conf", f"spark.jars.ivy={PROJECT / '.ivy'}", *job, "2026-11-02"),
    )
    wrong = run_in(project, sys.executable, "jobs/daily.py", "--tenant", "../acme")

    assert first.stdout == "customer_orders: succeeded, 2 rows written, 0 rejected\n", first.stderr
    assert "customer_orders: succeeded, 1 rows written, 0 rejected\n" in second.stdout, second.stderr
    assert (first.returncode, second.returncode, wrong.returncode) == (0, 0, 7)
    command = ["get", "customer_orders:amount", "--entity", "customer_id=ann", "--at"]
    amounts = [
        document_of(project, capsys, *command, f"2026-11-0{day}T00:00:00Z")["customer_orders:amount"]
        for day in (1, 2, 3)
    ]
    assert [amount and amount["value"] for amount in amounts] == [None, 32.5, 7.25]


def test_it_installs_as_its_readme_says(project: Path, tmp_path: Path) -> None:
    """Without what it depends on, which is here: pip must not stumble over the folders that are no packages."""
    done = run_in(
        project,
        *(sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps"),
        *("--target", str(tmp_path / "site"), "."),
    )

    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "site").glob("*")] == ["shop-0.1.0.dist-info"]
