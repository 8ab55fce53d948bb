"""Run one engine once, in this process, and print the measurement as JSON on the last line.

``python -m benchmarks.measure REQUEST``, with the request as JSON. The clock runs from the call of the engine to its
answers. It excludes imports, the start of the session, and one read of all files, which brings them into memory for
every engine.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from benchmarks import event_log
from benchmarks.answers import Answers
from benchmarks.dataset import Dataset
from benchmarks.engines import ENGINES
from benchmarks.event_log import TaskTotals
from benchmarks.processes import usage


@dataclass(frozen=True)
class Request:
    """One run: the engine, the folder of the data set, the cores, and ``memory``, the JVM's heap such as ``8g``."""

    engine: str
    folder: str
    cores: int
    memory: str


@dataclass(frozen=True)
class Measurement:
    """One run's numbers.

    ``cpu_seconds`` are those of all its processes, including planning and compilation; only Spark has ``tasks``.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    answers: Answers
    tasks: TaskTotals | None = None

    @classmethod
    def from_json(cls, line: str) -> Measurement:
        fields = json.loads(line)
        tasks = fields.pop("tasks")
        return cls(**fields, tasks=None if tasks is None else TaskTotals(**tasks))


def measure(request: Request) -> Measurement:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: request.cores])
    dataset = Dataset.read(Path(request.folder))
    run = import_module(f"benchmarks.engines.{request.engine}").run
    read_through(dataset)
    if ENGINES[request.engine].on_spark:
        return _on_spark(run, dataset, request)
    return _timed(lambda: run(dataset))


def read_through(dataset: Dataset) -> None:
    """Read every file once, so that no engine has to wait for the disk."""
    for name in [*dataset.spine_files, *(file for group in dataset.groups for file in group.files)]:
        with Path(name).open("rb") as file:
            while file.read(1 << 22):
                pass


def _timed(run: Callable[[], Answers]) -> Measurement:
    before = usage()
    start = time.perf_counter()
    answers = run()
    seconds = time.perf_counter() - start
    after = usage()
    return Measurement(seconds, after.cpu_seconds - before.cpu_seconds, after.peak_bytes, answers)


def _on_spark(run: Callable[..., Answers], dataset: Dataset, request: Request) -> Measurement:
    # Imported here, because DuckDB and Polars are measured in a process without Spark.
    from benchmarks.spark import benchmark_session
    from featurestore import Settings

    with tempfile.TemporaryDirectory() as log:
        properties = {
            "spark.master": f"local[{request.cores}]",
            "spark.driver.memory": request.memory,
            "spark.eventLog.dir": Path(log).as_uri(),
            **event_log.PROPERTIES,
        }
        with benchmark_session(Settings(warehouse=dataset.warehouse), **properties) as spark:
            # Reading both formats once loads their classes.
            for group in dataset.groups:
                spark.read.format("delta").load(group.table).limit(1).collect()
            spark.read.parquet(dataset.spine).limit(1).collect()
            started = time.time()
            measured = _timed(lambda: run(dataset, spark))
            ended = time.time()
        tasks = event_log.read_tasks(Path(log), started, ended)
    return Measurement(measured.seconds, measured.cpu_seconds, measured.peak_bytes, measured.answers, tasks)


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Request(**json.loads(sys.argv[1]))))))
