"""Rows deleted from files without Spark: the others stay in their order, and the Change Data Feed has the deleted alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from featurestore.errors import StorageError
from featurestore.stores.delta.native_table import DoomedRows, NativeTable
from featurestore.stores.delta.own_commits import OwnCommit
from featurestore.stores.delta.which_rows import equal
from featurestore.stores.writer_lock import WriterLock

SCHEMA = pa.schema([("part", pa.string()), ("n", pa.int64()), ("vector", pa.list_(pa.float32()))])


def made(folder: Path, feed: bool) -> NativeTable:
    """Parts ``x`` with 3, 1 and 2, ``y`` with 4 and 5, and ``z`` with 6, a file each."""
    table = NativeTable(str(folder / "table"), WriterLock(folder / "locks" / "table.lock", 20.0))
    table.create(SCHEMA, ["part"], {"delta.enableChangeDataFeed": str(feed).lower()})
    for part, numbers in (("x", [3, 1, 2]), ("y", [4, 5]), ("z", [6])):
        table.append(rows((part, n) for n in numbers))
    return table


def rows(values: Any) -> pa.Table:
    return pa.Table.from_pylist([{"part": part, "n": n, "vector": [n / 2]} for part, n in values], schema=SCHEMA)


def doomed(table: NativeTable, numbers: Sequence[int]) -> list[DoomedRows]:
    """The rows with these numbers."""
    found = []
    for file in table.snapshot().files:
        stored = table.read_data(file, pa.schema([SCHEMA.field("n")]))
        mask = np.isin(stored.column("n").to_numpy(), numbers)
        if mask.any():
            found.append(DoomedRows(file, mask))
    return found


def numbers(table: NativeTable, part: str | None = None) -> list[int]:
    where = [] if part is None else equal(part=part)
    found: list[int] = table.read(where, ["n"]).column("n").to_pylist()
    return found if part is not None else sorted(found)


def actions(table: NativeTable) -> list[tuple[str, dict[str, Any]]]:
    text = Path(table.path, "_delta_log", f"{table.version():020}.json").read_text(encoding="utf-8")
    return [next(iter(json.loads(line).items())) for line in text.splitlines()]


def test_the_rows_go_and_the_others_stay_in_their_order(tmp_path: Path) -> None:
    table = made(tmp_path, feed=True)

    assert table.delete_rows(doomed(table, [1, 4, 5]))

    assert numbers(table) == [2, 3, 6]
    assert numbers(table, "x") == [3, 2]
    [commit] = table.history(1)
    assert (commit.operation, commit.metric("numRemovedFiles"), commit.metric("numFiles")) == ("DELETE", 2, 1)
    assert commit.metric("numDeletedRows") == 3
    feed = pa.table(table.open().load_cdf(starting_version=table.version()).read_all())
    assert sorted(feed.select(["_change_type", "part", "n", "vector"]).to_pylist(), key=lambda row: row["n"]) == [
        {"_change_type": "delete", "part": part, "n": n, "vector": [n / 2]} for part, n in (("x", 1), ("y", 4), ("y", 5))
    ]  # fmt: skip
    changed = table.changed_partitions(table.version() - 1, table.version())
    assert sorted(part["part"] for part in changed or []) == ["x", "y"]


@pytest.mark.parametrize(("feed", "gone", "kinds"), [
    (True, [4, 5], {"commitInfo", "remove"}),
    (False, [1, 4, 5], {"commitInfo", "remove", "add"}),
    (True, [1], {"commitInfo", "remove", "add", "cdc"}),
])  # fmt: skip
def test_files_of_changes_are_written_only_where_the_feed_needs_them(
    tmp_path: Path, feed: bool, gone: list[int], kinds: set[str]
) -> None:
    table = made(tmp_path, feed)
    assert table.delete_rows(doomed(table, gone))
    assert {kind for kind, _ in actions(table)} == kinds
    assert numbers(table) == sorted({1, 2, 3, 4, 5, 6} - set(gone))


@pytest.mark.parametrize("change", [
    lambda table: table.compact(equal(part="x"), fewest_files=1),
    lambda table: table.delete(equal(part="x")),
])  # fmt: skip
def test_nothing_is_deleted_if_a_file_was_rewritten_meanwhile(
    tmp_path: Path, change: Callable[[NativeTable], None]
) -> None:
    table = made(tmp_path, feed=True)
    planned = doomed(table, [1, 4])
    change(table)
    left, version = numbers(table), table.version()

    assert not table.delete_rows(planned)
    assert (numbers(table), table.version()) == (left, version)


def test_rows_that_were_appended_meanwhile_stay(tmp_path: Path) -> None:
    table = made(tmp_path, feed=True)
    planned = doomed(table, [1])
    table.append(rows([("x", 1)]))

    assert table.delete_rows(planned)
    assert numbers(table) == [1, 2, 3, 4, 5, 6]


def test_of_threads_that_delete_at_once_each_deletes_its_own(tmp_path: Path) -> None:
    table = made(tmp_path, feed=True)
    plans = [doomed(table, [number]) for number in (1, 4, 6)]
    results: list[bool] = []
    threads = [threading.Thread(target=lambda plan=plan: results.append(table.delete_rows(plan))) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [True] * 3
    assert numbers(table) == [2, 3, 5]


def test_a_commit_that_another_writer_has_made_is_not_replaced(tmp_path: Path) -> None:
    table = made(tmp_path, feed=True)
    log = Path(table.path, "_delta_log")
    before = (log / f"{1:020}.json").read_text()

    assert not OwnCommit("DELETE", {}, {}).is_made(table.folder, 1)
    assert (log / f"{1:020}.json").read_text() == before
    assert not list(log.glob("*.tmp"))


def test_a_table_that_only_spark_may_write_is_refused(tmp_path: Path) -> None:
    table = made(tmp_path, feed=True)
    planned = doomed(table, [1])
    table.open().alter.set_table_properties({"delta.appendOnly": "true"})
    with pytest.raises(StorageError, match="features that only Spark may write"):
        table.delete_rows(planned)
