"""The join that goes to Spark's tasks: by value, for executors on which this package is not installed."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from featurestore.columnar.as_of.rules import AsOfRules
from featurestore.columnar.as_of.value_files import Partition
from featurestore.definitions.values.time_window import to_micros
from featurestore.stores.delta.data_files import write_files
from featurestore.stores.value_files.parquet import ParquetValues, ValueColumns
from featurestore.stores.value_files.task_join import TaskJoin, TaskLookup, by_value

INSTANT = pa.timestamp("us", "UTC")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
SCHEMA = pa.schema(
    {"code": pa.string(), "event_timestamp": INSTANT, "created_timestamp": INSTANT, "n": pa.int64(), "tags": pa.list_(pa.string())}
)  # fmt: skip
UNKNOWN = (None, None)

# What an executor does: it unpickles the function with what is installed there, and runs it on batches.
EXECUTOR = """
import pickle
import sys
from importlib.abc import MetaPathFinder

class NotInstalled(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("featurestore", "tests"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, NotInstalled())

import pyarrow as pa

carried, spine, joined = sys.argv[1:]
with open(carried, "rb") as file:
    run = pickle.load(file)
with pa.ipc.open_file(spine) as reader:
    batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
found = pa.Table.from_batches(run(batches))
with pa.ipc.new_file(joined, found.schema) as writer:
    writer.write_table(found)
assert "featurestore" not in sys.modules
"""


def value(code: str, at: datetime, n: int | None, tags: list[str] | None = None) -> dict[str, object]:
    return {"code": code, "event_timestamp": at, "created_timestamp": at, "n": n, "tags": tags}


def partition(folder: Path, day: datetime, rows: list[dict[str, object]]) -> Partition:
    [written] = write_files(str(folder), pa.Table.from_pylist(rows, SCHEMA), [])
    file = ParquetValues(str(folder / written.path), ValueColumns(SCHEMA, ("code",)), len(rows), written.bytes, (UNKNOWN,), UNKNOWN)  # fmt: skip
    return Partition(to_micros(day.replace(hour=0)), (file,))


def in_an_executor(join: TaskJoin, spine: list[pa.RecordBatch], folder: Path) -> pa.Table:
    """The join of the batches, in a process that cannot import this package."""
    import pyspark.cloudpickle

    (folder / "carried").write_bytes(pyspark.cloudpickle.dumps(by_value(join.joined)))
    with pa.ipc.new_file(folder / "spine", spine[0].schema) as writer:
        for batch in spine:
            writer.write_batch(batch)
    command = [sys.executable, "-c", EXECUTOR, *(str(folder / name) for name in ("carried", "spine", "joined"))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={})
    assert done.returncode == 0, done.stderr
    with pa.ipc.open_file(folder / "joined") as reader:
        return reader.read_all()


def lookup(partitions: list[Partition], rules: AsOfRules, prefix: str = "", **more: object) -> TaskLookup:
    return TaskLookup(
        keys=("user",),
        key_types=(pa.string(),),
        rules=rules,
        types={name: SCHEMA.field(name).type for name in rules.features},
        partitions=partitions,
        outputs={name: f"{prefix}{name}" for name in rules.features},
        **{"event_output": None, "offset": 0} | more,
    )


def test_executors_need_no_installed_package(tmp_path: Path) -> None:
    partitions = [
        partition(tmp_path, NOON - DAY, [value("a", NOON - DAY, 1, ["x"]), value("é", NOON - DAY, 2)]),
        partition(tmp_path, NOON, [value("a", NOON, None, ["y", "z"]), value("a", NOON + SECOND, 3, ["late"])]),
    ]
    skip, later = (
        AsOfRules(("code",), ("n", "tags"), ttl=2 * DAY // timedelta(microseconds=1)),
        AsOfRules(("code",), ("n",)),
    )
    join = TaskJoin(
        (lookup(partitions, skip, event_output="event"), lookup(partitions, later, "label_", offset=1_000_000)),
        "at",
        ("user", "at", "row"),
    )
    schema = pa.schema({"user": pa.string(), "at": INSTANT, "row": pa.int64()})
    rows = [
        {"user": "a", "at": NOON, "row": 1},
        {"user": "é", "at": NOON + 2 * DAY, "row": 2},
        {"user": None, "at": NOON, "row": 3},
        {"user": "a", "at": None, "row": 4},
    ]
    spine = [pa.RecordBatch.from_pylist(part, schema) for part in (rows[:1], rows[1:1], rows[1:])]

    joined = in_an_executor(join, spine, tmp_path)

    nothing = {"n": None, "tags": None, "event": None, "label_n": None}
    assert joined.to_pylist() == [
        rows[0] | {"n": 1, "tags": ["y", "z"], "event": NOON, "label_n": 3},
        rows[1] | nothing | {"label_n": 2},
        rows[2] | nothing,
        rows[3] | nothing,
    ]


def test_what_goes_to_the_tasks_is_small(tmp_path: Path) -> None:
    """It is sent with every task."""
    import pyspark.cloudpickle

    join = TaskJoin((lookup([partition(tmp_path, NOON, [value("a", NOON, 1)])], AsOfRules(("code",), ("n",))),), "at", ("user", "at"))  # fmt: skip

    assert len(pyspark.cloudpickle.dumps(by_value(join.joined))) < 300_000
