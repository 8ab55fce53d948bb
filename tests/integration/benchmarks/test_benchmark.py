"""The benchmark of the as-of join: all engines on a small data set, and what it says where one is wrong or fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import typer

from benchmarks.arrow_answers import answers_of
from benchmarks.data import batches
from benchmarks.dataset import Dataset, Options, complete
from benchmarks.engines import ENGINES
from benchmarks.event_log import read_tasks
from benchmarks.goals import Goal, as_of_goals
from benchmarks.measure import Cost, Measurement
from benchmarks.page_cache import drop, read_through
from benchmarks.point_in_time import chosen_baseline, count, memory_bytes, spine_rows
from benchmarks.report import Report, as_json, described, write_report
from benchmarks.summary import DatasetResult, Spread, summarize
from benchmarks.turns import ProcessFailedError, Run, Turns, run_process
from tests.processes.waiting import PATIENCE

PROJECT = Path(__file__).parents[3]
OPTIONS = Options(rows=1_000, spine=200, keys=10)


def run(engine: str, seconds: float, total: float = 7.0, number: int = 1, peak_bytes: int = 1) -> Run:
    answers = {"rows": 200.0, "feature_1_1 sum": total}
    return Run(engine, number, Measurement(Cost(seconds, cpu_seconds=seconds, peak_bytes=peak_bytes), answers))


def point_in_time(options: str, folder: Path) -> dict[str, Any]:
    """The report on the one data set of a run of the benchmark, whose output is in the folder."""
    common = ["--rounds=1", "--memory=1g", "--cores=2", f"--data={folder / 'data'}", f"--output={folder / 'output'}"]
    done = subprocess.run(
        [sys.executable, PROJECT / "benchmarks" / "point_in_time.py", *options.split(), *common],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        # Short processes never earn back what the optimising compiler costs.
        env=os.environ | {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((folder / "output" / "point_in_time.json").read_text(encoding="utf-8"))
    [dataset] = report["datasets"]
    return dict(dataset)


def answers(dataset: dict[str, Any]) -> dict[str, str | None]:
    """Engine -> whether its answers are the same as the others'; None for one that was left out."""
    return {summary["engine"]: summary["answers"] for summary in dataset["summaries"]}


@pytest.mark.slow
def test_all_engines_give_the_same_answers(tmp_path: Path) -> None:
    options = "--rows 2k --columns 2 --groups 2 --skew 0.5 --key-type composite --ttl 30d --limit-memory 8g"

    dataset = point_in_time(options, tmp_path)

    assert answers(dataset) == {
        "in_process": "same",
        "in_tasks": "same",
        "by_shuffle": "same",
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
    assert [goal["name"] for goal in dataset["goals"]] == [
        "in_tasks / tempo",
        "in_process / the faster of duckdb and polars",
        "in_process: peak memory",
    ]
    output = tmp_path / "output"
    assert (output / "point_in_time.png").read_bytes().startswith(b"\x89PNG")
    table = (output / "point_in_time.md").read_text(encoding="utf-8")
    assert "2 groups, each of 2,000 value rows x 2 doubles, 400 spine rows, 20 composite keys, TTL 30d" in table


@pytest.mark.slow
def test_our_hosts_leave_out_what_the_store_did_not_know(tmp_path: Path) -> None:
    options = "--rows 1k --columns 2 --late 0.5 --known-at event --engines in_process,by_shuffle,polars"

    dataset = point_in_time(options, tmp_path)

    assert answers(dataset) == {"in_process": "same", "by_shuffle": "same", "polars": None}
    assert 0 < dataset["answers"]["feature_1_1 count"] < 200, "some have a value, some none"


@pytest.mark.slow
def test_peers_skip_nulls_in_overlapping_batches_from_a_cold_disk(tmp_path: Path) -> None:
    options = "--rows 1k --columns 2 --null-share 0.3 --ttl 60d --batches 2 --cold --engines in_process,duckdb,polars"

    dataset = point_in_time(options, tmp_path)

    assert answers(dataset) == dict.fromkeys(["in_process", "duckdb", "polars"], "same")
    assert 0 < dataset["answers"]["feature_1_1 count"] < 200, "some have a value, some none"


def test_an_answer_that_differs_is_named() -> None:
    result = DatasetResult(OPTIONS, [run("in_tasks", 2.0), run("tempo", 3.0), run("duckdb", 1.0, total=8.0)], {})

    assert result.differences() == ["duckdb, round 1: feature_1_1 sum: 8.0 instead of 7.0"]
    assert [summary.answers for summary in summarize(result, result, "in_tasks")] == ["same", "same", "differ"]


def test_the_floor_is_not_compared() -> None:
    result = DatasetResult(OPTIONS, [run("shuffle_sort", 1.0, total=8.0), run("in_tasks", 2.0)], {})

    assert result.differences() == []
    assert [(summary.engine, summary.answers) for summary in summarize(result, result, "in_tasks")] == [
        ("in_tasks", "same"),
        ("shuffle_sort", "none"),
    ]


def test_ratios_are_of_the_same_round() -> None:
    rounds = [("in_tasks", 2.0, 1), ("tempo", 3.0, 1), ("tempo", 8.0, 2), ("in_tasks", 4.0, 2)]
    result = DatasetResult(OPTIONS, [run(engine, seconds, number=number) for engine, seconds, number in rounds], {})

    [ours, tempo] = summarize(result, result, "in_tasks")

    assert ours.ratio == Spread(1.0, 1.0, 1.0)
    assert tempo.ratio == Spread(median=1.75, min=1.5, max=2.0)


def test_ratios_are_to_the_chosen_engine() -> None:
    result = DatasetResult(OPTIONS, [run("in_process", 2.0), run("polars", 3.0)], {})

    assert [summary.ratio and summary.ratio.median for summary in summarize(result, result, "polars")] == [2 / 3, 1.0]


@pytest.mark.parametrize(
    ("engines", "baseline"),
    [(["in_process", "in_tasks", "tempo"], "in_tasks"), (["in_process", "polars"], "in_process"), (["tempo"], "tempo")],
)
def test_the_baseline_is_a_host_of_ours_if_one_runs(engines: list[str], baseline: str) -> None:
    assert chosen_baseline(None, engines) == baseline
    assert chosen_baseline(engines[0], engines) == engines[0]


def test_a_baseline_that_does_not_run_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="'in_tasks' is not among the engines that run: duckdb, polars"):
        chosen_baseline("in_tasks", ["duckdb", "polars"])


def test_goals_are_ratios_of_a_round_to_its_fastest_peer() -> None:
    rounds = {
        1: {"in_process": 2.0, "duckdb": 4.0, "polars": 5.0},
        2: {"in_process": 6.0, "duckdb": 9.0, "polars": 5.0},
    }
    runs = [run(engine, seconds, number=number) for number, each in rounds.items() for engine, seconds in each.items()]
    result = DatasetResult(OPTIONS, runs, {})

    [goal] = as_of_goals(result, result, memory_limit=None)

    assert goal.name == "in_process / the faster of duckdb and polars"
    assert goal.measured == Spread(median=(0.5 + 1.2) / 2, min=0.5, max=1.2)
    assert goal.is_met


def test_growth_and_memory_are_goals() -> None:
    first = DatasetResult(OPTIONS, [run("in_process", 1.0, peak_bytes=5)], {})
    runs = [run("in_process", 15.0, peak_bytes=70), run("in_process", 15.0, number=2, peak_bytes=90)]
    tenfold = DatasetResult(replace(OPTIONS, rows=10_000, spine=2_000), runs, {})

    goals = {
        goal.name: (goal.measured and goal.measured.median, goal.is_met) for goal in as_of_goals(tenfold, first, 80)
    }

    assert goals == {
        "in_process: time per row / that of 1,000 values": (1.5, False),
        "in_process: peak memory": (90, False),
    }


def test_a_goal_of_a_host_that_failed_is_not_met() -> None:
    result = DatasetResult(OPTIONS, [Run("in_tasks", 1, failure="out of memory"), run("tempo", 1.0)], {})

    [goal] = as_of_goals(result, result, memory_limit=None)

    assert goal.cells == ("in_tasks / tempo", "0.70", "failed", "not met")


def test_a_goal_in_the_report() -> None:
    assert Goal("one example", 30, Spread(12.0, 9.5, 40.0), "ms").cells == (
        "one example",
        "30 ms",
        "12 ms (9.5 ms - 40 ms)",
        "met",
    )


def test_time_a_row_is_compared_with_the_first_size() -> None:
    first = DatasetResult(OPTIONS, [run("in_tasks", 2.0)], {})
    tenfold = DatasetResult(replace(OPTIONS, rows=10_000, spine=2_000), [run("in_tasks", 22.0)], {})

    [summary] = summarize(tenfold, first, "in_tasks")

    assert summary.per_row == pytest.approx(1.1)


def test_a_failed_engine_is_reported_with_its_reason(tmp_path: Path) -> None:
    runs = [run("in_tasks", 2.0), Run("range_join", 1, failure="took longer than 600 s")]
    result = DatasetResult(OPTIONS, runs, {"polars": "takes the latest row"})

    report = Report([result], "in_tasks", {"cores": 2})
    write_report(report, tmp_path)

    document = json.loads((tmp_path / "point_in_time.json").read_text(encoding="utf-8"))
    assert document == as_json(report)
    assert {summary["engine"]: summary["failure"] for summary in document["datasets"][0]["summaries"]} == {
        "in_tasks": None,
        "range_join": "took longer than 600 s",
        "polars": "left out: takes the latest row",
    }
    assert "| took longer than 600 s |" in (tmp_path / "point_in_time.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        (OPTIONS, set()),
        (replace(OPTIONS, null_share=0.1, nulls="keep"), set()),
        (replace(OPTIONS, null_share=0.1), {"range_join"}),
        (replace(OPTIONS, null_share=0.1, ttl="30d"), {"tempo", "range_join"}),
        (replace(OPTIONS, known_at="event"), {"tempo", "range_join", "duckdb", "polars"}),
    ],
)
def test_engines_that_cannot_give_the_answers_are_left_out(options: Options, left_out: set[str]) -> None:
    assert {name for name, engine in ENGINES.items() if engine.left_out(options)} == left_out


def test_no_engine_that_can_give_the_answers_is_no_run(tmp_path: Path) -> None:
    assert Turns(3, 1, "1g", 60, False, tmp_path).take([], OPTIONS, print) == []


def test_answers_of_an_arrow_table() -> None:
    """Weights are the ids modulo 101; a timestamp counts by its microseconds, a text by its length."""
    table = pa.table(
        {
            "id": pa.array([1, 2, 103], pa.int64()),
            "name": pa.array(["a", None, "ccc"], pa.large_string()),
            "at": pa.array([5, 6, (1 << 20) + 7], pa.timestamp("us", "UTC")),
            "value": pa.array([1.0, 10.0, None], pa.float64()),
        }
    )

    answers = answers_of(table, {"id": "long", "name": "string", "at": "timestamp", "value": "double"})

    assert answers == {
        "rows": 3,
        "id count": 3,
        "id sum": 106,
        "id weighted": 1 + 4 + 206,
        "name count": 2,
        "name sum": 4,
        "name weighted": 1 + 6,
        "at count": 3,
        "at sum": 18,
        "at weighted": 5 + 12 + 14,
        "value count": 2,
        "value sum": 11,
        "value weighted": 21,
    }
    assert answers_of(table.slice(0, 0), {"value": "double"}) == {
        "rows": 0,
        "value count": 0,
        "value sum": 0,
        "value weighted": 0,
    }


def test_batches_by_time_follow_one_another_and_overlapping_ones_each_have_the_whole_time() -> None:
    assert [(each.start, each.stop, each.step) for each in batches(replace(OPTIONS, rows=12_000_000))] == [
        (0, 5_000_000, 1),
        (5_000_000, 10_000_000, 1),
        (10_000_000, 12_000_000, 1),
    ]
    assert [list(each) for each in batches(replace(OPTIONS, rows=7, batches=3))] == [[0, 3, 6], [1, 4], [2, 5]]


def test_how_a_data_set_is_asked_is_not_how_it_is_written(tmp_path: Path) -> None:
    """One data set serves both; late values make another one."""
    asked = replace(OPTIONS, known_at="event")
    complete(tmp_path, asked, [])

    assert asked.folder == OPTIONS.folder != replace(OPTIONS, late=0.5).folder
    assert Dataset.read(tmp_path).options == OPTIONS
    assert Dataset.read(tmp_path, "event").options == asked


def test_a_data_set_in_words() -> None:
    options = replace(OPTIONS, skew=0.5, null_share=0.3, batches=100, late=1.0, known_at="event")

    assert described(options) == (
        "1,000 value rows x 8 doubles, 200 spine rows, 10 long keys, TTL none, 50% of all rows on one key, 30% nulls, "
        "nulls: skip, 100 overlapping batches, 100% of the values late, known_at: event"
    )


def test_files_are_read_and_dropped_but_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")

    read_through([str(file)])
    drop([file])

    assert file.read_bytes() == b"content"


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


def test_spine_rows() -> None:
    assert [spine_rows(word, 1_000) for word in (None, "values", "3k")] == [200, 1_000, 3_000]


@pytest.mark.parametrize(("word", "size"), [("512m", 512 << 20), ("8g", 8 << 30)])
def test_sizes_of_memory_are_written_as_those_of_a_heap(word: str, size: int) -> None:
    assert memory_bytes(word) == size


@pytest.mark.parametrize("word", ["", "g", "8", "8.5g", "-8g", "8t"])
def test_an_invalid_size_of_memory_is_refused(word: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a size of memory; write it as 512m or 8g"):
        memory_bytes(word)
