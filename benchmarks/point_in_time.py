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

from benchmarks.dataset import KeyType, Nulls, Options
from benchmarks.engines import ENGINES, OURS
from benchmarks.report import DatasetResult, described, terminal_table, write_report
from benchmarks.turns import Run, Turns, write_dataset
from featurestore.definitions.values.durations import parse_duration
from featurestore.session import check_java

_OUTPUT = Path("output") / "benchmark"
_TABLE_WIDTH = 132
_UNITS = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


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
    spine: Annotated[str | None, typer.Option(help="Spine rows  [default: rows / 5]")] = None,
    keys: Annotated[str | None, typer.Option(help="Distinct keys  [default: rows / 100]")] = None,
    columns: Annotated[int, typer.Option(min=1, help="Features of a group")] = 8,
    groups: Annotated[int, typer.Option(min=1, help="Feature groups")] = 1,
    skew: Annotated[float, typer.Option(min=0, max=1, help="Share of all rows that one key has")] = 0.0,
    key_type: Annotated[KeyType, typer.Option(help="Type of the join key")] = "long",
    ttl: Annotated[str, typer.Option(help="How long a value counts, such as 30d; or none")] = "none",
    nulls: Annotated[Nulls, typer.Option(help="The groups' null policy")] = "skip",
    null_share: Annotated[float, typer.Option(min=0, max=0.99, help="Share of the values that are null")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the rows")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="How often each engine is run")] = 3,
    engines: Annotated[str, typer.Option(help="all, or names separated by commas")] = "all",
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
            spine=count(spine) if spine else max(1, size // 5),
            keys=count(keys) if keys else max(1, size // 100),
            columns=columns,
            groups=groups,
            skew=skew,
            key_type=key_type,
            ttl=lifetime(ttl),
            nulls=nulls,
            null_share=null_share,
            seed=seed,
        )
        for size in sizes
    ]
    # A narrower table would cut its cells, as in the 80 columns that rich assumes for a file.
    console = Console(width=max(Console().width, _TABLE_WIDTH))
    turns = Turns(cores, memory, timeout, data.absolute() / "logs")
    chosen = chosen_engines(engines)
    results = [_measured(options, chosen, turns, rounds, data.absolute(), console) for options in datasets]
    write_report(results, settings(turns, rounds, chosen), output)
    for result in results:
        console.print(terminal_table(result, results[0]))
    console.print(f"JSON, table and picture are in {output}")
    raise typer.Exit(code=_report_faults(results, console))


def _measured(
    options: Options, engines: list[str], turns: Turns, rounds: int, data: Path, console: Console
) -> DatasetResult:
    console.print(f"[bold]{described(options)}[/bold]")
    reasons = {name: ENGINES[name].left_out(options) for name in engines}
    left_out = {name: reason for name, reason in reasons.items() if reason is not None}
    able = [name for name in engines if name not in left_out]
    with console.status("writing the data set, unless it exists"):
        folder = write_dataset(options, data)

    def report(run: Run) -> None:
        took = f"{run.measurement.seconds:.2f} s" if run.measurement else f"failed: {run.failure}"
        console.print(f"  round {run.round}  {run.engine:<14}{took}", highlight=False, markup=False)

    return DatasetResult(options, turns.take(able, folder, rounds, report), left_out)


def settings(turns: Turns, rounds: int, engines: list[str]) -> dict[str, Any]:
    """The settings that the numbers depend on besides the data: the machine, its software, and the way of running."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return {
        "cores": turns.cores,
        "memory": f"{memory:.0f} GiB",
        "heap": turns.memory,
        "rounds": rounds,
        "Python": platform.python_version(),
        "Java": check_java(),
        **{package: _version(package) for package in ["pyspark", "delta-spark", *_packages(engines)]},
    }


def _packages(engines: list[str]) -> list[str]:
    return sorted({ENGINES[name].package for name in engines} - {"pyspark"})


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _report_faults(results: list[DatasetResult], console: Console) -> int:
    """Print where engines differ or ours failed; returns the exit code, 1 if there are such faults, else 0."""
    faults = [difference for result in results for difference in result.differences()]
    faults += [f"{OURS} failed: {failure}" for result in results if (failure := result.failed(OURS))]
    if faults:
        console.print(f"[bold red]WRONG[/bold red]: {len(faults)} differences or failures")
        for line in faults[:20]:
            console.print(f"  {line}", highlight=False, markup=False)
    return 1 if faults else 0


if __name__ == "__main__":
    typer.run(main)
