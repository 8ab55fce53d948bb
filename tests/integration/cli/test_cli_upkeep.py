"""The commands that maintain tables and describe what is in them: their answers, exit codes and logs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, Settings
from featurestore.cli import run
from tests.cli_answers import Answer, output_of
from tests.pages.html_page import faults_of
from tests.settings_folder import write_settings_folder

VISITS = FeatureGroup(
    "visits",
    Entity("user", join_keys={"user_id": "long"}),
    features=[Feature("pages", "double"), Feature("country", "string")],
    retention=timedelta(days=30),
)
NOW = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
SECRET = "kept with the other secrets"


def visit(user: int, days_ago: int, pages: float) -> dict[str, Any]:
    at = NOW - timedelta(days=days_ago) + timedelta(hours=user % 20)
    return {"user_id": user, "event_timestamp": at, "pages": pages, "country": "US"}


@pytest.fixture(scope="module")
def project(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with visits 100 days ago; of twenty users 12 to 8 days ago, few pages; and of the same 7 to 1 days ago, many."""
    folder = tmp_path_factory.mktemp("upkeep")
    write_settings_folder(folder / "conf", warehouse="warehouse")
    fs = FeatureStore.open(Settings(warehouse=str(folder / "warehouse")), spark=spark)
    fs.apply([VISITS])
    store = fs.tenant("acme")
    store.write_batch("visits", [visit(1, 100, 3.0)])
    store.write_batch("visits", [visit(user, day, user % 5) for user in range(20) for day in (12, 10, 8)])
    store.write_batch("visits", [visit(user, day, 50.0 + user) for user in range(20) for day in (3, 2)])
    spine = [{"user_id": 7, "event_timestamp": NOW - timedelta(days=2)}]
    FeatureDataLoader(store).load_training_data(
        store._scope.context.spark.createDataFrame(spine), "visits:pages", name="s"
    )
    return folder


@pytest.fixture
def machine(project: Path, capsys: pytest.CaptureFixture[str]) -> Answer:
    def answer(*arguments: str, code: int = 0) -> Any:
        # A command that answers, and then ends with an error, prints two documents.
        return json.JSONDecoder().raw_decode(output_of(project, capsys, *arguments, "--json", code=code))[0]

    return answer


def test_cleanup_deletes_old_rows_unless_it_is_a_dry_run(machine: Answer) -> None:
    [planned] = machine("cleanup", "--dry-run")
    assert (planned["group"], planned["deleted_rows"], planned["dry_run"]) == ("visits", 1, True)
    [done] = machine("cleanup", "visits")
    assert (done["deleted_rows"], done["dry_run"]) == (1, False)
    assert machine("cleanup", "visit", code=6)["error"]["kind"] == "NotFoundError"


def test_vacuum_has_a_shortest_horizon_and_is_a_run_of_the_whole_store(machine: Answer) -> None:
    assert "the shortest possible is 1d" in machine("vacuum", "--older-than", "1h", code=17)["error"]["message"]
    assert all(table["files"] == 0 for table in machine("vacuum"))
    assert [(row["job"], row["state"]) for row in machine("runs", "list", "--store")] == [("vacuum", "succeeded")]


def test_optimize_has_nothing_to_do_where_days_are_single_files(machine: Answer) -> None:
    [planned] = machine("optimize", "--dry-run")
    assert (planned["group"], planned["rewritten"]) == ("visits", 0)


def test_profile_and_drift_with_its_exit_code_and_report(machine: Answer, tmp_path: Path) -> None:
    [profiled] = machine("profile")
    machine("profile", "visits", "--report", str(tmp_path / "profile.html"))
    assert faults_of((tmp_path / "profile.html").read_text(encoding="utf-8")) == []
    assert (profiled["group"], profiled["rows"]) == ("visits", 100)
    assert machine("profile")[0]["dates"] == 0
    periods = ("--baseline", period(12, 7), "--current", period(3, 1))
    drift = machine("drift", "visits", *periods, "--report", str(tmp_path / "drift.html"), code=22)
    assert [(feature["feature"], feature["status"]) for feature in drift["features"]] == [
        ("pages", "drifted"),
        ("country", "ok"),
    ]
    assert "pages" in (tmp_path / "drift.html").read_text(encoding="utf-8")
    machine("drift", "visits", "--feature", "country", *periods)


def period(first: int, end: int) -> str:
    return "/".join((NOW - timedelta(days=days)).date().isoformat() for days in (first, end))


def test_metrics_are_written_for_prometheus(machine: Answer, tmp_path: Path) -> None:
    machine("metrics", str(tmp_path / "acme.prom"))
    assert "featurestore_group_rows{" in (tmp_path / "acme.prom").read_text(encoding="utf-8")


def test_erase_writes_its_certificate_and_reads_keys_from_a_file(
    machine: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys.jsonl"
    keys.write_text('{"user_id": 7}\n', encoding="utf-8")
    arguments = ("erase", "user", "--keys", str(keys), "--certificate", str(tmp_path / "certificate.json"))
    assert "FEATURESTORE_SUPPRESSION_SECRET" in machine(*arguments, code=3)["error"]["message"]
    monkeypatch.setenv("FEATURESTORE_SUPPRESSION_SECRET", SECRET)
    certificate = machine(*arguments)
    # The statistics are of two features on five dates; one more row says how far the group is profiled.
    assert [(table["kind"], table["rows"]) for table in certificate["tables"]] == [
        ("values", 5), ("statistics", 11), ("training_set", 1),
    ]  # fmt: skip
    assert json.loads((tmp_path / "certificate.json").read_text(encoding="utf-8")) == certificate
    assert [erasure["erasure_id"] for erasure in machine("erasures")] == [certificate["erasure_id"]]
    assert machine("erase", "person", "--key", "user_id=7", code=6)["error"]["kind"] == "NotFoundError"


def test_a_log_of_json_lines_has_the_steps_and_the_end(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["cleanup", "--conf", str(project / "conf"), "--tenant", "acme", "--log", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines if "..." not in line["event"]] == [
        "cleanup.started", "cleanup.done", "cleanup.recorded", "done",
    ]  # fmt: skip
    assert {(line["command"], line["tenant"], line["level"]) for line in lines} == {("cleanup", "acme", "info")}
    assert run(["cleanup", "nobody", "--conf", str(project / "conf"), "--tenant", "acme", "--log", "json"]) == 6
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (last["level"], last["kind"], last["exit_code"]) == ("error", "NotFoundError", 6)
