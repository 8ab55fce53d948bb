"""Aggregate by one engine once, in this process, and print the measurement as JSON on the last line.

``python -m benchmarks.window_measure REQUEST``, with the request as JSON. The clock starts with the call of the engine.
On one machine it stops at an Arrow table, from which the answers are computed afterwards; on Spark at the answers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.page_cache import read_through
from benchmarks.processes import usage
from benchmarks.window_data import WindowData
from benchmarks.window_engines import FUNCTIONS, ON_SPARK

Result = TypeVar("Result")
# By column: how many are not null, their sum, and the sum weighted by ``id % 101``.
Answers = dict[str, list[float]]


@dataclass(frozen=True)
class Request:
    """``window`` in microseconds; ``memory``: the JVM's heap, such as ``8g``."""

    engine: str
    folder: str
    window: int
    cores: int
    memory: str


@dataclass(frozen=True)
class Measurement:
    """``cpu_seconds`` and ``peak_bytes`` are those of all processes."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    answers: Answers


def measure(request: Request) -> Measurement:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: request.cores])
    data = WindowData(Path(request.folder))
    engine = import_module(f"benchmarks.window_engines.{request.engine}")
    read_through(data.files())
    if request.engine in ON_SPARK:
        return _on_spark(engine.aggregate, data, request)
    engine.first_look(data)
    table, seconds, cpu, peak = _timed(lambda: engine.aggregate(data, request.window, request.cores))
    return Measurement(seconds, cpu, peak, _answers(table))


def _on_spark(aggregate: Callable[..., Any], data: WindowData, request: Request) -> Measurement:
    from pyspark.sql import functions as F

    from benchmarks.spark import benchmark_session
    from featurestore import Settings

    properties = {"spark.master": f"local[{request.cores}]", "spark.driver.memory": request.memory}
    with benchmark_session(Settings(warehouse=str(data.folder / "warehouse")), **properties) as spark:
        spark.read.parquet(data.spine).limit(1).collect()
        weight = F.col("id") % 101

        def answers() -> Answers:
            sums = [
                number.alias(f"{name}_{kind}")
                for name in FUNCTIONS
                for kind, number in (
                    ("count", F.count(name)), ("sum", F.sum(name)), ("weighted", F.sum(F.col(name) * weight)),
                )
            ]  # fmt: skip
            row = aggregate(data, request.window, spark).agg(*sums).collect()[0]
            return {name: [float(row[f"{name}_{kind}"]) for kind in ("count", "sum", "weighted")] for name in FUNCTIONS}

        found, seconds, cpu, peak = _timed(answers)
        return Measurement(seconds, cpu, peak, found)


def _answers(table: Any) -> Answers:
    weights = table.column("id").to_numpy() % 101
    found = {}
    for name in FUNCTIONS:
        column = table.column(name)
        numbers = column.fill_null(0).to_numpy().astype(float)
        found[name] = [float(len(column) - column.null_count), float(numbers.sum()), float((numbers * weights).sum())]
    return found


def _timed(run: Callable[[], Result]) -> tuple[Result, float, float, int]:
    before = usage()
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    after = usage()
    return result, seconds, after.cpu_seconds - before.cpu_seconds, after.peak_bytes


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Request(**json.loads(sys.argv[1]))))))
