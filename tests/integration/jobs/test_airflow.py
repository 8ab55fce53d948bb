"""The shipped DAG, run by a real Airflow: a day, a backfill, and failures whose exit codes decide what happens."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
import yaml

from featurestore import FeatureStore
from featurestore.cli.start_project import start_project
from tests.processes.airflow import DAG, Airflow, install
from tests.processes.quick_spark import QUICK
from tests.processes.waiting import wait_for

pytestmark = pytest.mark.slow

STEPS = ["materialize", "profile", "sync-embeddings", "cleanup"]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("airflow_packages") / "venv")


@pytest.fixture(scope="module")
def airflow(commands: Path, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    return Airflow(commands, tmp_path_factory.mktemp("airflow"))


def window(call: list[str]) -> tuple[str, str]:
    return call[call.index("--start") + 1], call[call.index("--end") + 1]


def test_a_day_is_computed_with_all_its_commands(airflow: Airflow, tmp_path: Path) -> None:
    start_project(tmp_path / "project", "unknown")
    for name in ("conf", "landing"):
        (tmp_path / "project" / name).rename(airflow.home / name)
    (airflow.home / "conf" / "prod.yml").write_text(yaml.safe_dump({"spark": QUICK}), encoding="utf-8")
    fs = FeatureStore.open(airflow.home / "conf", profile="prod")
    fs.apply(airflow.home / "conf" / "features")
    airflow.runs_featurestore()
    airflow.faults()

    # The interval of a run by hand is the day before its date.
    done = airflow.run("dags", "test", DAG, "2026-11-02")

    airflow.runs_program("exit 0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [call[0] for call in airflow.calls] == STEPS
    assert window(airflow.calls[0]) == ("2026-11-01T00:00:00+00:00", "2026-11-02T00:00:00+00:00")
    store = fs.tenant("acme")
    # Without embeddings and without a retention, the other two have nothing to do.
    runs = {(run.job, run.state) for run in store.latest_runs()}
    assert runs == {("materialize", "succeeded"), ("profile", "succeeded")}
    ann = {"customer_id": "ann"}
    value = store.get_feature_at_time("customer_orders:orders", ann, datetime.fromisoformat("2026-11-02T20:00:00Z"))
    assert value is not None
    assert value.value == 2
    assert len(store.get_statistics("customer_orders")) > 0


@pytest.mark.parametrize(
    ("faults", "calls", "is_done"),
    [
        # A lost server, then a kill by the system's memory: both may pass, and did.
        (
            ("24", "killed"),
            ["materialize", "materialize", "materialize", "profile", "sync-embeddings", "cleanup"],
            True,
        ),
        # It did not pass: two retries, and no later step.
        (("21", "26", "21"), ["materialize", "materialize", "materialize"], False),
        # Wrong settings, and an expectation that was not met, need a person.
        (("3",), ["materialize"], False),
        (("0", "20"), ["materialize", "profile"], False),
    ],
    ids=["passes", "stays", "settings", "second step"],
)
def test_the_exit_code_decides_between_retry_and_failure(
    faults: tuple[str, ...], calls: list[str], is_done: bool, airflow: Airflow
) -> None:
    airflow.faults(*faults)

    done = airflow.run("dags", "test", DAG, "2026-11-02")

    assert [call[0] for call in airflow.calls] == calls, done.stdout + done.stderr
    assert (done.returncode == 0) is is_done


def test_a_backfill_computes_its_days_one_after_the_other(airflow: Airflow) -> None:
    airflow.faults("24")
    for words in (("dags", "reserialize"), ("dags", "unpause", DAG, "--yes")):
        assert airflow.run(*words).returncode == 0
    days = ("--from-date", "2026-10-30", "--to-date", "2026-10-31")
    created = airflow.run("backfill", "create", "--dag-id", DAG, *days, "--max-active-runs", "1")
    assert created.returncode == 0, created.stdout + created.stderr

    with airflow.serving() as log:
        runs = wait_for("the backfill", airflow.backfilled, log.read_text)

    assert runs == {"2026-10-30": "success", "2026-10-31": "success"}
    # The first call failed and was tried again.
    assert [call[0] for call in airflow.calls] == ["materialize", *STEPS, *STEPS]
    assert [window(call) for call in airflow.calls if call[0] == "materialize"] == [
        ("2026-10-30T00:00:00+00:00", "2026-10-31T00:00:00+00:00"),
        ("2026-10-30T00:00:00+00:00", "2026-10-31T00:00:00+00:00"),
        ("2026-10-31T00:00:00+00:00", "2026-11-01T00:00:00+00:00"),
    ]
