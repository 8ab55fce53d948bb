"""Compare windowed features with their peers on the same rows, turn by turn; see README.md.

python benchmarks/windowed_features.py --rows 10m
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isclose
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.goals import GOAL_COLUMNS, Goal, short, shown_bytes, shown_spread
from benchmarks.point_in_time import count, machine
from benchmarks.report import markdown_table
from benchmarks.summary import Spread
from benchmarks.turns import ProcessFailedError, run_process
from benchmarks.window_data import WINDOWS, WindowData
from benchmarks.window_engines import ENGINES, OURS
from benchmarks.window_measure import Measurement, Request

_OUTPUT = Path("output") / "benchmark"
# The cost of the longest window divided by that of the shortest, and ours divided by a peer's.
_GROWTH_LIMIT, _PEER_LIMIT = 1.3, 1.0
# Sums of doubles that are added in another order differ in their last digits.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Run:
    """One engine's turn at one window in one round: a measurement, or the reason why there is none."""

    engine: str
    window: str
    round: int
    measurement: Measurement | None = None
    failure: str | None = None


def main(
    rows: Annotated[str, typer.Option(help="Events, such as 1m")] = "1m",
    spine: Annotated[str | None, typer.Option(help="Examples; default: a fifth of the events")] = None,
    keys: Annotated[str | None, typer.Option(help="Distinct keys; default: a hundredth of the events")] = None,
    engines: Annotated[str, typer.Option(help=f"'all', or some of {', '.join(ENGINES)}")] = "all",
    windows: Annotated[str, typer.Option(help=f"Some of {', '.join(WINDOWS)}")] = ",".join(WINDOWS),
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds")] = 3,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds after which a run is stopped")] = 1800.0,
    cores: Annotated[int, typer.Option(min=1, help="Cores for each engine")] = len(os.sched_getaffinity(0)),
    memory: Annotated[str, typer.Option(help="Heap of Spark's JVM")] = "8g",
    seed: Annotated[int, typer.Option(help="Different rows of the same kind")] = 0,
    data: Annotated[Path, typer.Option(help="Folder of data sets, which are reused")] = _OUTPUT / "data",
    output: Annotated[Path, typer.Option(help="Folder for JSON and tables")] = _OUTPUT,
) -> None:
    """Run all engines in turns and report; the exit code is 1 if answers differ or ours failed, else 0."""
    size = count(rows)
    examples, users = count(spine) if spine else max(1, size // 5), count(keys) if keys else max(1, size // 100)
    chosen = list(ENGINES) if engines == "all" else engines.split(",")
    console = Console(width=max(Console().width, 132))
    made = WindowData.make(size, examples, users, seed, data.absolute())
    runs: list[Run] = []
    for number in range(rounds):
        first = number % len(chosen)
        for window in windows.split(","):
            for engine in [*chosen[first:], *chosen[:first]]:
                if any(run.failure for run in runs if (run.engine, run.window) == (engine, window)):
                    continue
                request = Request(engine, str(made.folder), WINDOWS[window], cores, memory)
                runs.append(_run(request, window, number + 1, data.absolute() / "logs", timeout))
                console.print(f"  round {number + 1}, {window}, {engine}: {_cost(runs[-1])}", highlight=False)
    faults = differences(runs)
    settings = machine(cores) | {"events": f"{size:,}", "examples": f"{examples:,}", "keys": f"{users:,}"}
    write_report(runs, settings, output)
    console.print((output / "windowed_features.md").read_text(encoding="utf-8"), highlight=False, markup=False)
    for fault in faults:
        console.print(f"answers differ: {fault}")
    raise typer.Exit(1 if faults or any(run.failure for run in runs if run.engine == OURS) else 0)


def _run(request: Request, window: str, number: int, logs: Path, timeout: float) -> Run:
    log = logs / f"windows-{request.engine}-{window}-{number}.log"
    try:
        printed = run_process("benchmarks.window_measure", [json.dumps(asdict(request))], log, timeout)
    except ProcessFailedError as error:
        return Run(request.engine, window, number, failure=str(error))
    return Run(request.engine, window, number, Measurement(**json.loads(printed.splitlines()[-1])))


def _cost(run: Run) -> str:
    measured = run.measurement
    return run.failure or "" if measured is None else f"{measured.seconds:.2f} s, CPU {measured.cpu_seconds:.2f} s"


def differences(runs: Sequence[Run]) -> list[str]:
    """One line per run and column whose answers are not those of the window's first run."""
    found = []
    for window in {run.window for run in runs}:
        measured = [run for run in runs if run.window == window and run.measurement]
        for run in measured:
            expected, answers = (each.measurement.answers for each in (measured[0], run) if each.measurement)
            found += [
                f"{window}, {run.engine}, round {run.round}: {name} {answers[name]}, not {numbers}"
                for name, numbers in expected.items()
                if not all(map(_is_close, numbers, answers[name]))
            ]
    return found


def _is_close(number: float, other: float) -> bool:
    return isclose(number, other, rel_tol=_TOLERANCE)


def ratios(runs: Sequence[Run], engine: str, window: str, to: tuple[str, str], of: str) -> Spread | None:
    """A cost of an engine at a window, divided by that of an engine at a window in the same round."""
    costs = {(run.engine, run.window, run.round): getattr(run.measurement, of) for run in runs if run.measurement}
    rounds = {number for _, _, number in costs}
    found = [
        costs[engine, window, number] / costs[*to, number]
        for number in rounds
        if (engine, window, number) in costs and (*to, number) in costs
    ]
    return Spread.of(found) if found else None


def goals(runs: Sequence[Run]) -> list[Goal]:
    windows = list(dict.fromkeys(run.window for run in runs))
    peers = [name for name in dict.fromkeys(run.engine for run in runs) if name != OURS]
    growth = ratios(runs, OURS, windows[-1], (OURS, windows[0]), "cpu_seconds")
    against = [
        Goal(f"{window}: {OURS} / {peer}", _PEER_LIMIT, found)
        for window in windows
        for peer in peers
        if (found := ratios(runs, OURS, window, (peer, window), "seconds"))
    ]
    if len(windows) > 1:
        against.append(Goal(f"CPU of {windows[-1]} / {windows[0]}", _GROWTH_LIMIT, growth))
    return against


def write_report(runs: Sequence[Run], settings: dict[str, object], folder: Path) -> None:
    """Write ``windowed_features.json`` and ``.md`` to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "settings": settings,
        "goals": [each.as_json() for each in goals(runs)],
        "runs": [asdict(run) for run in runs],
    }
    (folder / "windowed_features.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    columns = ("window", "engine", f"x {OURS}", f"CPU x {OURS}", "CPU x its shortest window", "peak memory", "failure")
    lines = [
        ", ".join(f"{name} {value}" for name, value in settings.items()),
        "",
        *markdown_table(columns, _rows(runs)),
        "",
        *markdown_table(GOAL_COLUMNS, [goal.cells for goal in goals(runs)]),
    ]
    (folder / "windowed_features.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    pairs = list(dict.fromkeys((run.window, run.engine) for run in runs))
    shortest = pairs[0][0]
    rows: list[tuple[str, ...]] = []
    for window, engine in sorted(pairs, key=lambda pair: (list(WINDOWS).index(pair[0]), ENGINES.index(pair[1]))):
        own = [run for run in runs if (run.window, run.engine) == (window, engine)]
        peaks = [run.measurement.peak_bytes for run in own if run.measurement]
        rows.append(
            (
                window,
                engine,
                shown_spread(ratios(runs, engine, window, (OURS, window), "seconds"), short),
                shown_spread(ratios(runs, engine, window, (OURS, window), "cpu_seconds"), short),
                shown_spread(ratios(runs, engine, window, (engine, shortest), "cpu_seconds"), short),
                shown_bytes(int(median(peaks))) if peaks else "",
                next((run.failure for run in own if run.failure), "") or "",
            )
        )
    return rows


if __name__ == "__main__":
    typer.run(main)
