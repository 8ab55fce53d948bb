"""Time the operations of a tiny store in this process, and print them as JSON on the last line.

``python -m benchmarks.fixed_operations REQUEST``, with the request as JSON. ``first`` is the first call of an operation
in the process, with the imports that it causes; the other calls follow it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Literal

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, Settings

TENANT = "acme"
_PROJECT = Path(__file__).parents[1]
_USER = Entity("user", join_keys={"user_id": "string"})
# With the entity, ten definitions.
_GROUPS = [
    FeatureGroup(f"stats_{n}", _USER, features=[Feature("score", "double", min=0), Feature("visits", "long")])
    for n in range(9)
]
_START = datetime(2026, 11, 1, tzinfo=UTC)
_END = _START + timedelta(days=30)


@dataclass(frozen=True)
class Request:
    """``folder``: has the ``warehouse``; ``small_tables``: the setting; ``calls`` of each operation after the first."""

    folder: str
    small_tables: Literal["native", "spark"]
    calls: int


@dataclass(frozen=True)
class Timed:
    """One operation: seconds of its first call and of each later one, and this process's CPU seconds per later call."""

    name: str
    first: float
    warm: list[float]
    cpu: float


def make_store(settings: Settings) -> None:
    """Make a store with ten definitions, a thousand rows of one group, and a run."""
    fs = FeatureStore.open(settings)
    fs.apply([_USER, *_GROUPS])
    store = fs.tenant(TENANT)
    store.write_batch("stats_0", _rows(), batch_id="first")
    store.cleanup(retention_days=365)


def _rows() -> list[dict[str, Any]]:
    return [
        {"user_id": f"u{n}", "event_timestamp": _START + timedelta(minutes=n % 60), "score": n / 4, "visits": n}
        for n in range(1000)
    ]


def operations(settings: Settings, folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each operation with its name. Reads come first: each write adds a file, which later reads would open."""
    warehouses, minutes = count(), count()
    store = FeatureStore.open(settings).tenant(TENANT)
    loader = FeatureDataLoader(store)
    entity, feature = {"user_id": "u7"}, "stats_0:score"

    def apply() -> object:
        fresh = settings.model_copy(update={"warehouse": str(folder / f"applied_{next(warehouses)}")})
        return FeatureStore.open(fresh).apply([_USER, *_GROUPS])

    yield "open and list groups", lambda: FeatureStore.open(settings).feature_groups()
    yield "read one value", lambda: store.get_feature_at_time(feature, entity, _END)
    yield "history of one feature", lambda: store.get_feature_history(feature, entity, _START, _END, to="arrow")
    yield "batch features, 1,000 rows", lambda: store.get_batch_features([feature], _START, _END, to="arrow")
    yield "stats", store.get_stats
    yield "cleanup, dry run", lambda: store.cleanup(retention_days=365, dry_run=True)
    yield "list of runs", lambda: store.latest_runs()
    yield "list of training sets", lambda: loader.list()
    yield "apply ten definitions", apply
    yield "write one value", lambda: store.write_feature_value(feature, entity, 0.5, _at(next(minutes)))
    yield "write 1,000 dicts", lambda: store.write_batch("stats_1", _rows())


def _at(minute: int) -> datetime:
    return _START + timedelta(minutes=minute)


def measure(request: Request) -> list[Timed]:
    folder = Path(request.folder)
    spark = {"spark.jars.ivy": str(_PROJECT / ".ivy"), "spark.ui.showConsoleProgress": "false"}
    settings = Settings(warehouse=str(folder / "warehouse"), small_tables=request.small_tables, spark=spark)
    return [_timed(name, call, request.calls) for name, call in operations(settings, folder)]


def _timed(name: str, call: Callable[[], object], calls: int) -> Timed:
    first = _seconds(call)
    before = _cpu_seconds()
    warm = [_seconds(call) for _ in range(calls)]
    return Timed(name, first, warm, (_cpu_seconds() - before) / calls)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    request = Request(**json.loads(sys.argv[1]))
    timed = measure(request)
    if request.small_tables == "native" and "pyspark" in sys.modules:
        raise SystemExit("an operation loaded Spark, so these are not the costs without it")
    print(json.dumps([asdict(each) for each in timed]))
