"""A vacuum without Spark: which files it removes and which it leaves, and the commits by which it says so."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from featurestore.errors import StorageError, TableBusyError
from featurestore.stores.delta.log import LogCommit
from featurestore.stores.delta.native_errors import UnsupportedTableError
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.delta.which_rows import equal
from featurestore.stores.vacuuming.history import Commit, commits, record_start
from featurestore.stores.vacuuming.local import unneeded_files, vacuum
from featurestore.stores.vacuuming.unneeded import Entry, is_hidden, unneeded
from featurestore.stores.writer_lock import WriterLock

DAY, NONE = timedelta(days=1), timedelta(0)
SCHEMA = pa.schema([("part", pa.string()), ("n", pa.int64())])


@pytest.fixture
def table(tmp_path: Path) -> NativeTable:
    """Two parts of two files each; those of part ``a`` were compacted."""
    made = NativeTable(str(tmp_path / "table"), WriterLock(tmp_path / "locks" / "table.lock", 0.3))
    made.create(SCHEMA, ["part"])
    for part in "ab":
        for n in (1, 2):
            made.append(pa.table({"part": [part], "n": [n]}, schema=SCHEMA))
    made.compact(equal(part="a"))
    return made


def age(path: Path, days: float) -> None:
    then = path.stat().st_mtime - days * 86_400
    os.utime(path, (then, then))


def data_files(table: NativeTable) -> list[Path]:
    return sorted(file for file in Path(table.path).rglob("*.parquet") if "_delta_log" not in file.parts)


def log_entry(table: NativeTable, version: int) -> Path:
    return Path(table.path, "_delta_log", f"{version:020}.json")


def edit_removals(table: NativeTable, version: int, edit: Callable[[dict[str, object]], object]) -> None:
    """Change the removals of a commit."""
    entry = log_entry(table, version)
    actions = [json.loads(line) for line in entry.read_text().splitlines()]
    for action in actions:
        if "remove" in action:
            edit(action["remove"])
    entry.write_text("\n".join(map(json.dumps, actions)))


def ns(days_ago: int) -> int:
    return 10**18 - days_ago * 86_400 * 10**9


def test_only_old_and_unneeded_entries_are_chosen() -> None:
    old = Entry("part=a/old.parquet", 5, ns(9))
    needed, young = Entry("part=a/needed.parquet", 7, ns(9)), Entry("part=a/young.parquet", 9, ns(1))
    empty, fresh = Entry("part=c", 0, ns(9), is_folder=True), Entry("part=d", 0, ns(1), is_folder=True)

    found = unneeded([old, needed, young, empty, fresh], {"part=a/needed.parquet"}, ns(5))

    assert (found.files, found.folders, found.bytes) == ((old,), (empty,), 5)


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("_delta_log", True),
        ("_notes", True),
        (".part-0.parquet.crc", True),
        ("_change_data", False),
        ("_delta_index", False),
        ("_day=1", False),
        ("_days=1", True),
        ("part-0.parquet", False),
    ],
)
def test_names_are_hidden_as_delta_hides_them(name: str, hidden: bool) -> None:
    assert is_hidden(name, ["_day"]) is hidden


def test_files_that_left_the_newest_version_go_once_the_horizon_has_passed(table: NativeTable) -> None:
    before = data_files(table)
    live = {Path(table.path, file.path) for file in table.snapshot().files}
    size = sum(file.stat().st_size for file in before if file not in live)

    assert vacuum(table, DAY) == (0, 0)
    assert unneeded_files(table, NONE) == (2, size)
    assert data_files(table) == before
    assert vacuum(table, NONE) == (2, size)

    assert set(data_files(table)) == live
    assert sorted(table.read().column("n").to_pylist()) == [1, 1, 2, 2]


def test_a_file_is_kept_since_it_left_however_old_it_is(table: NativeTable) -> None:
    for file in data_files(table):
        age(file, 30)

    assert vacuum(table, DAY) == (0, 0)

    edit_removals(table, table.version(), lambda removal: removal.pop("deletionTimestamp"))
    assert vacuum(table, DAY)[0] == 2


def test_removals_are_read_from_a_checkpoint_too(table: NativeTable) -> None:
    for file in data_files(table):
        age(file, 30)
    table.open().create_checkpoint()
    table.append(pa.table({"part": ["c"], "n": [9]}, schema=SCHEMA))

    assert vacuum(table, DAY) == (0, 0)
    assert vacuum(table, NONE)[0] == 2


def test_what_a_killed_writer_left_goes_and_what_one_may_still_commit_stays(table: NativeTable) -> None:
    left, fresh = Path(table.path, "part=b", "left.parquet"), Path(table.path, "part=b", "fresh.parquet")
    checksum = left.with_name(".left.parquet.crc")
    for file in (left, fresh, checksum):
        file.write_bytes(b"rows")
    age(left, 3)

    assert vacuum(table, DAY) == (1, 4)
    assert [file.exists() for file in (left, checksum, fresh)] == [False, False, True]


@pytest.mark.parametrize("part", ["a b", "50%", "ü/ö", "x=1:2", "%C3%BC", "_p", ".p", "+", "日本"])
def test_files_of_any_partition_are_recognised(table: NativeTable, part: str) -> None:
    for n in (1, 2):
        table.append(pa.table({"part": [part], "n": [n]}, schema=SCHEMA))
    table.compact(equal(part=part))
    table.open().create_checkpoint()
    table.append(pa.table({"part": [part], "n": [3]}, schema=SCHEMA))

    assert vacuum(table, DAY) == (0, 0)
    assert vacuum(table, NONE)[0] == 4
    assert sorted(table.read(equal(part=part)).column("n").to_pylist()) == [1, 2, 3]


def test_hidden_files_and_links_stay_and_folders_go_once_they_have_been_empty(table: NativeTable) -> None:
    root = Path(table.path)
    kept = [root / "_notes" / "a.txt", root / "part=b" / "_temporary" / "0.parquet", root / "part=b" / ".x.crc"]
    for file in kept:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
        age(file, 9)
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "c.parquet").write_bytes(b"x")
    age(elsewhere / "c.parquet", 9)
    (root / "linked").symlink_to(elsewhere)
    for name in ("part=old", "part=new"):
        (root / name).mkdir()
    age(root / "part=old", 9)

    assert vacuum(table, DAY) == (0, 0)

    assert all(file.exists() for file in [*kept, elsewhere / "c.parquet", root / "linked", root / "part=new"])
    assert not (root / "part=old").exists()


def test_two_commits_say_what_was_removed_and_none_that_there_was_nothing(table: NativeTable) -> None:
    version = table.version()
    files, size = vacuum(table, timedelta(milliseconds=1))

    end, start = table.history(2)
    assert [(start.version, start.operation), (end.version, end.operation)] == [
        (version + 1, "VACUUM START"),
        (version + 2, "VACUUM END"),
    ]
    assert (start.metric("numFilesToDelete"), start.metric("sizeOfDataToDelete")) == (files, size)
    assert end.metric("numDeletedFiles") == files
    [told] = [commit for commit in commits(delta_table(table)) if commit.vacuumed_before is not None]
    assert told.vacuumed_before == start.at - timedelta(milliseconds=1)
    vacuum(table, NONE)
    assert table.version() == version + 2
    assert Path(table.path, "_delta_log", f".{version + 2:020}.json.crc").exists()


def delta_table(table: NativeTable) -> DeltaTable:
    def no_spark() -> None:
        raise AssertionError("Spark was started")

    return DeltaTable(no_spark, table.path, native=table, log=table, lock=table.lock)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parameters", "days"),
    [
        ({"specifiedRetentionMillis": "172800000", "defaultRetentionMillis": "604800000"}, 2),
        ({"specifiedRetentionMillis": 0, "defaultRetentionMillis": "604800000"}, 0),
        ({"defaultRetentionMillis": "604800000"}, 7),
    ],
)
def test_a_vacuum_of_any_writer_says_up_to_when_it_removed(parameters: dict[str, object], days: int) -> None:
    info = {
        "operation": "VACUUM START",
        "operationParameters": parameters,
        "operationMetrics": {"numFilesToDelete": "3"},
    }
    commit = Commit.of(LogCommit(7, 1_800_000_000_000, info))
    assert commit.vacuumed_before == commit.at - days * DAY


def test_a_vacuum_that_was_killed_after_its_first_file_is_ended_by_the_next(table: NativeTable) -> None:
    live = {Path(table.path, file.path) for file in table.snapshot().files}
    first, second = (file for file in data_files(table) if file not in live)
    record_start(table.folder, table.version(), NONE, 2, 0)
    first.unlink()

    assert vacuum(table, NONE)[0] == 1
    assert set(data_files(table)) == live
    assert not second.exists()


def test_its_commits_come_after_those_of_others(table: NativeTable) -> None:
    version = table.version()
    assert record_start(table.folder, version - 2, NONE, 1, 1) == version + 1
    assert sorted(table.read().column("n").to_pylist()) == [1, 1, 2, 2]


def test_it_waits_for_writers_even_for_those_of_its_own_process(table: NativeTable) -> None:
    holds, ends = threading.Event(), threading.Event()

    def write() -> None:
        with table.lock.held("delta-rs"):
            holds.set()
            ends.wait(20)

    writer = threading.Thread(target=write)
    writer.start()
    holds.wait(20)
    try:
        with pytest.raises(TableBusyError):
            vacuum(table, NONE)
        assert unneeded_files(table, NONE)[0] == 2
    finally:
        ends.set()
        writer.join()
    assert vacuum(table, NONE)[0] == 2


@pytest.mark.parametrize(
    "edit",
    [
        lambda removal: removal.update(path=f"file:///elsewhere/{removal['path']}"),
        lambda removal: removal.update(path=f"/elsewhere/{removal['path']}"),
        lambda removal: removal.update(
            deletionVector={"storageType": "u", "pathOrInlineDv": "x", "sizeInBytes": 1, "cardinality": 1}
        ),
    ],
)
def test_a_table_with_other_files_than_its_own_is_left_to_spark(
    table: NativeTable, edit: Callable[[dict[str, object]], object]
) -> None:
    before = data_files(table)
    edit_removals(table, table.version(), edit)

    with pytest.raises(UnsupportedTableError):
        vacuum(table, DAY)
    assert data_files(table) == before


def test_a_checkpoint_of_another_kind_is_left_to_spark(table: NativeTable) -> None:
    log = Path(table.path, "_delta_log")
    table.open().create_checkpoint()
    (log / f"{table.version():020}.checkpoint.parquet").rename(
        log / f"{table.version():020}.checkpoint.0000000001.0000000001.parquet"
    )
    hint = json.loads((log / "_last_checkpoint").read_text())
    (log / "_last_checkpoint").write_text(json.dumps({**hint, "parts": 1}))
    log_entry(table, 0).unlink()

    with pytest.raises(UnsupportedTableError, match=r"only Spark's vacuum reads"):
        vacuum(table, NONE)


def test_a_lost_commit_stops_it(table: NativeTable) -> None:
    log_entry(table, table.version()).unlink()
    with pytest.raises(StorageError, match="is lost"):
        vacuum(table, NONE)


def test_a_horizon_before_the_year_1_removes_nothing(table: NativeTable) -> None:
    assert vacuum(table, timedelta(days=1_000_000)) == (0, 0)
    assert datetime.now(UTC) - DAY < table.history(1)[0].at
