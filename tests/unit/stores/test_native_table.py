"""Delta tables without Spark: what is written is there once, what the log says is true, and faults name the file."""

from __future__ import annotations

import json
import math
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake.exceptions import CommitFailedError

from featurestore.columnar.rows.file_statistics import FileStatistics
from featurestore.errors import FeatureStoreError, InvariantError, NotFoundError, StorageError, TableBusyError
from featurestore.stores.delta import native_table as native_table_module
from featurestore.stores.delta.data_files import write_files
from featurestore.stores.delta.log import Transaction
from featurestore.stores.delta.native_errors import native_errors
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.delta.which_rows import AnyOf, equal
from featurestore.stores.delta.which_rows import Test as Compare
from featurestore.stores.small_tables import small_table
from featurestore.stores.small_tables.small_table import NativeSmallTable
from featurestore.stores.writer_lock import WriterLock

SCHEMA = pa.schema([("tenant", pa.string()), ("key", pa.string()), ("n", pa.int64())])
TIMES = pa.schema([("tenant", pa.string()), ("at", pa.timestamp("us", "UTC"))])
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
MICROSECOND, MILLISECOND = timedelta(microseconds=1), timedelta(milliseconds=1)


def native_table(folder: Path, name: str = "table", begins_with_rows: bool = False) -> NativeTable:
    return NativeTable(
        str(folder / name), WriterLock(folder / "locks" / f"{name}.lock", 20.0), begins_with_rows=begins_with_rows
    )


@pytest.fixture
def table(tmp_path: Path) -> NativeTable:
    made = native_table(tmp_path)
    made.create(SCHEMA, ["tenant"])
    return made


def rows(*values: tuple[str | None, str | None, int | None]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in values], schema=SCHEMA)


def contents(table: NativeTable, *where: Compare | AnyOf) -> list[tuple[Any, ...]]:
    """The rows that pass, in order."""
    found = [tuple(row.values()) for row in table.read(where).to_pylist()]
    return sorted(found, key=lambda row: [(value is not None, value) for value in row])


def log_entry(table: NativeTable, version: int) -> Path:
    return Path(table.path, "_delta_log", f"{version:020}.json")


def one_file(table: NativeTable) -> Path:
    [file] = table.snapshot(bounded=table.schema().names).files
    return Path(table.path, file.path)


# --- create, append, read ---


def test_a_table_is_created_once(tmp_path: Path) -> None:
    table = native_table(tmp_path)
    assert not table.exists()
    assert not Path(table.path).exists()
    table.create(SCHEMA, ["tenant"], {"delta.enableChangeDataFeed": "true"})
    first = table.table_id()
    table.create(pa.schema([("other", pa.int32())]))
    assert table.exists()
    assert (table.table_id(), table.version()) == (first, 0)
    assert table.schema().equals(SCHEMA)
    assert table.properties() == {"delta.enableChangeDataFeed": "true", "delta.checkpointInterval": "10"}


def test_appended_rows_are_read_by_conditions_on_any_columns(table: NativeTable) -> None:
    table.append(rows(("acme", "a", 1), ("acme", "b", None), ("zeta", "a", 3)))
    table.append(rows(("acme", "c", 4)))
    assert contents(table, *equal(tenant="acme")) == [("acme", "a", 1), ("acme", "b", None), ("acme", "c", 4)]
    assert contents(table, *equal(tenant="acme", key="a")) == [("acme", "a", 1)]
    assert contents(table, Compare("n", "is null")) == [("acme", "b", None)]
    assert contents(table, Compare("n", ">=", 3)) == [("acme", "c", 4), ("zeta", "a", 3)]
    assert contents(table, Compare("n", "<=", 3), Compare("key", "in", ("a", "c"))) == [
        ("acme", "a", 1),
        ("zeta", "a", 3),
    ]
    either = AnyOf(((Compare("n", "is null"),), (Compare("tenant", "=", "zeta"),)))
    assert contents(table, either) == [("acme", "b", None), ("zeta", "a", 3)]
    assert contents(table, Compare("key", "in", ())) == []
    assert contents(table, Compare("tenant", "in", ())) == []
    assert contents(table, AnyOf(())) == []
    assert table.read(equal(tenant="zeta"), ["n"]).to_pylist() == [{"n": 3}]


def test_an_append_of_no_rows_commits_all_the_same(table: NativeTable) -> None:
    table.append(rows(), Transaction("batch"), "a batch of nothing")
    assert table.version() == 1
    assert table.history(1)[0].user_metadata == "a batch of nothing"
    assert contents(table) == []


@pytest.mark.parametrize("version", [0, 1, 7])
def test_a_transaction_is_written_once(table: NativeTable, version: int) -> None:
    for _ in range(3):
        table.append(rows(("acme", "a", 1)), Transaction("batch", version))
    table.append(rows(("acme", "b", 2)), Transaction("other batch", version))
    assert contents(table) == [("acme", "a", 1), ("acme", "b", 2)]


def test_transactions_of_threads_are_written_once(table: NativeTable) -> None:
    faults: list[BaseException] = []

    def write(thread: int) -> None:
        try:
            for batch in range(10):
                table.append(rows(("acme", f"batch {batch}", thread)), Transaction(f"batch {batch}"))
                table.append(rows(("acme", "own", thread)), None)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    written = table.read().column("key").to_pylist()
    assert sorted(written) == sorted([f"batch {batch}" for batch in range(10)] + ["own"] * 40)


def test_replacements_by_threads_leave_one(table: NativeTable) -> None:
    def replace(number: int) -> None:
        for _ in range(3):
            table.replace(rows(("acme", "a", number)), equal(tenant="acme", key="a"))

    threads = [threading.Thread(target=replace, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(contents(table)) == 1


def test_a_handle_that_was_opened_earlier_sees_later_commits(tmp_path: Path, table: NativeTable) -> None:
    other = native_table(tmp_path)
    assert contents(other) == []
    table.append(rows(("acme", "a", 1)), Transaction("batch"))
    other.append(rows(("acme", "a", 1)), Transaction("batch"))
    other.append(rows(("acme", "b", 2)))
    assert contents(table) == contents(other) == [("acme", "a", 1), ("acme", "b", 2)]


def test_the_history_has_each_commit_with_its_metadata(table: NativeTable) -> None:
    table.append(rows(("acme", "a", 1)), Transaction("batch"), json.dumps({"batch": "b\u2028\x85 'quoted'"}))
    table.append(rows(("acme", "b", 1)))
    history = table.history()
    assert [commit.version for commit in history] == [2, 1, 0]
    assert [commit.metadata for commit in history] == [{}, {"batch": "b\u2028\x85 'quoted'"}, {}]
    assert [commit.operation for commit in history] == ["WRITE", "WRITE", "CREATE TABLE"]
    assert all(abs(datetime.now(UTC) - commit.at) < timedelta(minutes=5) for commit in history)
    assert [commit.version for commit in table.history(limit=1)] == [2]


def test_rows_are_stored_in_the_tables_types(table: NativeTable) -> None:
    table.append(pa.table({"n": pa.array([5], pa.int32()), "tenant": ["acme"]}))
    assert contents(table) == [("acme", None, 5)]
    assert pq.read_schema(one_file(table)).field("n").type == pa.int64()
    with pytest.raises(pa.ArrowInvalid):
        table.append(pa.table({"tenant": ["acme"], "n": ["many"]}))
    with pytest.raises(KeyError, match="unknown"):
        table.append(pa.table({"unknown": [1]}))
    assert table.version() == 1


# --- replace, update, delete, compact, add columns ---


def test_replace_is_one_commit(table: NativeTable) -> None:
    table.append(rows(("acme", "a", 1), ("acme", "b", 2), ("acme", None, 3), ("zeta", "a", 4)))
    table.replace(rows(("acme", "a", 10), ("acme", "a", 11)), equal(tenant="acme", key="a"))
    expected = [("acme", None, 3), ("acme", "a", 10), ("acme", "a", 11), ("acme", "b", 2), ("zeta", "a", 4)]
    assert contents(table) == expected
    assert table.version() == 2
    table.replace(rows(), equal(tenant="acme"))
    assert contents(table) == [("zeta", "a", 4)]


def test_update_and_delete_change_only_rows_that_pass(table: NativeTable) -> None:
    table.append(rows(("acme", "a", 1), ("acme", "b", 2), ("acme", None, 3), ("zeta", "a", 4)))
    table.update(equal(tenant="acme", key="a"), {"n": 100, "key": "c"})
    table.update([Compare("n", "=", 2)], {"n": None})
    table.delete([Compare("key", "is null")])
    assert contents(table) == [("acme", "b", None), ("acme", "c", 100), ("zeta", "a", 4)]
    version = table.version()
    table.delete(equal(key="nobody"))
    table.update(equal(key="nobody"), {"n": 1})
    assert table.version() == version


def test_compacting_keeps_each_row_once_and_changes_no_data(table: NativeTable) -> None:
    for number in range(5):
        table.append(rows(("acme", "a", number), ("zeta", "b", number), (None, "c", number)))
    before = contents(table)
    table.compact()
    assert contents(table) == before
    snapshot = table.snapshot()
    assert sorted((file.partition["tenant"] or "", file.rows) for file in snapshot.files) == [
        ("", 5), ("acme", 5), ("zeta", 5),
    ]  # fmt: skip
    actions = [json.loads(line) for line in log_entry(table, 6).read_text().splitlines()]
    changes = [
        action.get("add", action.get("remove"))["dataChange"] for action in actions if "commitInfo" not in action
    ]
    assert changes == [False] * 18
    assert table.changed_partitions(5, 6) == []
    table.compact()
    assert table.version() == 6


def test_compacting_while_others_append_loses_nothing(table: NativeTable) -> None:
    def append() -> None:
        for number in range(20):
            table.append(rows(("acme", "a", number)))

    writer = threading.Thread(target=append)
    writer.start()
    while writer.is_alive():
        table.compact()
    writer.join()
    table.compact()
    assert contents(table) == [("acme", "a", number) for number in range(20)]


def test_added_columns_are_null_in_older_rows(table: NativeTable) -> None:
    table.append(rows(("acme", "a", 1)))
    table.add_columns([pa.field("N", pa.int64()), pa.field("x", pa.float64())])
    version = table.version()
    table.add_columns([pa.field("x", pa.float64())])
    assert table.version() == version
    table.append(pa.table({"tenant": ["acme"], "x": [0.5]}))
    assert contents(table) == [("acme", None, None, 0.5), ("acme", "a", 1, None)]
    assert contents(table, Compare("x", "is null")) == [("acme", "a", 1, None)]


def test_a_small_table_is_compacted_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_table, "_COMMITS_BETWEEN_COMPACTIONS", 10)
    small = NativeSmallTable(native_table(tmp_path), SCHEMA, ("tenant",))
    for number in range(24):
        small.append(rows(("zeta", "b", number), ("acme", "a", number)), Transaction(f"batch {number}"))
    assert small.version() == 24 + 2
    assert len(small.table.snapshot().files) < 24
    assert len(small.read()) == 48
    assert small.read((), ["key"]).num_rows == 48


# --- snapshots ---


def test_a_snapshot_shows_a_version_by_its_log(table: NativeTable) -> None:
    table.append(rows(("acme", "a", 1), ("acme", "b", 2), ("zeta", "c", 3)))
    table.append(rows(("acme", "d", 4)))
    assert table.snapshot(0).files == []
    first = table.snapshot(1, bounded=["key", "n"])
    described = [(file.partition, file.rows, file.bounds) for file in first.files]
    assert described == [
        ({"tenant": "acme"}, 2, {"key": ("a", "b"), "n": (1, 2)}),
        ({"tenant": "zeta"}, 1, {"key": ("c", "c"), "n": (3, 3)}),
    ]
    assert [file.bytes for file in first.files] == [Path(table.path, file.path).stat().st_size for file in first.files]
    newest = table.snapshot(bounded=table.schema().names)
    assert (newest.version, len(newest.files), newest.is_plain) == (2, 3, True)
    assert table.takes_plain_writes()


def test_a_version_that_does_not_exist_is_no_damage(table: NativeTable) -> None:
    with pytest.raises(StorageError, match="version 7 cannot be read, the newest is 0"):
        table.snapshot(7)


@pytest.mark.parametrize(
    ("reader", "writer", "features", "properties", "is_plain", "takes_writes"),
    [
        (1, 2, None, {}, True, True),
        (1, 4, None, {"delta.enableChangeDataFeed": "true"}, True, True),
        (1, 3, None, {"delta.constraints.positive": "n > 0"}, True, False),
        (1, 7, ([], ["appendOnly", "changeDataFeed"]), {}, True, True),
        (1, 7, ([], ["rowTracking", "domainMetadata"]), {}, True, False),
        (1, 7, ([], ["rowTracking", "domainMetadata"]), {"delta.enableRowTracking": "true"}, True, False),
        (3, 7, (["typeWidening"], ["typeWidening"]), {"delta.enableTypeWidening": "true"}, True, False),
        (3, 7, (["deletionVectors"], ["deletionVectors"]), {}, False, False),
    ],
)
def test_only_tables_of_plain_files_are_read_and_written_here(
    table: NativeTable,
    reader: int,
    writer: int,
    features: tuple[list[str], list[str]] | None,
    properties: dict[str, str],
    is_plain: bool,
    takes_writes: bool,
) -> None:
    lists = {} if features is None else {"writerFeatures": features[1]}
    lists |= {"readerFeatures": features[0]} if features is not None and reader == 3 else {}
    actions = [json.loads(line) for line in log_entry(table, 0).read_text().splitlines()]
    for action in actions:
        if "protocol" in action:
            action["protocol"] = {"minReaderVersion": reader, "minWriterVersion": writer} | lists
        if "metaData" in action:
            action["metaData"]["configuration"] = properties
    log_entry(table, 0).write_text("".join(f"{json.dumps(action)}\n" for action in actions))
    assert table.snapshot().is_plain == is_plain
    assert table.takes_plain_writes() == takes_writes


def test_the_log_outlives_its_own_cleaning(tmp_path: Path) -> None:
    table = native_table(tmp_path, begins_with_rows=True)
    table.create(SCHEMA, (), {"delta.logRetentionDuration": "interval 0 seconds", "delta.checkpointInterval": "5"})
    for number in range(23):
        table.append(rows(("acme", "a", number)))
    assert not log_entry(table, 0).exists()
    assert len(contents(table)) == 23
    assert [commit.version for commit in table.history(2)] == [23, 22]
    assert table.history()[-1].version > 0
    assert table.changed_partitions(0, 23) is None
    with pytest.raises(StorageError, match="version 1 cannot be read"):
        table.snapshot(1)


def test_every_ten_commits_there_is_a_checkpoint_from_which_the_log_is_read(tmp_path: Path) -> None:
    created, begun = native_table(tmp_path / "created"), native_table(tmp_path / "begun", begins_with_rows=True)
    created.create(SCHEMA)
    begun.begin([], SCHEMA, "{}")
    for table in (created, begun):
        for number in range(21):
            table.append(rows(("acme", "a", number)))
        for version in range(10):
            log_entry(table, version).unlink()

        checkpoints = sorted(file.name for file in log_entry(table, 0).parent.glob("*.checkpoint.parquet"))
        assert [int(name.partition(".")[0]) for name in checkpoints] == [9, 19]
        assert len(contents(table)) == 21


def test_a_log_that_an_erasure_padded_is_read(table: NativeTable) -> None:
    table.append(rows(("acme", "a", 1)))
    table.append(rows(("zeta", "b", 2)))
    for version, padding in [(1, " " * 300), (2, "\n" + " " * 300)]:
        entry = log_entry(table, version)
        entry.write_text(entry.read_text().rstrip("\n") + padding)
    assert contents(table) == [("acme", "a", 1), ("zeta", "b", 2)]
    assert table.changed_partitions(0, 2) == [{"tenant": "acme"}, {"tenant": "zeta"}]
    assert len(table.history()) == 3


# --- changed partitions ---


def test_changed_partitions_are_those_that_got_or_lost_rows(table: NativeTable) -> None:
    table.append(rows(("acme", "line \u2028 end\x85", 1), ("zeta", "b", 2)), None, "text \u2028 with\x85 ends")
    table.append(rows((None, "c", 3)))
    table.delete(equal(tenant="zeta"))
    assert table.changed_partitions(0, 1) == [{"tenant": "acme"}, {"tenant": "zeta"}]
    assert table.changed_partitions(1, 2) == [{"tenant": None}]
    assert table.changed_partitions(2, 3) == [{"tenant": "zeta"}]
    assert table.changed_partitions(3, 3) == []
    assert table.changed_partitions(3, 4) is None


def test_partitions_with_the_same_values_in_other_columns_are_not_mixed_up(tmp_path: Path) -> None:
    table = native_table(tmp_path)
    table.create(pa.schema([("a", pa.string()), ("b", pa.string()), ("n", pa.int64())]), ["a", "b"])
    table.append(pa.table({"a": ["x", "y"], "b": ["y", "x"], "n": [1, 2]}))
    parts = table.changed_partitions(0, 1)
    assert parts is not None
    assert sorted((part["a"], part["b"]) for part in parts) == [("x", "y"), ("y", "x")]


# --- extents ---


def times(*at: datetime | None) -> pa.Table:
    return pa.table({"tenant": ["acme"] * len(at), "at": list(at)}, schema=TIMES)


def test_an_extent_is_exact_to_the_microsecond(tmp_path: Path) -> None:
    table = native_table(tmp_path)
    table.create(TIMES, ["tenant"])
    middle = NEW_YEAR + timedelta(days=1)
    table.append(times(NEW_YEAR + 999 * MICROSECOND, middle))
    table.append(times(NEW_YEAR + 998 * MICROSECOND, None))
    table.append(times(middle, middle + timedelta(days=1) + MICROSECOND))
    table.append(times(middle + timedelta(days=1)))
    table.append(times(None))
    table.append(times(middle))
    files = table.snapshot(bounded=["at"]).files
    assert table.extent(files, "at") == (
        NEW_YEAR + 998 * MICROSECOND,
        middle + timedelta(days=1) + MICROSECOND,
    )
    assert (
        table.extent([file for file in files if "at" not in file.bounds or file.bounds["at"][0] is None], "at") is None
    )
    assert table.extent([], "at") is None


def test_an_extent_reads_only_the_files_at_its_ends(tmp_path: Path) -> None:
    table = native_table(tmp_path)
    table.create(TIMES, ["tenant"])
    for day in range(5):
        table.append(times(NEW_YEAR + timedelta(days=day)))
    files = table.snapshot(bounded=["at"]).files
    for file in files:
        if timedelta() < file.bounds["at"][0] - NEW_YEAR < timedelta(days=4):
            Path(table.path, file.path).unlink()
    assert table.extent(files, "at") == (NEW_YEAR, NEW_YEAR + timedelta(days=4))


# --- statistics ---


def statistics_of(*parts: pa.Table) -> dict[str, Any]:
    """What the log says about a file of these row groups."""
    statistics = FileStatistics()
    for part in parts:
        statistics.add(part)
    return dict(json.loads(statistics.to_json()))


def bounds_of(values: list[Any], kind: pa.DataType) -> tuple[Any, Any] | None:
    """The bounds in the log of a file with these values."""
    whole = pa.table({"v": pa.array(values, kind)})
    statistics = statistics_of(whole)
    assert statistics == statistics_of(*(whole.slice(row, 1) for row in range(len(values))))
    assert statistics["numRecords"] == len(values)
    assert statistics["nullCount"] == {"v": sum(value is None for value in values)}
    if "v" not in statistics["minValues"]:
        assert "v" not in statistics["maxValues"]
        return None
    return statistics["minValues"]["v"], statistics["maxValues"]["v"]


LAST = "\U0010ffff"
INSTANT = pa.timestamp("us", "UTC")


@pytest.mark.parametrize(
    ("values", "kind", "bounds"),
    [
        (["b", None, "a"], pa.string(), ("a", "b")),
        (["x" * 32, "x" * 32], pa.string(), ("x" * 32, "x" * 32)),
        (["x" * 33], pa.string(), ("x" * 32, "x" * 32 + LAST)),
        (["x" * 31 + "\U0001f600" + "y"], pa.string(), ("x" * 31 + "\U0001f600", "x" * 31 + "\U0001f600" + LAST)),
        (["x" * 31 + "\ufffdz"], pa.string(), ("x" * 31 + "\ufffd", "x" * 31 + "\ufffd" + LAST)),
        (["\ue000", "\U00010000"], pa.string(), ("\ue000", "\U00010000")),
        (["x" * 32 + LAST], pa.string(), ("x" * 32, "x" * 32 + LAST)),
        # No text of this length is surely larger.
        (["x" * 32 + LAST + "a"], pa.string(), None),
        (["", "\0"], pa.string(), ("", "\0")),
        ([None, None], pa.string(), None),
        ([2**63 - 1, -(2**63)], pa.int64(), (-(2**63), 2**63 - 1)),
        ([0.5, None, -1.5], pa.float64(), (-1.5, 0.5)),
        ([0.5, math.nan], pa.float64(), None),
        ([0.5, math.inf], pa.float64(), None),
        ([-math.inf], pa.float32(), None),
        ([True, False], pa.bool_(), None),
        ([date(1, 1, 1), date(9999, 12, 31)], pa.date32(), ("0001-01-01", "9999-12-31")),
        ([3_000_000], pa.date32(), None),
        (
            [NEW_YEAR + MICROSECOND, NEW_YEAR + MILLISECOND + MICROSECOND],
            INSTANT,
            ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.002Z"),
        ),
        ([NEW_YEAR + MILLISECOND], INSTANT, ("2026-01-01T00:00:00.001Z", "2026-01-01T00:00:00.001Z")),
        (
            [datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)],
            INSTANT,
            ("1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00.000Z"),
        ),
        ([datetime(1, 1, 1, tzinfo=UTC)], INSTANT, ("0001-01-01T00:00:00.000Z", "0001-01-01T00:00:00.000Z")),
        (
            [datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)],
            INSTANT,
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ),
        ([datetime(9999, 12, 31, 23, 59, 59, 999_001, UTC)], INSTANT, None),
        ([2**62], INSTANT, None),
        ([-(2**62)], INSTANT, None),
        (
            [datetime(2026, 1, 1, tzinfo=ZoneInfo("America/New_York"))],
            pa.timestamp("us", "America/New_York"),
            ("2026-01-01T05:00:00.000Z", "2026-01-01T05:00:00.000Z"),
        ),
        ([datetime(2026, 1, 1)], pa.timestamp("us"), None),  # noqa: DTZ001
        ([[1.0]], pa.list_(pa.float64()), None),
    ],
)
def test_bounds_contain_every_value(values: list[Any], kind: pa.DataType, bounds: tuple[Any, Any] | None) -> None:
    assert bounds_of(values, kind) == bounds


def test_negative_zero_is_within_the_bounds_of_zero() -> None:
    for values in ([-0.0], [0.0], [-0.0, 0.0]):
        low, high = bounds_of(values, pa.float64()) or (1.0, -1.0)
        assert low == 0.0 == high


def test_only_the_first_columns_have_statistics() -> None:
    statistics = statistics_of(pa.table({f"c{number}": [number] for number in range(40)}))
    assert set(statistics["minValues"]) == set(statistics["nullCount"]) == {f"c{number}" for number in range(32)}


def test_a_file_without_statistics_counts_its_rows_itself(table: NativeTable) -> None:
    table.append(rows(("acme", "a", 1), ("acme", "b", 2)))
    entry = log_entry(table, 1)
    actions = [json.loads(line) for line in entry.read_text().splitlines()]
    for action in actions:
        action.get("add", {}).pop("stats", None)
    entry.write_text("".join(f"{json.dumps(action)}\n" for action in actions))
    [file] = table.snapshot(bounded=table.schema().names).files
    assert (file.rows, set(file.bounds.values())) == (2, {(None, None)})


# --- partitions ---

TEXTS = ["plain", "with space", "a/b", "..", "100%25", "q=1:2", "é\u4e16\U0001f600", "[x]{y}^", "new\nline", "'\"\\"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_partitions_value_may_be_any_text(table: NativeTable, text: str) -> None:
    table.append(rows((text, "a", 1), ("other", "b", 2)))
    table.append(rows((text, "c", 3)))
    assert contents(table, *equal(tenant=text)) == [(text, "a", 1), (text, "c", 3)]
    inside = Path(table.path).resolve()
    for file in table.snapshot().files:
        assert Path(table.path, file.path).resolve().parent.parent == inside
    table.compact()
    assert contents(table, *equal(tenant=text)) == [(text, "a", 1), (text, "c", 3)]
    table.delete(equal(tenant=text))
    assert contents(table) == [("other", "b", 2)]


def test_a_partition_without_a_value_is_null_as_is_the_empty_text(table: NativeTable) -> None:
    table.append(rows((None, "a", 1), ("", "b", 2)))
    assert contents(table, Compare("tenant", "is null")) == [(None, "a", 1), (None, "b", 2)]
    assert contents(table, *equal(tenant="acme")) == []
    table.update([Compare("tenant", "is null")], {"n": 9})
    assert contents(table) == [(None, "a", 9), (None, "b", 9)]


def test_partitions_of_other_types_come_back_as_they_were(tmp_path: Path) -> None:
    schema = pa.schema([("d", pa.date32()), ("b", pa.bool_()), ("i", pa.int32()), ("at", INSTANT), ("n", pa.int64())])
    table = native_table(tmp_path)
    table.create(schema, ["d", "b", "i", "at"])
    row = {"d": date(1, 2, 3), "b": True, "i": -1, "at": NEW_YEAR + MICROSECOND, "n": 1}
    table.append(pa.Table.from_pylist([row], schema=schema))
    assert table.read().to_pylist() == [row]
    assert table.read(equal(**row)).to_pylist() == [row]
    table.delete(equal(d=date(1, 2, 3)))
    assert table.read().to_pylist() == []


# --- faults ---


def test_a_table_that_does_not_exist_is_named(tmp_path: Path) -> None:
    table = native_table(tmp_path)
    for call in (table.read, table.version, table.schema, table.snapshot, lambda: table.append(rows())):
        with pytest.raises(NotFoundError, match=f"table {table.path} does not exist"):
            call()


@pytest.mark.parametrize("damage", ["cut", "empty", "zeros", "gone"])
def test_an_error_names_the_damaged_file(table: NativeTable, damage: str) -> None:
    table.append(rows(*(("acme", f"key {number}", number) for number in range(100))))
    file = one_file(table)
    contents = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        damaged = {
            "cut": contents[:100],
            "empty": b"",
            "zeros": contents[:4] + bytes(len(contents) - 8) + contents[-4:],
        }
        file.write_bytes(damaged[damage])
    for call in (table.read, lambda: table.delete(equal(key="key 1")), lambda: table.update(equal(n=1), {"n": 2})):
        with pytest.raises(StorageError) as caught:
            call()
        assert str(caught.value).startswith(f"table {table.path}: {file.relative_to(table.path)}: ")
    assert table.version() == 1


@pytest.mark.parametrize("seed", range(10))
def test_no_damage_raises_an_error_of_another_class(table: NativeTable, seed: int) -> None:
    table.append(rows(*(("acme", f"key {number}", number) for number in range(100))))
    file = one_file(table)
    damaged = bytearray(file.read_bytes())
    for place in range(4 + seed, len(damaged) - 8, 97):
        damaged[place] ^= 0b10101
    file.write_bytes(bytes(damaged))
    try:
        table.read()
    except FeatureStoreError as fault:
        assert str(file.name) in str(fault)  # noqa: PT017


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("damage", ["lost", "cut"])
def test_an_error_names_the_table_whose_commit_is_lost_or_cut_off(
    table: NativeTable, version: int, damage: str
) -> None:
    for number in range(3):
        table.append(rows(("acme", "a", number)))
    entry = log_entry(table, version)
    if damage == "cut":
        entry.write_text(entry.read_text()[:-40])
    elif version == 3:
        # Only what came after the newest commit shows that it is lost.
        entry.rename(entry.with_name(f".{entry.name}.crc"))
    else:
        entry.unlink()
    for call in (table.read, table.history, lambda: table.append(rows(("acme", "a", 9)))):
        if damage == "lost" and version < 3 and call == table.history:
            continue
        with pytest.raises(StorageError, match=f"table {table.path}: "):
            call()
    if damage == "cut":
        with pytest.raises(StorageError, match=f"table {table.path}: "):
            table.changed_partitions(0, 3)


def test_rows_without_any_log_are_no_empty_table(tmp_path: Path, table: NativeTable) -> None:
    table.append(rows(("acme", "a", 1)))
    for entry in Path(table.path, "_delta_log").iterdir():
        entry.unlink()
    for call in (table.exists, table.read, lambda: table.create(SCHEMA)):
        with pytest.raises(StorageError, match="has no commits, and there are rows"):
            call()
    assert not native_table(tmp_path, begins_with_rows=True).exists()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Within it, this process writes no larger files, as if a disk were full."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size", [0, 300, 900])
def test_a_disk_without_room_leaves_the_table_as_it_was_and_its_lock_free(table: NativeTable, size: int) -> None:
    many = rows(*(("acme", f"key {number}", number) for number in range(200)))
    with (
        largest_file(size),
        pytest.raises(StorageError, match=f"table {table.path}: .*takes no file so large") as caught,
    ):
        table.append(many, Transaction("batch"), "metadata " * 100)
    assert "\x1b" not in str(caught.value)
    assert table.version() == 0
    table.append(many, Transaction("batch"))
    assert len(contents(table)) == 200


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    table = native_table(tmp_path)
    Path(table.path).write_text("not a table")
    with pytest.raises(StorageError, match=f"table {table.path}: .*a file lies where the table needs a folder"):
        table.create(SCHEMA)


def test_writers_that_always_come_second_say_so() -> None:
    with pytest.raises(TableBusyError, match="table /t: other writers committed first each time"), native_errors("/t"):
        raise CommitFailedError("version exists")


# --- files that were written earlier ---


def test_files_that_were_written_earlier_are_committed_once(table: NativeTable) -> None:
    ground = table.write_ground()
    files = write_files(table.path, rows(("acme", "a", 1), ("zeta", "b", 2)), ["tenant"])
    table.append(rows(("acme", "c", 3)))
    assert table.append_files(files, ground, Transaction("batch"), "metadata")
    assert table.append_files(files, ground, Transaction("batch"), "metadata")
    assert contents(table) == [("acme", "a", 1), ("acme", "c", 3), ("zeta", "b", 2)]
    assert table.version() == 2


def test_files_from_before_a_change_of_metadata_are_not_committed(table: NativeTable) -> None:
    """An erasure changes a property, so that no file with erased rows comes into the table after it."""
    ground = table.write_ground()
    files = write_files(table.path, rows(("acme", "a", 1)), ["tenant"])
    table.set_properties({"featurestore.erasure": "1"})
    assert not table.append_files(files, ground, Transaction("batch"))
    assert contents(table) == []
    assert list(Path(table.path).rglob("*.parquet")) == []


def test_files_that_a_vacuum_removed_are_not_committed(table: NativeTable) -> None:
    ground = table.write_ground()
    files = write_files(table.path, rows(("acme", "a", 1), ("zeta", "b", 2)), ["tenant"])
    Path(table.path, files[0].path).unlink()
    assert not table.append_files(files, ground)
    assert contents(table) == []


def test_files_are_exchanged_for_one_with_their_rows(table: NativeTable) -> None:
    table.append(rows(("acme", "a", 1)))
    table.append(rows(("acme", "b", 2)))
    ground, before = table.write_ground(), table.snapshot().files
    files = write_files(table.path, rows(("acme", "a", 1), ("acme", "b", 2)), ["tenant"])

    assert table.exchange_files(files, before, ground)

    assert contents(table) == [("acme", "a", 1), ("acme", "b", 2)]
    assert [file.path for file in table.snapshot().files] == [file.path for file in files]


def test_files_that_another_rewrote_meanwhile_are_not_exchanged(table: NativeTable) -> None:
    table.append(rows(("acme", "a", 1)))
    ground, before = table.write_ground(), table.snapshot().files
    files = write_files(table.path, rows(("acme", "a", 1)), ["tenant"])
    table.update(equal(key="a"), {"n": 2})

    assert not table.exchange_files(files, before, ground)

    assert contents(table) == [("acme", "a", 2)]
    assert not Path(table.path, files[0].path).exists()


def test_files_with_more_rows_or_fewer_are_never_exchanged(table: NativeTable) -> None:
    table.append(rows(("acme", "a", 1)))
    ground, before = table.write_ground(), table.snapshot().files
    for written in (rows(("acme", "a", 1), ("acme", "b", 2)), rows(("acme", "a", 1)).slice(1)):
        files = write_files(table.path, written, ["tenant"])
        with pytest.raises(InvariantError, match="do not have as many rows"):
            table.exchange_files(files, before, ground)
    assert contents(table) == [("acme", "a", 1)]


def test_an_append_that_began_before_a_change_of_metadata_begins_again(table: NativeTable) -> None:
    stale = table.open()
    files = write_files(table.path, rows(("acme", "a", 1)), ["tenant"])
    table.set_properties({"featurestore.erasure": "1"})
    with pytest.raises(CommitFailedError):
        table._commit(stale, files, ())


def test_files_have_no_bounds_of_numbers_that_may_be_nan(tmp_path: Path) -> None:
    """Arrow leaves NaN out of them, and Spark would skip a row group with NaN if it looks for numbers above 1."""
    table = native_table(tmp_path)
    table.create(pa.schema([("x", pa.float64()), ("n", pa.int64())]))
    table.append(pa.table({"x": [1.0, math.nan], "n": [1, 2]}))
    row_group = pq.ParquetFile(one_file(table)).metadata.row_group(0)
    assert row_group.column(0).statistics is None
    assert row_group.column(1).statistics.max == 2


# --- what a reviewer might try ---


def test_a_commit_counts_if_its_checksum_cannot_be_written(table: NativeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(log: Path, newest: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(native_table_module, "complete_checksums", refuse)
        table.append(rows(("acme", "a", 1)))
    assert contents(table) == [("acme", "a", 1)]
    table.append(rows(("acme", "b", 2)))
    log = Path(table.path, "_delta_log")
    assert {file.name for file in log.glob(".*.crc")} == {f".{version:020}.json.crc" for version in range(3)}


def test_a_table_that_only_spark_may_write_is_left_as_it_is(table: NativeTable) -> None:
    table.append(rows(("acme", "a", 1)))
    table.set_properties({"delta.appendOnly": "true"})
    version = table.version()
    for write in (
        lambda: table.append(rows(("acme", "b", 2))),
        lambda: table.delete(equal(key="a")),
        lambda: table.update(equal(key="a"), {"n": 2}),
        lambda: table.replace(rows(("acme", "b", 2)), equal(key="a")),
        lambda: table.delete_partitions(equal(tenant="acme")),
        table.compact,
    ):
        with pytest.raises(StorageError, match=r"it has features that only Spark may write .* nothing was written"):
            write()
    assert table.version() == version
