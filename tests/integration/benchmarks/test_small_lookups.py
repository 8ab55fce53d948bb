"""The benchmark of small lookups: its goals and its report; the lookups themselves on tiny tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.dataset import Options
from benchmarks.lookup_operations import FilesRead, Lookups
from benchmarks.small_lookups import goals, write_report
from benchmarks.turns import run_process, write_dataset
from tests.processes.waiting import PATIENCE

FIRST = Lookups([0.4, 0.2, 0.3], [0.010, 0.020], 10.0, 4.0, {"one key": FilesRead(1_000_000, 12)})
SECOND = Lookups([0.5], [0.060], 5.0, 4.0, {"one key": FilesRead(1_000_000, 12)})


def test_goals_of_small_lookups() -> None:
    [share, example] = goals([FIRST, SECOND])

    assert share.cells == ("1,000 examples / all examples", "0.05", "0.065 (0.03 - 0.10)", "not met")
    assert example.cells == ("one example, 3 groups", "30 ms", "20 ms (10 ms - 60 ms)", "met")


def test_the_report_of_small_lookups(tmp_path: Path) -> None:
    write_report([FIRST, SECOND], [Options(rows=1_000, spine=200, keys=10)], {"cores": 2}, tmp_path)

    document = json.loads((tmp_path / "small_lookups.json").read_text(encoding="utf-8"))
    assert [goal["met"] for goal in document["goals"]] == [False, True]
    table = (tmp_path / "small_lookups.md").read_text(encoding="utf-8")
    assert "| one key | 1.0 MB | 12 |" in table
    assert "| all examples | 7.5 s (5.0 s - 10.0 s) |" in table


@pytest.mark.slow
def test_lookups_run_without_spark(tmp_path: Path) -> None:
    folders = [
        str(write_dataset(Options(rows=1_000, spine=200, keys=10, columns=2, groups=groups), tmp_path / "data", "1g"))
        for groups in (1, 3)
    ]
    request = json.dumps({"table": folders[0], "groups": folders[1], "cores": 2, "calls": 2})

    printed = run_process("benchmarks.lookup_operations", [request], tmp_path / "log", PATIENCE)

    lookups = Lookups.from_json(printed.splitlines()[-1])
    assert len(lookups.small_join) == len(lookups.one_example) == 2
    assert min(lookups.whole_join, lookups.whole_read) > 0
    assert list(lookups.files_read) == ["one key", "1,000 keys", "all keys"]
