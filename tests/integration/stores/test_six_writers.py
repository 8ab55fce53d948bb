"""Six processes append to one table on a local disk at once, three by Spark and three without: no commit is lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.writer_lock import WriterLock
from tests.processes import table_writer
from tests.processes.waiting import PATIENCE

# The seconds for which they write.
SECONDS = os.environ.get("SECONDS_OF_SIX_WRITERS", "60")
# To see the test fail: "apart" gives each process a lock of its own, as if there were none.
LOCKS = os.environ.get("LOCKS_OF_SIX_WRITERS", "shared")
ENGINES = ["Spark", "delta-rs"] * 3


@pytest.mark.slow
def test_every_commit_of_six_processes_is_there_once(tmp_path: Path) -> None:
    table = NativeTable(str(tmp_path / "table"), WriterLock(tmp_path / "locks" / "table.lock", 60.0))
    table.create(table_writer.SCHEMA)
    processes = [start(tmp_path, place, engine) for place, engine in enumerate(ENGINES)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", (tmp_path / "errors").read_text()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("begin\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * 6, (tmp_path / "errors").read_text()
    by_writer: list[list[str]] = [json.loads(answer) for answer in answers]
    written = sorted(marker for markers in by_writer for marker in markers)
    assert all(markers for markers in by_writer), f"a writer starved: {list(map(len, by_writer))}"

    log = tmp_path / "table" / "_delta_log"
    versions = sorted(int(file.stem) for file in log.iterdir() if re.fullmatch(r"\d{20}\.json", file.name))
    assert versions == list(range(len(written) + 1))
    committed = sorted(str(commit.user_metadata) for commit in table.history() if commit.version > 0)
    assert Counter(written) - Counter(committed) == {}, "lost"
    assert committed == written
    assert sorted(table.read().column("marker").to_pylist()) == written


def start(folder: Path, place: int, engine: str) -> subprocess.Popen[str]:
    lock = folder / "locks" / ("table.lock" if LOCKS == "shared" else f"table{place}.lock")
    words = [engine, folder / "table", lock, f"{engine} {place}", SECONDS]
    with (folder / "errors").open("a") as errors:
        return subprocess.Popen(
            [sys.executable, table_writer.__file__, *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
