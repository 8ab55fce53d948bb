"""Measure joins of few spine rows with a large table, in this process and without Spark; see README.md.

python benchmarks/small_lookups.py --rows 50m
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.dataset import KeyType, Options
from benchmarks.goals import GOAL_COLUMNS, Goal, milliseconds, shown_bytes, shown_spread
from benchmarks.lookup_operations import SMALL, FilesRead, Lookups, Request
from benchmarks.point_in_time import count, machine
from benchmarks.report import described, markdown_table
from benchmarks.summary import Spread
from benchmarks.turns import run_process, write_dataset

_OUTPUT = Path("output") / "benchmark"
_GROUPS = 3
_SHARE_LIMIT = 0.05
_EXAMPLE_LIMIT_MS = 30.0


def main(
    rows: Annotated[str, typer.Option(help="Value rows of the large table")] = "50m",
    keys: Annotated[str | None, typer.Option(help="Distinct keys (default: rows / 100)")] = None,
    group_rows: Annotated[
        str | None, typer.Option(help="Value rows of each of three groups (default: rows / 10)")
    ] = None,
    key_type: Annotated[KeyType, typer.Option(help="Type of the join key")] = "long",
    batches: Annotated[
        int | None, typer.Option(min=1, help="Appends of all keys and times (default: by time, then optimized)")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Processes")] = 3,
    calls: Annotated[int, typer.Option(min=1, help="Calls of each small lookup in a process")] = 20,
    cores: Annotated[int, typer.Option(min=1, help="Cores")] = len(os.sched_getaffinity(0)),
    memory: Annotated[str, typer.Option(help="Heap of the JVM that writes the data sets")] = "8g",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds after which a process is killed")] = 1800.0,
    data: Annotated[Path, typer.Option(help="Folder of data sets, which are reused")] = _OUTPUT / "data",
    output: Annotated[Path, typer.Option(help="Folder for JSON and tables")] = _OUTPUT,
) -> None:
    """Measure small lookups and report; the exit code is 0 even if a goal is not met, because machines differ."""
    size = count(rows)
    table = _options(size, count(keys) if keys else max(1, size // 100), 1, key_type, batches)
    each = count(group_rows) if group_rows else max(1, size // 10)
    groups = _options(each, max(1, each // 100), _GROUPS, key_type, batches)
    console = Console(width=max(Console().width, 120))
    with console.status("writing the data sets, unless they exist"):
        large, several = (write_dataset(options, data.absolute(), memory) for options in (table, groups))
    request = json.dumps(asdict(Request(str(large), str(several), cores, calls)))
    processes = []
    for number in range(1, rounds + 1):
        log = data.absolute() / "logs" / f"lookups-{number}.log"
        printed = run_process("benchmarks.lookup_operations", [request], log, timeout)
        processes.append(Lookups.from_json(printed.splitlines()[-1]))
        console.print(f"  round {number} done", highlight=False)
    settings = machine(cores) | {"rounds": rounds, "calls": calls}
    write_report(processes, [table, groups], settings, output)
    console.print((output / "small_lookups.md").read_text(encoding="utf-8"), highlight=False, markup=False)
    console.print(f"JSON and tables are in {output}")


def _options(rows: int, keys: int, groups: int, key_type: KeyType, batches: int | None) -> Options:
    """The data set that ``point_in_time.py`` makes of the same options."""
    return Options(rows, max(1, rows // 5), keys, groups=groups, key_type=key_type, batches=batches)


def goals(processes: list[Lookups]) -> list[Goal]:
    """The share of a round is that of its process; an example counts with every call of all processes."""
    shares = [median(each.small_join) / each.whole_join for each in processes]
    examples = [seconds * 1000 for each in processes for seconds in each.one_example]
    return [
        Goal(f"{SMALL:,} examples / all examples", _SHARE_LIMIT, Spread.of(shares)),
        Goal(f"one example, {_GROUPS} groups", _EXAMPLE_LIMIT_MS, Spread.of(examples), "ms"),
    ]


def write_report(processes: list[Lookups], datasets: list[Options], settings: dict[str, object], folder: Path) -> None:
    """Write ``small_lookups.json`` and ``.md`` to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "settings": settings,
        "datasets": [asdict(options) for options in datasets],
        "goals": [goal.as_json() for goal in goals(processes)],
        "processes": [asdict(each) for each in processes],
    }
    (folder / "small_lookups.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    lines = [
        ", ".join(f"{name} {value}" for name, value in settings.items()),
        "",
        *(f"- {described(options)}" for options in datasets),
        "",
        *markdown_table(("join in process", "time"), _times(processes)),
        "",
        *markdown_table(GOAL_COLUMNS, [goal.cells for goal in goals(processes)]),
        "",
        *markdown_table(("spine", "bytes read", "row groups opened"), _reads(processes[-1].files_read)),
    ]
    (folder / "small_lookups.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _times(processes: list[Lookups]) -> list[tuple[str, str]]:
    times = {
        f"one example, {_GROUPS} groups": [seconds for each in processes for seconds in each.one_example],
        f"{SMALL:,} examples": [seconds for each in processes for seconds in each.small_join],
        "all examples": [each.whole_join for each in processes],
        "no join: read the columns of all values": [each.whole_read for each in processes],
    }
    return [
        (name, shown_spread(Spread.of([second * 1000 for second in seconds]), milliseconds))
        for name, seconds in times.items()
    ]


def _reads(files_read: dict[str, FilesRead]) -> list[tuple[str, str, str]]:
    return [(name, shown_bytes(read.bytes), f"{read.row_groups:,}") for name, read in files_read.items()]


if __name__ == "__main__":
    typer.run(main)
