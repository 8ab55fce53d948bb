"""The commands that read values and work on training sets, each once on a real store, for people and for machines."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from featurestore.cli import run
from tests.cli_answers import Answer
from tests.pages.html_page import faults_of
from tests.settings_folder import write_settings_folder

DEFINITIONS = """
entities:
  - name: user
    join_keys: {user_id: string}
feature_groups:
  - name: stats
    entity: user
    features:
      - {name: score, type: double, max: 1}
      - {name: text, type: "embedding(2)"}
      - {name: plan, type: string}
    sources:
      events: {path: "{landing}/{tenant_id}/events", format: parquet}
    transformation: {sql: "SELECT user_id, 0.5D AS score FROM events WHERE at >= :start_time AND at < :end_time"}
"""


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


@pytest.fixture(scope="module")
def project(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_settings_folder(folder / "conf", warehouse="warehouse", landing="landing")
    (folder / "conf" / "features").mkdir()
    (folder / "conf" / "features" / "stats.yml").write_text(DEFINITIONS, encoding="utf-8")
    (folder / "landing" / "acme" / "events").mkdir(parents=True)
    events = [{"user_id": "eve", "at": at(5, 8)}, {"user_id": "eve", "at": at(6, 8)}]
    pq.write_table(pa.Table.from_pylist(events), folder / "landing" / "acme" / "events" / "part.parquet")
    spine = [
        {"user_id": user, "event_timestamp": at(day), "churned": user == "ann"}
        for user in ("ann", "bob")
        for day in (2, 3, 4)
    ]
    pq.write_table(pa.Table.from_pylist(spine), folder / "spine.parquet")
    rows = [
        {"user_id": "ann", "event_timestamp": at(1).isoformat(), "score": 0.25, "text": [1.0, 0.0], "plan": "paid"},
        {"user_id": "bob", "event_timestamp": at(1).isoformat(), "score": 0.75, "text": [0.9, 0.1], "plan": "free"},
        {"user_id": "bob", "event_timestamp": at(3).isoformat(), "score": 7.0},
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    conf = ["--conf", str(folder / "conf"), "--tenant", "acme"]
    assert run(["apply", str(folder / "conf" / "features"), *conf]) == 0
    assert run(["ingest", "stats", str(folder / "rows.jsonl"), "--batch-id", "first", *conf]) == 0
    return folder


def test_values_are_read_with_their_times(machine: Answer, person: Answer) -> None:
    get = ["get", "stats:score", "stats:text", "--entity", "user_id=ann", "--at", "2026-11-02T00:00:00Z"]

    values = machine(*get)

    assert (values["stats:score"]["value"], values["stats:score"]["event_timestamp"]) == (0.25, at(1).isoformat())
    assert values["stats:text"]["model_version"] == "text-embedding-3-small"
    assert machine("get", "stats:score", "--entity", "user_id=zoe", "--at", "2026-11-02T00:00:00Z") == {
        "stats:score": None
    }
    assert "2026-11-01 00:00:00Z" in person(*get)


def test_a_history_and_a_time_range_are_shown(machine: Answer, person: Answer) -> None:
    [row] = machine("history", "stats:score", "--entity", "user_id=bob")
    batch = machine(
        "batch", "stats:score", "stats:plan", "--start", "2026-11-01T00:00:00Z", "--end", "2026-11-02T00:00:00Z"
    )

    assert (row["user_id"], row["score"]) == ("bob", 0.75)
    assert sorted((row["user_id"], row["score"], row["plan"]) for row in batch) == [
        ("ann", 0.25, "paid"),
        ("bob", 0.75, "free"),
    ]
    assert "No rows." in person("history", "stats:score", "--entity", "user_id=zoe")


def test_aggregates_search_and_stats(machine: Answer, person: Answer, refusal: Answer) -> None:
    window = ["--start", "2026-11-01T00:00:00Z", "--end", "2026-11-02T00:00:00Z"]

    [bucket] = machine(
        "aggregate", "stats:score", "avg", *window, "--every", "month", "--time-zone", "America/New_York"
    )
    similar = machine(
        "search", "stats:text", "--entity", "user_id=ann", "--filter", "plan=free", "--at", "2026-11-02T00:00:00Z"
    )
    [stats] = machine("stats")

    assert (bucket["value"], bucket["bucket_start"]) == (0.5, "2026-10-01T04:00:00+00:00")
    assert [(match["entity"], round(match["similarity"], 3)) for match in similar["matches"]] == [
        ({"user_id": "bob"}, 0.994)
    ]
    assert (stats["group"], stats["rows"], stats["entities"]) == ("stats", 2, 2)
    assert "stats" in person("stats")
    assert "give either --vector or --entity" in refusal("search", "stats:text", code=2)
    assert machine("search", "stats:text", "--vector", "[1, 0]", "--threshold", "2", code=17)["error"]["kind"] == (
        "InvalidArgumentError"
    )


def test_examples_are_joined_and_written(machine: Answer, project: Path, tmp_path: Path) -> None:
    spine = ["--spine", str(project / "spine.parquet")]

    output = machine("join", "stats:score", *spine, "--with-timestamps")
    written = machine("join", "stats:score", *spine, "--output", str(tmp_path / "joined"), "--format", "csv")

    assert len(output) == 6
    assert {row["score"] for row in output if row["user_id"] == "ann"} == {0.25}
    assert written["path"] == str(tmp_path / "joined")
    assert sum(len(file.read_text().splitlines()) - 1 for file in (tmp_path / "joined").glob("*.csv")) == 6
    assert machine("join", "stats:score", *spine, "--output", str(tmp_path / "joined"), code=15)["error"]


def test_spines_are_made_from_a_source(machine: Answer, refusal: Answer) -> None:
    rows = machine("entity-timestamps", "events", "user", "--timestamp-column", "at")

    assert sorted(row["event_timestamp"] for row in rows) == [at(5, 8).isoformat(), at(6, 8).isoformat()]
    assert "give both or neither" in refusal(
        "entity-timestamps", "events", "user", "--start", "2026-11-01T00:00:00Z", code=2
    )


def test_a_value_is_written_and_rejected_rows_are_listed_and_retried(machine: Answer, person: Answer) -> None:
    output = person("write", "stats:score", "0.5", "--entity", "user_id=dan", "--at", "2026-11-01T00:00:00Z")
    machine(
        "write",
        "stats:text",
        "[0.5, 0.5]",
        "--entity",
        "user_id=dan",
        "--at",
        "2026-11-01T00:00:00Z",
        "--model-version",
        "m2",
    )
    [rejected] = machine("rejected", "list", "stats", "--batch-id", "first")
    retried = machine("rejected", "retry", "stats")

    assert output.startswith("stats:score of user_id=dan written")
    assert rejected["reasons"] == ["score: greater than max 1"]
    assert (retried["written"], retried["failed"]) == (0, 1)
    bad = machine("write", "stats:score", "7", "--entity", "user_id=dan", "--at", "2026-11-01T00:00:00Z", code=9)
    assert "greater than max 1" in bad["error"]["message"]


def test_training_sets_are_loaded_compared_audited_exported_and_deleted(
    machine: Answer, person: Answer, project: Path, tmp_path: Path
) -> None:
    spine = ["--spine", str(project / "spine.parquet")]
    load = ["training-set", "load", "churn", "stats:score", *spine, "--label", "churned"]

    first = machine(*load)
    output = person(
        *load, "--split", "entity", "--test", "0.5", "--sample-size", "4", "--stratify-by", "user_id", "--seed", "3"
    )
    compared = machine("training-set", "diff", "churn", "1", "2")
    export = ["training-set", "export", "churn", str(tmp_path / "churn"), "--version", "1", "--format", "jsonl"]
    exported, exported_again = machine(*export), person(*export)
    person("training-set", "audit", "churn", "--version", "1")
    reported = person("training-set", "show", "churn", "--version", "1", "--report", str(tmp_path / "churn.html"))
    deleted = machine("training-set", "delete", "churn", "--version", "1")

    assert (first["row_count"], first["label"]) == (6, "churned")
    assert compared["name"] == "churn"
    assert exported["is_up_to_date"] is False
    assert exported_again == f"churn v1 is in {tmp_path}/churn already, complete; nothing was written\n"
    assert reported.endswith(f"Report: {tmp_path}/churn.html\n")
    assert faults_of((tmp_path / "churn.html").read_text(encoding="utf-8")) == []
    assert sum(len(file.read_text().splitlines()) for file in (tmp_path / "churn").glob("*.jsonl")) == 6
    assert deleted == {"name": "churn", "deleted": [1]}
    [left] = machine("training-set", "list")
    assert (left["name"], left["version"]) == ("churn", 2)
    assert [(finding["severity"], finding["check"]) for finding in left["audit"]] == [
        ("warning", "known_later"),
        ("info", "not_compared"),
    ]
    assert all(finding["message"] in output for finding in left["audit"])


def test_chat_messages_are_written(machine: Answer, project: Path, tmp_path: Path) -> None:
    made = machine(
        "fine-tuning", "stats:score", "--spine", str(project / "spine.parquet"), "--output-feature", "stats:plan",
        "--path", str(tmp_path / "chat"), "--template", "Score {{ score }}",
    )  # fmt: skip

    assert (made["row_count"], sum(made["left_out"].values())) == (6, 0)
    [line, *_] = next((tmp_path / "chat").rglob("*.jsonl")).read_text().splitlines()
    assert [message["role"] for message in json.loads(line)["messages"]] == ["user", "assistant"]


def test_long_jobs_end_with_rows_seconds_and_what_did_them(
    machine: Answer, refusal: Answer, project: Path, tmp_path: Path
) -> None:
    window = ["--start", "2026-11-11T00:00:00Z", "--end", "2026-11-12T00:00:00Z"]
    spine = str(project / "spine.parquet")

    backfilled = refusal("backfill", "stats", *window, code=0).splitlines()
    built = refusal("training-set", "load", "told", "stats:score", "--spine", spine, code=0).splitlines()
    exported = refusal("training-set", "export", "told", str(tmp_path / "told"), code=0).splitlines()

    assert backfilled[0] == "Backfilling stats ..."
    assert re.fullmatch(r"0 rows in [\d.]+ s \(Spark\)", backfilled[-1])
    assert re.fullmatch(r"6 rows in [\d.]+ s \(in_process\)", built[-1])
    assert re.match(r"6 rows in [\d.]+ s \(", exported[-1])
    assert machine("training-set", "show", "told")["row_count"] == 6


def test_windows_are_listed_backfilled_and_recorded(machine: Answer, refusal: Answer) -> None:
    window = ["--start", "2026-11-05T00:00:00Z", "--end", "2026-11-07T00:00:00Z"]

    planned = machine("backfill", "stats", *window, "--dry-run")
    done = machine("backfill", "stats", *window, "--every", "1d")
    everything = machine("materialize", "--all", *window)
    runs = machine("runs", "list")
    output = machine("runs", "show", runs[0]["run_id"][:12])

    assert [window["state"] for window in planned] == ["missing", "missing"]
    assert (len(done["results"]), sum(result["written"] for result in done["results"])) == (2, 2)
    assert [result["group"] for result in everything] == ["stats"]
    assert output["run_id"] == runs[0]["run_id"]
    assert "name a group, or give --all" in refusal("materialize", *window, code=2)
    assert machine("runs", "abandon", output["run_id"], code=17)["error"]["message"].endswith("can be abandoned")
