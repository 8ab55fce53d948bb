"""The benchmark of the as-of join: all engines on a small data set, and what it says where one is wrong or fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from benchmarks.dataset import Options
from benchmarks.engines import ENGINES
from benchmarks.event_log import read_tasks
from benchmarks.measure import Measurement
from benchmarks.point_in_time import count
from benchmarks.report import DatasetResult, Spread, as_json, summarize, write_report
from benchmarks.turns import ProcessFailedError, Run, run_process
from tests.processes.waiting import PATIENCE

PROJECT = Path(__file__).parents[3]
OPTIONS = Options(rows=1_000, spine=200, keys=10)


def run(engine: str, seconds: float, total: float = 7.0, number: int = 1) -> Run:
    answers = {"rows": 200.0, "feature_1_1 sum": total}
    return Run(engine, number, Measurement(seconds, cpu_seconds=seconds, peak_bytes=1, answers=answers))


@pytest.mark.slow
def test_all_engines_give_the_same_answers(tmp_path: Path) -> None:
    command = (
        "--rows 2k --columns 2 --groups 2 --skew 0.5 --key-type composite --ttl 30d --rounds 1 --memory 1g --cores 2"
    )
    folders = ["--data", str(tmp_path / "data"), "--output", str(tmp_path / "output")]

    done = subprocess.run(
        [sys.executable, PROJECT / "benchmarks" / "point_in_time.py", *command.split(), *folders],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        # Six short processes never earn back what the optimising compiler costs.
        env=os.environ | {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1"},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "output" / "point_in_time.json").read_text(encoding="utf-8"))
    [dataset] = report["datasets"]
    assert {summary["engine"]: summary["answers"] for summary in dataset["summaries"]} == {
        "featurestore": "same",
        "shuffle_sort": "none",
        "tempo": "same",
        "range_join": "same",
        "duckdb": "same",
        "polars": "same",
    }
    assert dataset["differences"] == []
    assert dataset["answers"]["rows"] == 400
    assert 0 < dataset["answers"]["feature_2_1 count"] < 400, "some have a value, some none"
    for summary in dataset["summaries"]:
        assert summary["seconds"]["median"] > 0
        assert summary["peak_bytes"] > 0
        assert (summary["shuffled_bytes"] or 0) > 0 or not ENGINES[summary["engine"]].on_spark
    assert (tmp_path / "output" / "point_in_time.png").read_bytes().startswith(b"\x89PNG")
    table = (tmp_path / "output" / "point_in_time.md").read_text(encoding="utf-8")
    assert "2 groups, each of 2,000 value rows x 2 doubles, 400 spine rows, 20 composite keys, TTL 30d" in table


def test_an_answer_that_differs_is_named() -> None:
    result = DatasetResult(OPTIONS, [run("featurestore", 2.0), run("tempo", 3.0), run("duckdb", 1.0, total=8.0)], {})

    assert result.differences() == ["duckdb, round 1: feature_1_1 sum: 8.0 instead of 7.0"]
    assert [summary.answers for summary in summarize(result, result)] == ["same", "same", "differ"]


def test_the_floor_is_not_compared() -> None:
    result = DatasetResult(OPTIONS, [run("shuffle_sort", 1.0, total=8.0), run("featurestore", 2.0)], {})

    assert result.differences() == []
    assert [(summary.engine, summary.answers) for summary in summarize(result, result)] == [
        ("featurestore", "same"),
        ("shuffle_sort", "none"),
    ]


def test_ratios_are_of_the_same_round() -> None:
    rounds = [("featurestore", 2.0, 1), ("tempo", 3.0, 1), ("tempo", 8.0, 2), ("featurestore", 4.0, 2)]
    result = DatasetResult(OPTIONS, [run(engine, seconds, number=number) for engine, seconds, number in rounds], {})

    [ours, tempo] = summarize(result, result)

    assert ours.ratio == Spread(1.0, 1.0, 1.0)
    assert tempo.ratio == Spread(median=1.75, min=1.5, max=2.0)


def test_time_a_row_is_compared_with_the_first_size() -> None:
    first = DatasetResult(OPTIONS, [run("featurestore", 2.0)], {})
    tenfold = DatasetResult(replace(OPTIONS, rows=10_000, spine=2_000), [run("featurestore", 22.0)], {})

    [summary] = summarize(tenfold, first)

    assert summary.per_row == pytest.approx(1.1)


def test_a_failed_engine_is_reported_with_its_reason(tmp_path: Path) -> None:
    runs = [run("featurestore", 2.0), Run("range_join", 1, failure="took longer than 600 s")]
    result = DatasetResult(OPTIONS, runs, {"polars": "takes the latest row"})

    write_report([result], {"cores": 2}, tmp_path)

    report = json.loads((tmp_path / "point_in_time.json").read_text(encoding="utf-8"))
    assert report == as_json([result], {"cores": 2})
    assert {summary["engine"]: summary["failure"] for summary in report["datasets"][0]["summaries"]} == {
        "featurestore": None,
        "range_join": "took longer than 600 s",
        "polars": "left out: takes the latest row",
    }
    assert "| took longer than 600 s |" in (tmp_path / "point_in_time.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        (OPTIONS, set()),
        (replace(OPTIONS, null_share=0.1, nulls="keep"), set()),
        (replace(OPTIONS, null_share=0.1), {"range_join", "duckdb", "polars"}),
        (replace(OPTIONS, null_share=0.1, ttl="30d"), {"tempo", "range_join", "duckdb", "polars"}),
    ],
)
def test_engines_that_cannot_skip_nulls_are_left_out_where_there_are_nulls(
    options: Options, left_out: set[str]
) -> None:
    assert {name for name, engine in ENGINES.items() if engine.left_out(options)} == left_out


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailedError, match="took longer than 1 s"):
        run_process("timeit", ["-n1", "-r1", "import time; time.sleep(60)"], tmp_path / "log", timeout=1)


def test_the_reason_of_a_failed_run_is_its_error(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailedError, match=r"^ZeroDivisionError: division by zero$"):
        run_process("timeit", ["1 / 0"], tmp_path / "log", timeout=60)


def test_the_reason_of_a_failed_run_on_spark_is_the_error_of_the_jvm(tmp_path: Path) -> None:
    message = "py4j.protocol.Py4JJavaError: An error occurred while calling o1.\n: java.lang.IllegalStateException: full\n\tat a.b"
    statement = f"import sys; sys.exit({message!r})"

    with pytest.raises(ProcessFailedError, match=r"^java.lang.IllegalStateException: full$"):
        run_process("timeit", [statement], tmp_path / "log", timeout=60)


def test_only_tasks_of_the_measured_time_are_counted(tmp_path: Path) -> None:
    tasks = [_task(launched, shuffled) for launched, shuffled in [(999, 1), (1_000, 10), (2_000, 100), (2_001, 1_000)]]
    (tmp_path / "local-1").write_text('{"Event":"SparkListenerLogStart"}\n' + "\n".join(tasks), encoding="utf-8")

    totals = read_tasks(tmp_path, since=1.0, until=2.0)

    assert (totals.shuffled_bytes, totals.spilled_bytes, totals.task_cpu_seconds, totals.gc_seconds) == (110, 6, 4, 1)


def _task(launched: int, shuffled: int) -> str:
    metrics = {
        "Shuffle Write Metrics": {"Shuffle Bytes Written": shuffled},
        "Disk Bytes Spilled": 3,
        "Executor CPU Time": 2_000_000_000,
        "JVM GC Time": 500,
    }
    event = {"Event": "SparkListenerTaskEnd", "Task Info": {"Launch Time": launched}, "Task Metrics": metrics}
    return json.dumps(event, separators=(",", ":"))


@pytest.mark.parametrize(("word", "number"), [("2500", 2_500), ("20k", 20_000), ("1.5m", 1_500_000), ("1b", 10**9)])
def test_numbers_of_rows_are_written_short(word: str, number: int) -> None:
    assert count(word) == number


@pytest.mark.parametrize("word", ["", "k", "0", "-1", "1.5", "many"])
def test_an_invalid_number_of_rows_is_refused(word: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a number of rows; write it as 2500, 20k or 10m"):
        count(word)
