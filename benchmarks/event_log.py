"""Read Spark's event log: bytes shuffled and spilled, CPU and garbage collection of tasks in a span of time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# One uncompressed file per application.
PROPERTIES = {
    "spark.eventLog.enabled": "true",
    "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false",
}


@dataclass(frozen=True)
class TaskTotals:
    """Sums over tasks; spilled bytes are those on disk."""

    shuffled_bytes: int
    spilled_bytes: int
    task_cpu_seconds: float
    gc_seconds: float


def read_tasks(folder: Path, since: float, until: float) -> TaskTotals:
    """The totals of the tasks launched between two moments (epoch seconds); the folder has one application's log."""
    [log] = [file for file in folder.iterdir() if not file.name.startswith(".")]
    tasks = list(_metrics(log, since * 1000, until * 1000))
    return TaskTotals(
        shuffled_bytes=sum(task["Shuffle Write Metrics"]["Shuffle Bytes Written"] for task in tasks),
        spilled_bytes=sum(task["Disk Bytes Spilled"] for task in tasks),
        task_cpu_seconds=sum(task["Executor CPU Time"] for task in tasks) / 1e9,
        gc_seconds=sum(task["JVM GC Time"] for task in tasks) / 1e3,
    )


def _metrics(log: Path, since: float, until: float) -> Iterator[dict[str, Any]]:
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line) if '"SparkListenerTaskEnd"' in line else {}
            if event and event.get("Task Metrics") and since <= event["Task Info"]["Launch Time"] <= until:
                yield event["Task Metrics"]
