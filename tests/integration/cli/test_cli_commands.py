"""The command line on a real store: each command's answer, for people and for machines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from featurestore.cli import run
from tests.cli_answers import Answer
from tests.settings_folder import write_settings_folder

DEFINITIONS = """
entities:
  - name: user
    join_keys: {user_id: string}
feature_groups:
  - name: user_stats
    entity: user
    ttl: 7d
    owner: growth
    features:
      - {name: score, type: double, min: 0, max: 1}
  - name: user_visits
    entity: user
    features:
      - {name: visits, type: long, min: 2}
    sources:
      visits: {path: "{landing}/{tenant_id}/visits", format: parquet}
    transformation:
      sql: >-
        SELECT user_id, count(*) AS visits FROM visits WHERE at >= :start_time AND at < :end_time GROUP BY user_id
training_sets:
  - name: churn
    label: churned
    features: ["user_stats:score", "user_visits:visits"]
    spine:
      sources:
        labels: {path: "{landing}/{tenant_id}/labels", format: parquet}
      transformation: {sql: "SELECT user_id, event_timestamp, churned FROM labels"}
"""


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def write_parquet(folder: Path, rows: list[dict[str, object]]) -> None:
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "part.parquet")


@pytest.fixture(scope="module")
def project(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with settings, definitions that are applied, and landed data of the tenant acme."""
    folder = tmp_path_factory.mktemp("project")
    write_settings_folder(folder / "conf", warehouse="warehouse", landing="landing")
    (folder / "conf" / "features").mkdir()
    (folder / "conf" / "features" / "users.yml").write_text(DEFINITIONS, encoding="utf-8")
    write_parquet(
        folder / "landing" / "acme" / "visits",
        [
            {"user_id": "u1", "at": at(1, 8)},
            {"user_id": "u1", "at": at(1, 9)},
            {"user_id": "u2", "at": at(1, 9)},
            {"user_id": "u1", "at": at(2)},
        ],
    )
    write_parquet(
        folder / "landing" / "acme" / "labels",
        [
            {"user_id": "u1", "event_timestamp": at(3), "churned": False},
            {"user_id": "u2", "event_timestamp": at(3), "churned": True},
        ],
    )
    assert run(["apply", str(folder / "conf" / "features"), "--conf", str(folder / "conf")]) == 0
    return folder


def rows_file(folder: Path, text: str) -> str:
    file = folder / "rows.csv"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_plan_shows_what_apply_would_change_and_changes_nothing(
    machine: Answer, person: Answer, project: Path, tmp_path: Path
) -> None:
    more = DEFINITIONS.replace(
        "- {name: score, type: double, min: 0, max: 1}",
        "- {name: score, type: double, min: 0, max: 1}\n      - {name: clicks, type: long}",
    )
    (tmp_path / "users.yml").write_text(more, encoding="utf-8")

    document = machine("plan", str(tmp_path))

    assert document["has_changes"] is True
    assert [change for change in document["changes"] if change["action"] != "unchanged"] == [
        {
            "action": "update",
            "kind": "feature_group",
            "name": "user_stats",
            "version": 1,
            "details": ["+ feature clicks: long"],
        }
    ]
    assert "+ feature clicks: long" in person("plan", str(tmp_path))
    assert machine("plan", str(project / "conf" / "features"))["has_changes"] is False


def test_apply_again_changes_nothing(machine: Answer, person: Answer, project: Path) -> None:
    definitions = str(project / "conf" / "features")

    assert machine("apply", definitions)["has_changes"] is False
    assert person("apply", definitions).startswith("Nothing to change")


def test_a_definition_with_a_fault_exits_with_4_and_names_its_line(machine: Answer, tmp_path: Path) -> None:
    (tmp_path / "users.yml").write_text(DEFINITIONS.replace("type: double", "type: duble"), encoding="utf-8")

    error = machine("apply", str(tmp_path), code=4)["error"]

    assert error["kind"] == "DefinitionError"
    assert "users.yml:11: " in error["message"]
    assert "duble" in error["message"]


def test_a_change_that_rows_cannot_follow_exits_with_5(machine: Answer, tmp_path: Path) -> None:
    (tmp_path / "users.yml").write_text(
        DEFINITIONS.replace("type: double", "type: boolean, ").replace(", min: 0, max: 1", ""), encoding="utf-8"
    )

    assert machine("apply", str(tmp_path), code=5)["error"]["kind"] == "IncompatibleChangeError"


def test_ingest_reports_rejected_rows_and_succeeds(machine: Answer, tmp_path: Path) -> None:
    file = rows_file(
        tmp_path,
        "user_id,event_timestamp,score\n"
        "u1,2026-11-01T00:00:00Z,0.5\n"
        "u2,2026-11-01T00:00:00Z,7\n"
        "u3,2026-11-01T00:00:00Z,much\n",
    )

    document = machine("ingest", "user_stats", file, "--batch-id", "reported")

    assert (document["written"], document["failed"], document["batch_id"]) == (1, 2, "reported")
    assert document["errors"] == {"score: greater than max 1": 1, "score: not readable as double": 1}


def test_ingest_says_why_rows_were_rejected_and_where_they_are(person: Answer, tmp_path: Path) -> None:
    file = rows_file(tmp_path, "user_id,event_timestamp,score\nu1,2026-11-01T00:00:00Z,0.5\nu2,2026-11-01,0.5\n")

    output = person("ingest", "user_stats", file, "--batch-id", "explained")

    assert output.startswith("user_stats: 1 row written, 1 rejected\nbatch          explained\n")
    # Values of the rows stay out of a job's log.
    assert "u2" not in output
    assert "event_timestamp: a date without a time" in output
    assert output.endswith("The rejected rows: store.rejected('user_stats', batch_id='explained')\n")


def test_ingest_writes_a_batch_once(machine: Answer, tmp_path: Path) -> None:
    file = rows_file(tmp_path, "user_id,event_timestamp,score\nu9,2026-11-01T00:00:00Z,0.5\n")
    first = machine("ingest", "user_stats", file, "--batch-id", "once")

    again = machine("ingest", "user_stats", file, "--batch-id", "once")

    assert again == first | {"duplicate": True}


def test_on_invalid_fail_exits_with_9(machine: Answer, tmp_path: Path) -> None:
    file = rows_file(tmp_path, "user_id,event_timestamp,score\nu1,2026-11-01T00:00:00Z,7\n")

    assert machine("ingest", "user_stats", file, "--on-invalid", "fail", code=9)["error"]["kind"] == "InvalidRowsError"


def test_an_unknown_group_exits_with_6_and_names_the_nearest(machine: Answer, tmp_path: Path) -> None:
    file = rows_file(tmp_path, "user_id,event_timestamp,score\n")

    error = machine("ingest", "user_stat", file, code=6)["error"]

    assert "Did you mean 'user_stats'" in error["message"]


def test_materialize_runs_a_window_once_and_records_the_run(machine: Answer, person: Answer) -> None:
    window = ["--start", "2026-11-01T00:00:00Z", "--end", "2026-11-02T00:00:00Z"]

    done = machine("materialize", "user_visits", *window)
    again = machine("materialize", "user_visits", *window)
    runs = machine("runs", "list")

    assert (done["state"], done["written"], done["failed"]) == ("succeeded", 1, 1)
    assert done["errors"] == {"visits: less than min 2": 1}
    assert done["window"] == {"start": "2026-11-01T00:00:00+00:00", "end": "2026-11-02T00:00:00+00:00"}
    assert again["state"] == "skipped"
    [run_of_window] = [row for row in runs if row["window_start"] == "2026-11-01T00:00:00+00:00"]
    assert (run_of_window["job"], run_of_window["state"], run_of_window["rows_written"]) == (
        "materialize",
        "succeeded",
        1,
    )
    assert "2026-11-01 00:00:00Z to 2026-11-02 00:00:00Z" in person("runs", "list")
    assert "done before" in person("materialize", "user_visits", *window)


def test_a_window_that_ends_before_it_starts_is_wrong_usage(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    window = ["--start", "2026-11-02T00:00:00Z", "--end", "2026-11-01"]

    code = run(["materialize", "user_visits", *window, "--tenant", "acme", "--conf", str(project / "conf")])

    assert code == 2
    assert "--start/--end" in capsys.readouterr().err


def test_groups_are_listed_and_shown(machine: Answer, person: Answer) -> None:
    groups = machine("groups", "list")
    details = machine("groups", "show", "user_stats")

    assert [group["name"] for group in groups] == ["user_stats", "user_visits"]
    assert details == {
        "name": "user_stats",
        "version": 1,
        "entity": {"name": "user", "join_keys": {"user_id": "string"}},
        "features": [{"name": "score", "type": "double", "min": 0.0, "max": 1.0}],
        "owner": "growth",
        "ttl": "1w",
    }
    assert "growth" in person("groups", "list")


def test_what_groups_show_prints_can_be_applied(machine: Answer, person: Answer, tmp_path: Path) -> None:
    (tmp_path / "shown.yml").write_text(person("groups", "show", "user_visits"), encoding="utf-8")

    assert machine("plan", str(tmp_path))["has_changes"] is False


def test_a_training_set_is_built_listed_shown_and_rebuilt(machine: Answer, person: Answer, tmp_path: Path) -> None:
    file = rows_file(tmp_path, "user_id,event_timestamp,score\nu2,2026-11-02T12:00:00Z,0.25\n")
    machine("ingest", "user_stats", file)

    built = machine("training-set", "build", "churn")
    again = person("training-set", "build", "churn")
    another = machine("training-set", "build", "churn", "--new-version")
    rebuilt = machine("training-set", "rebuild", "churn", "--version", str(built["version"]))
    manifest = machine("training-set", "show", "churn", "--version", str(built["version"]))

    assert built["row_count"] == 2
    assert built["label"] == "churned"
    assert built["feature_columns"] == ["score", "visits"]
    assert built == manifest | {"is_up_to_date": False}
    assert "Version 1 is up to date; nothing was built." in again
    assert rebuilt["content_hash"] == built["content_hash"]
    assert [(saved["name"], saved["version"]) for saved in machine("training-set", "list")] == [
        ("churn", number) for number in (built["version"], another["version"], rebuilt["version"])
    ]
    assert "churn v1 of acme" in person("training-set", "show", "churn", "--version", "1")
    assert built["content_hash"][:12] in person("training-set", "list")


def test_a_tenant_sees_nothing_of_another(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["training-set", "list", "--conf", str(project / "conf"), "--tenant", "other", "--json"])

    assert code == 0
    assert json.loads(capsys.readouterr().out) == []


def test_doctor_passes_in_a_complete_environment(machine: Answer) -> None:
    document = machine("doctor")

    assert [check for check in document["checks"] if not check["ok"]] == []
    assert document["ok"] is True
    assert {"Java", "Spark session", "Delta table", "worker Python", "warehouse"} <= {
        check["name"] for check in document["checks"]
    }


def test_doctor_exits_with_16_and_says_how_to_repair(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "warehouse").write_text("a file", encoding="utf-8")
    write_settings_folder(tmp_path, warehouse=f"{tmp_path}/warehouse")

    code = run(["doctor", "--conf", str(tmp_path)])

    output = capsys.readouterr().out
    assert code == 16
    assert f"WRONG warehouse: {tmp_path}/warehouse is a file, not a folder\n      fix: name a folder" in output
    assert "ok    Delta table: written and read in" in output


def test_settings_with_a_fault_are_a_finding_of_doctor(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_settings_folder(tmp_path, warehous="here")

    assert run(["doctor", "--conf", str(tmp_path)]) == 16

    output = capsys.readouterr().out
    assert "WRONG settings: setting 'warehous' is not known. Did you mean 'warehouse'?" in output
