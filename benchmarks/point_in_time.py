"""Compare the as-of join with its peers on the same rows, turn by turn; see README.md.

python benchmarks/point_in_time.py --rows 1m,10m,50m
"""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.dataset import KeyType, KnownAt, Nulls, Options
from benchmarks.engines import ENGINES
from benchmarks.report import Report, described, terminal_tables, write_report
from benchmarks.summary import DatasetResult
from benchmarks.turns import Run, Turns, write_dataset
from featurestore.definitions.values.durations import parse_duration
from featurestore.session import check_java

_OUTPUT = Path("output") / "benchmark"
_TABLE_WIDTH = 132
_UNITS = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
_BYTES = {"m": 1 << 20, "g": 1 << 30}
# The engines to which ratios are, if they run: the best first.
_BASELINES = ("in_tasks", "in_process", "by_shuffle")


def count(word: str) -> int:
    """A number of rows, such as ``2500``, ``20k`` or ``1.5m``."""
    unit = _UNITS.get(word[-1:].lower(), 1)
    try:
        number = float(word[:-1] if unit > 1 else word) * unit
    except ValueError:
        number = 0
    if number < 1 or number != int(number):
        raise typer.BadParameter(f"{word!r} is not a number of rows; write it as 2500, 20k or 10m")
    return int(number)


def spine_rows(word: str | None, values: int) -> int:
    """The spine rows for this many values: a number, ``values`` for as many, None for a fifth."""
    if word is None:
        return max(1, values // 5)
    return values if word == "values" else count(word)


def memory_bytes(word: str) -> int:
    """Bytes, written as the heap of a JVM: ``512m`` or ``8g``."""
    unit = _BYTES.get(word[-1:].lower())
    if unit is None or not word[:-1].isdecimal():
        raise typer.BadParameter(f"{word!r} is not a size of memory; write it as 512m or 8g")
    return int(word[:-1]) * unit


def chosen_baseline(name: str | None, engines: list[str]) -> str:
    if name is None:
        return next(engine for engine in (*_BASELINES, *engines) if engine in engines)
    if name not in engines:
        raise typer.BadParameter(f"{name!r} is not among the engines that run: {', '.join(engines)}")
    return name


def chosen_engines(names: str) -> list[str]:
    chosen = list(ENGINES) if names == "all" else names.split(",")
    unknown = [name for name in chosen if name not in ENGINES]
    if unknown:
        raise typer.BadParameter(f"{unknown} are not engines; possible: all, {', '.join(ENGINES)}")
    return chosen


def lifetime(word: str) -> str | None:
    if word == "none":
        return None
    try:
        parse_duration(word)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return word


def main(
    rows: Annotated[str, typer.Option(help="Value rows of a group: one or more sizes, such as 1m,10m,50m")] = "1m",
    spine: Annotated[
        str | None, typer.Option(help="Spine rows, or the word values for as many (default: rows / 5)")
    ] = None,
    keys: Annotated[str | None, typer.Option(help="Distinct keys (default: rows / 100)")] = None,
    columns: Annotated[int, typer.Option(min=1, help="Features of a group")] = 8,
    groups: Annotated[int, typer.Option(min=1, help="Feature groups")] = 1,
    skew: Annotated[float, typer.Option(min=0, max=1, help="Share of all rows that one key has")] = 0.0,
    key_type: Annotated[KeyType, typer.Option(help="Type of the join key")] = "long",
    ttl: Annotated[str, typer.Option(help="How long a value counts, such as 30d; or none")] = "none",
    nulls: Annotated[Nulls, typer.Option(help="The groups' null policy")] = "skip",
    null_share: Annotated[float, typer.Option(min=0, max=0.99, help="Share of the values that are null")] = 0.0,
    batches: Annotated[
        int | None,
        typer.Option(
            min=1, help="Appends of all keys and times, left as they are (default: appends by time, then optimized)"
        ),
    ] = None,
    late: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the values that the store learns after all of them")
    ] = 0.0,
    known_at: Annotated[
        KnownAt, typer.Option(help="event: only values that the store knew at each example's time")
    ] = "none",
    seed: Annotated[int, typer.Option(help="Seed of the rows")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="How often each engine is run")] = 3,
    engines: Annotated[str, typer.Option(help="all, or names separated by commas")] = "all",
    baseline: Annotated[
        str | None, typer.Option(help=f"The engine that ratios are to (default: {', else '.join(_BASELINES)})")
    ] = None,
    cold: Annotated[bool, typer.Option("--cold", help="Drop the files from memory before each run")] = False,
    limit_memory: Annotated[str | None, typer.Option(help="A goal: the most memory of in_process, such as 8g")] = None,
    cores: Annotated[int, typer.Option(min=1, help="Cores for each engine")] = len(os.sched_getaffinity(0)),
    memory: Annotated[str, typer.Option(help="Heap of Spark's JVM")] = "8g",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds after which a run is killed")] = 1800.0,
    data: Annotated[Path, typer.Option(help="Folder of data sets, which are reused")] = _OUTPUT / "data",
    output: Annotated[Path, typer.Option(help="Folder for JSON, table and picture")] = _OUTPUT,
) -> None:
    """Run the as-of join's engines on the same rows, check that their answers are the same, and report."""
    sizes = [count(word) for word in rows.split(",")]
    datasets = [
        Options(
            rows=size,
            spine=spine_rows(spine, size),
            keys=count(keys) if keys else max(1, size // 100),
            columns=columns,
            groups=groups,
            skew=skew,
            key_type=key_type,
            ttl=lifetime(ttl),
            nulls=nulls,
            null_share=null_share,
            batches=batches,
            late=late,
            known_at=known_at,
            seed=seed,
        )
        for size in sizes
    ]
    # A narrower table would cut its cells, as in the 80 columns that rich assumes for a file.
    console = Console(width=max(Console().width, _TABLE_WIDTH))
    turns = Turns(rounds, cores, memory, timeout, cold, data.absolute())
    chosen = chosen_engines(engines)
    against = chosen_baseline(baseline, chosen)
    limit = memory_bytes(limit_memory) if limit_memory else None
    results = [_measured(options, chosen, turns, console) for options in datasets]
    report = Report(results, against, settings(turns, chosen), limit)
    write_report(report, output)
    for table in terminal_tables(report):
        console.print(table)
    console.print(f"JSON, tables and picture are in {output}")
    raise typer.Exit(code=_report_faults(results, console))


def _measured(options: Options, engines: list[str], turns: Turns, console: Console) -> DatasetResult:
    console.print(f"[bold]{described(options)}[/bold]")
    reasons = {name: ENGINES[name].left_out(options) for name in engines}
    left_out = {name: reason for name, reason in reasons.items() if reason is not None}
    able = [name for name in engines if name not in left_out]
    with console.status("writing the data set, unless it exists"):
        write_dataset(options, turns.data, turns.memory)

    def report(run: Run) -> None:
        took = f"{run.measurement.seconds:.2f} s" if run.measurement else f"failed: {run.failure}"
        console.print(f"  round {run.round}  {run.engine:<14}{took}", highlight=False, markup=False)

    return DatasetResult(options, turns.take(able, options, report), left_out)


def settings(turns: Turns, engines: list[str]) -> dict[str, Any]:
    """The settings that the numbers depend on besides the data: the machine, its software, and the way of running."""
    return {
        **machine(turns.cores),
        "heap": turns.memory,
        "rounds": turns.rounds,
        "files": "cold" if turns.cold else "warm",
        "Java": check_java(),
        **{package: _version(package) for package in ["pyspark", "delta-spark", *_packages(engines)]},
    }


def machine(cores: int) -> dict[str, object]:
    """The cores that are used, the memory that there is, and the Python that runs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return {"cores": cores, "memory": f"{memory:.0f} GiB", "Python": platform.python_version()}


def _packages(engines: list[str]) -> list[str]:
    return sorted({ENGINES[name].package for name in engines} - {"pyspark"})


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _report_faults(results: list[DatasetResult], console: Console) -> int:
    """Print where engines differ or one of ours failed; returns the exit code, 1 if there are such faults, else 0."""
    faults = [difference for result in results for difference in result.differences()]
    faults += [
        f"{run.engine} failed: {run.failure}"
        for result in results
        for run in result.runs
        if run.failure and ENGINES[run.engine].is_ours
    ]
    if faults:
        console.print(f"[bold red]WRONG[/bold red]: {len(faults)} differences or failures")
        for line in faults[:20]:
            console.print(f"  {line}", highlight=False, markup=False)
    return 1 if faults else 0


if __name__ == "__main__":
    typer.run(main)
