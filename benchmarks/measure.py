"""Run one engine once, in this process, and print the measurement as JSON on the last line.

``python -m benchmarks.measure REQUEST``, with the request as JSON. The clock starts with the call of the engine. On
Spark it stops at the answers, which consume the whole result. On one machine it stops at the joined rows, an Arrow
table, and the answers are computed from these afterwards. It excludes imports, the start of the session and a first
look at the files.
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
from types import ModuleType
from typing import TypeVar

from benchmarks import event_log
from benchmarks.answers import Answers
from benchmarks.dataset import Dataset, KnownAt
from benchmarks.engines import ENGINES
from benchmarks.event_log import TaskTotals
from benchmarks.page_cache import drop, read_through
from benchmarks.processes import usage

Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """One run.

    - ``engine``; ``folder`` of the data set; ``known_at``, as in its options;
    - ``cores``; ``memory``, the JVM's heap such as ``8g``;
    - ``cold``: whether the files are dropped from memory before the run, or read into it.
    """

    engine: str
    folder: str
    known_at: KnownAt
    cores: int
    memory: str
    cold: bool


@dataclass(frozen=True)
class Cost:
    """``cpu_seconds`` and ``peak_bytes`` are those of all processes, including planning and compilation."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Measurement:
    """One run's cost and answers; only Spark has ``tasks``."""

    cost: Cost
    answers: Answers
    tasks: TaskTotals | None = None

    @property
    def seconds(self) -> float:
        return self.cost.seconds

    @classmethod
    def from_json(cls, line: str) -> Measurement:
        fields = json.loads(line)
        tasks = fields["tasks"]
        return cls(Cost(**fields["cost"]), fields["answers"], None if tasks is None else TaskTotals(**tasks))


def measure(request: Request) -> Measurement:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: request.cores])
    dataset = Dataset.read(Path(request.folder), request.known_at)
    engine = import_module(f"benchmarks.engines.{request.engine}")
    if ENGINES[request.engine].on_spark:
        return _on_spark(engine, dataset, request)
    return _on_one_machine(engine, dataset, request)


def _on_one_machine(engine: ModuleType, dataset: Dataset, request: Request) -> Measurement:
    # Imported here, because engines on Spark need it as little as these need Spark.
    from benchmarks.arrow_answers import answers_of

    engine.first_look(dataset)
    _prepare(dataset, request)
    table, cost = _timed(lambda: engine.join(dataset))
    if "pyspark" in sys.modules:
        raise RuntimeError(f"{request.engine} loaded Spark, so this is not the cost without it")
    return Measurement(cost, answers_of(table, dataset.options.output_columns))


def _on_spark(engine: ModuleType, dataset: Dataset, request: Request) -> Measurement:
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
            _prepare(dataset, request)
            started = time.time()
            answers, cost = _timed(lambda: engine.run(dataset, spark))
            ended = time.time()
        return Measurement(cost, answers, event_log.read_tasks(Path(log), started, ended))


def _prepare(dataset: Dataset, request: Request) -> None:
    """So that no engine waits for the disk, or each does for all files."""
    if request.cold:
        drop(file for file in dataset.folder.rglob("*") if file.is_file())
    else:
        read_through([*dataset.spine_files, *(file for group in dataset.groups for file in group.files)])


def _timed(run: Callable[[], Result]) -> tuple[Result, Cost]:
    before = usage()
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    after = usage()
    return result, Cost(seconds, after.cpu_seconds - before.cpu_seconds, after.peak_bytes)


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Request(**json.loads(sys.argv[1]))))))
