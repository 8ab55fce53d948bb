"""Measure what each operation costs on a tiny store, without Spark and with it, and commands as whole processes.

python benchmarks/fixed_costs.py

See README.md. On rows as few as here, all that is measured is what an operation costs before it does anything.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fixed_operations import TENANT, Request, Timed, make_store
from benchmarks.summary import Spread
from benchmarks.turns import run_process
from featurestore import Settings

_OUTPUT = Path("output") / "benchmark"
# Seconds that an operation may take on two quiet cores.
GOALS = {
    "open and list groups": 0.5,
    "read one value": 0.02,
    "write 1,000 dicts": 0.15,
    "apply ten definitions": 1.0,
    "featurestore groups list": 1.2,
    "featurestore get": 1.2,
    "featurestore stats": 1.2,
    "featurestore runs list": 1.2,
}
# A process that does nothing, and what this machine needs for it.
FLOOR = "python -c pass"
_COMMANDS = {
    "featurestore groups list": "groups list",
    "featurestore get": "get stats_0:score --entity user_id=u7 --at 2026-12-01T00:00:00Z",
    "featurestore stats": "stats",
    "featurestore runs list": "runs list",
}
_TIMEOUT = 1800.0
# What the processes of commands inherit is only this.
_ENVIRONMENT = ("PATH", "HOME", "PYTHONPATH", "JAVA_HOME", "LANG")


@dataclass(frozen=True)
class Cost:
    """One operation or command; seconds.

    - ``first``: the first call in its process; None for commands, each of which is a process of its own;
    - ``warm``: the calls after it; ``cpu``: CPU seconds of one of them, which other processes disturb less;
    - ``by_spark``: the same with ``small_tables="spark"``, divided by the median of ``warm``.
    """

    name: str
    first: float | None
    warm: Spread
    cpu: float
    by_spark: float | None = None

    @property
    def goal(self) -> float | None:
        return GOALS.get(self.name)


def measure_operations(folder: Path, calls: int, spark_calls: int) -> list[Cost]:
    """The operations in one process without Spark, and in another one by Spark; no ratios without ``spark_calls``."""
    by_spark = {timed.name: median(timed.warm) for timed in _timed(folder, "spark", spark_calls)} if spark_calls else {}
    return [
        Cost(
            timed.name,
            timed.first,
            Spread.of(timed.warm),
            timed.cpu,
            by_spark[timed.name] / median(timed.warm) if by_spark else None,
        )
        for timed in _timed(folder, "native", calls)
    ]


def _timed(folder: Path, small_tables: Literal["native", "spark"], calls: int) -> list[Timed]:
    own = folder / small_tables
    # Made here, so that what is first in the process that is measured is an operation.
    make_store(Settings(warehouse=str(own / "warehouse"), small_tables="native"))
    request = json.dumps(asdict(Request(str(own), small_tables, calls)))
    printed = run_process("benchmarks.fixed_operations", [request], own / "log", _TIMEOUT)
    return [Timed(**fields) for fields in json.loads(printed.splitlines()[-1])]


def measure_commands(folder: Path, processes: int) -> list[Cost]:
    """Each command as whole processes, one after the other, in turns."""
    settings = Settings(warehouse=str(folder / "commands"), small_tables="native")
    make_store(settings)
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | {
        "FEATURESTORE_WAREHOUSE": settings.warehouse,
        "FEATURESTORE_SMALL_TABLES": "native",
        "FEATURESTORE_TENANT": TENANT,
    }
    program = str(Path(sys.executable).with_name("featurestore"))
    commands = {FLOOR: [sys.executable, "-c", "pass"]}
    commands |= {name: [program, *words.split()] for name, words in _COMMANDS.items()}
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    # The first round reads files from the disk and is not counted.
    for number in range(processes + 1):
        for name, words in commands.items():
            measured = _run(words, environment, folder)
            if number:
                runs[name].append(measured)
    return [
        Cost(name, None, Spread.of([wall for wall, _ in each]), Spread.of([cpu for _, cpu in each]).median)
        for name, each in runs.items()
    ]


def _run(words: list[str], environment: dict[str, str], folder: Path) -> tuple[float, float]:
    """The seconds and CPU seconds of one process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, env=environment, cwd=folder, check=True, capture_output=True, timeout=_TIMEOUT)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(
    calls: Annotated[int, typer.Option(min=1, help="Calls of each operation, after the first")] = 20,
    spark_calls: Annotated[int, typer.Option(min=0, help="The same by Spark; 0 leaves Spark out")] = 3,
    processes: Annotated[int, typer.Option(min=1, help="Processes of each command")] = 20,
    output: Annotated[Path, typer.Option(help="Folder for JSON and table")] = _OUTPUT,
) -> None:
    """Measure fixed costs and report; the exit code is 0 whether or not the goals are met, because machines differ."""
    console = Console(width=max(Console().width, 120))
    with tempfile.TemporaryDirectory() as folder:
        console.print("operations ...")
        costs = measure_operations(Path(folder), calls, spark_calls)
        console.print("commands ...")
        costs += measure_commands(Path(folder), processes)
    table = _markdown(costs)
    console.print("\n".join(table), highlight=False, markup=False)
    settings = _settings(calls, spark_calls, processes)
    output.mkdir(parents=True, exist_ok=True)
    document = {"settings": settings, "costs": [asdict(cost) | {"goal": cost.goal} for cost in costs]}
    (output / "fixed_costs.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    header = ", ".join(f"{name} {value}" for name, value in settings.items())
    (output / "fixed_costs.md").write_text("\n".join([header, "", *table]) + "\n", encoding="utf-8")
    console.print(f"JSON and table are in {output}")


def _markdown(costs: list[Cost]) -> list[str]:
    rows = [
        (
            cost.name,
            "" if cost.first is None else _ms(cost.first),
            f"{_ms(cost.warm.median)} ({_ms(cost.warm.min)} - {_ms(cost.warm.max)})",
            _ms(cost.cpu),
            "" if cost.goal is None else _ms(cost.goal),
            "" if cost.by_spark is None else f"{cost.by_spark:.0f}",
        )
        for cost in costs
    ]
    names = ("operation", "first ms", "then ms", "CPU ms", "goal ms", "by Spark, times as long")
    return [f"| {' | '.join(names)} |", "| --- " * len(names) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g}" if seconds < 1 else f"{seconds * 1000:.0f}"


def _settings(calls: int, spark_calls: int, processes: int) -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    packages = ("deltalake", "pyarrow", "pyspark", "delta-spark")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "busy processes": f"{os.getloadavg()[0]:.0f}",
        "memory": f"{memory:.0f} GiB",
        "calls": calls,
        "calls by Spark": spark_calls,
        "processes": processes,
        "Python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


if __name__ == "__main__":
    typer.run(main)
