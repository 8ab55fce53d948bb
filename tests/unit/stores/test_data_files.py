"""Parquet files: how ours are cut, encoded and measured; those of other writers are read in the table's own types."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurestore.columnar.rows.file_layout import FileLimits
from featurestore.stores.delta.data_files import DataFile, NewFiles, read_file, stored_row_groups, write_files

# Beyond what nanoseconds in 64 bits can hold.
INSTANTS = [datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, 12, 0, 0, 7, UTC), datetime(9999, 12, 31, tzinfo=UTC)]
SCHEMA = pa.schema([("at", pa.timestamp("us", "UTC")), ("n", pa.int64())])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [(None, [1, 2, 3]), (pc.field("at") > pa.scalar(INSTANTS[0], SCHEMA.field("at").type), [2, 3])],
)
def test_timestamps_of_sparks_older_type(tmp_path: Path, condition: Any, expected: list[int]) -> None:
    rows = pa.table({"at": pa.array(INSTANTS, SCHEMA.field("at").type), "n": pa.array([1, 2, 3], pa.int32())})
    pq.write_table(rows, tmp_path / "old.parquet", use_deprecated_int96_timestamps=True)

    read = read_file(str(tmp_path), "old.parquet", {}, SCHEMA, condition)

    assert read.schema == SCHEMA
    assert read.column("n").to_pylist() == expected
    assert read.column("at").to_pylist() == [INSTANTS[number - 1] for number in expected]


# --- sorted runs ---

KEYED = pa.schema([("day", pa.string()), ("key", pa.string()), ("at", pa.timestamp("us", "UTC")), ("x", pa.float64())])


def keyed(keys: list[str], day: str = "monday") -> pa.Table:
    """A row a key, a microsecond apart."""
    times = pa.array(range(len(keys)), pa.int64()).cast(KEYED.field("at").type)
    return pa.table([[day] * len(keys), keys, times, [0.5] * len(keys)], schema=KEYED)


def key_bounds(root: Path, file: DataFile) -> list[tuple[Any, Any]]:
    """The keys' bounds of each row group, by the footer."""
    groups = stored_row_groups(str(root), file.path, ["key", "at"])
    return [bounds for group in groups for bounds in group.bounds[:1] if bounds is not None]


def test_row_groups_have_few_rows_and_bounds_of_keys(tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(10)]

    [file] = write_files(str(tmp_path), keyed(keys), ["day"], FileLimits(group_rows=4))

    assert key_bounds(tmp_path, file) == [(b"k0", b"k3"), (b"k4", b"k7"), (b"k8", b"k9")]
    assert [group.rows for group in stored_row_groups(str(tmp_path), file.path, ["at"])] == [4, 4, 2]
    assert pq.read_table(tmp_path / file.path, partitioning=None)["key"].to_pylist() == keys


def test_large_partitions_are_cut_into_files_by_key(tmp_path: Path) -> None:
    keys = [f"k{number:03}" for number in range(100)]
    rows = pa.concat_tables([keyed(keys), keyed(["k"], "tuesday")])
    limits = FileLimits(group_rows=10, file_bytes=2500)

    *monday, tuesday = write_files(str(tmp_path), rows, ["day"], limits)

    assert (tuesday.partition, tuesday.rows) == ({"day": "tuesday"}, 1)
    assert len(monday) > 1
    assert {file.partition["day"] for file in monday} == {"monday"}
    assert all(file.bytes < 2 * limits.file_bytes for file in monday)
    bounds = [(groups[0][0], groups[-1][1]) for groups in (key_bounds(tmp_path, file) for file in monday)]
    assert bounds == sorted(bounds)
    assert all(high < low for (_, high), (low, _) in pairwise(bounds))
    assert sum(file.rows for file in monday) == 100


def test_rows_that_come_in_pieces_fill_row_groups(tmp_path: Path) -> None:
    rows = keyed([f"k{number:02}" for number in range(25)]).drop_columns("day")
    files = NewFiles(str(tmp_path), {}, rows.schema, FileLimits(group_rows=10))
    for first in range(0, 25, 7):
        files.append(rows.slice(first, 7))
    [file] = files.close()

    assert [group.rows for group in stored_row_groups(str(tmp_path), file.path, ["key"])] == [10, 10, 5]
    assert pq.read_table(tmp_path / file.path).equals(rows)


def test_files_that_cannot_be_finished_are_removed(tmp_path: Path) -> None:
    rows = keyed([f"k{number:03}" for number in range(100)]).drop_columns("day")
    files = NewFiles(str(tmp_path), {}, rows.schema, FileLimits(group_rows=10, file_bytes=2500))
    files.append(rows)
    assert len(list(tmp_path.iterdir())) > 1
    files.discard()
    assert list(tmp_path.iterdir()) == []


def test_the_dictionary_of_a_row_group_holds_all_its_keys(tmp_path: Path) -> None:
    # Arrow's own limit of 1 MiB would hold 30,000 of these keys, and store the others in full.
    keys = [f"user-{number:026}" for number in range(50_000)]
    rows = keyed([key for key in keys for _ in range(4)])

    [file] = write_files(str(tmp_path), rows, ["day"], FileLimits(group_rows=200_000, group_bytes=1 << 30))

    [group] = [pq.read_metadata(tmp_path / file.path).row_group(0)]
    column = group.column(0)
    assert column.path_in_schema == "key"
    assert "RLE_DICTIONARY" in column.encodings
    in_dictionary, places = 50_000 * (4 + 31), 200_000 * 2
    assert in_dictionary <= column.total_uncompressed_size <= 1.02 * (in_dictionary + places)
