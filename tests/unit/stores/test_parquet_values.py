"""Parquet files of values as the as-of kernel reads them, whoever wrote them and when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.columnar.as_of import blocks
from featurestore.columnar.as_of.blocks import open_chunks, plan_blocks
from featurestore.columnar.as_of.join import as_of_join
from featurestore.columnar.as_of.rules import AsOfRules
from featurestore.columnar.as_of.segments import Segment, Segments
from featurestore.columnar.as_of.spine_keys import SpineKeys, SpineRows
from featurestore.columnar.as_of.value_files import Bounds, Partition
from featurestore.errors import StorageError
from featurestore.stores.delta.data_files import write_files
from featurestore.stores.places import place_of
from featurestore.stores.value_files.faults import value_file_errors
from featurestore.stores.value_files.parquet import OpenedParquet, ParquetValues, UnreadableFileError, ValueColumns

INSTANT = pa.timestamp("us", "UTC")
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)
VALUES = pa.schema({"code": pa.string(), "event_timestamp": INSTANT, "created_timestamp": INSTANT, "n": pa.int64()})


def values_at(path: Path | str, schema: pa.Schema, keys: tuple[str, ...] = ()) -> ParquetValues:
    root, _, name = str(path).rpartition("/")
    place, system = place_of(root, name)
    elsewhere = None if system is None else (system, place)
    bounds = ((None, None),) * len(keys)
    return ParquetValues(str(path), ValueColumns(schema, keys), 0, 0, bounds, (None, None), elsewhere)


def opened(path: Path, schema: pa.Schema, keys: tuple[str, ...] = ()) -> OpenedParquet:
    return values_at(path, schema, keys).open()


def by_pyarrow(folder: Path, rows: pa.Table) -> Path:
    pq.write_table(rows, folder / "values.parquet")
    return folder / "values.parquet"


def by_this_package(folder: Path, rows: pa.Table) -> Path:
    return folder / write_files(str(folder), rows, [])[0].path


def by_old_spark(folder: Path, rows: pa.Table) -> Path:
    """Instants as INT96, and no Arrow schema in the footer."""
    path = folder / "old.parquet"
    with pq.ParquetWriter(path, rows.schema, use_deprecated_int96_timestamps=True, store_schema=False) as writer:
        writer.write_table(rows)
    return path


Writer = Callable[[Path, pa.Table], Path]
WRITERS = pytest.mark.parametrize("write", [by_pyarrow, by_this_package, by_old_spark])


@WRITERS
def test_values_of_every_type_come_back_as_they_were_written(write: Writer, tmp_path: Path) -> None:
    rows = pa.table(
        {
            "score": pa.array([float("inf"), -0.0, None]),
            "ratio": pa.array([0.5, None, -1.0], pa.float32()),
            "count": pa.array([2**63 - 1, -(2**63), None]),
            "small": pa.array([2**31 - 1, None, -1], pa.int32()),
            "flag": [True, None, False],
            "name": ["", "é😀", None],
            "day": [date(1, 1, 1), date(9999, 12, 31), None],
            "seen": pa.array([FIRST, LAST, None], INSTANT),
            "vector": pa.array([[1.5, -0.0], [], None], pa.list_(pa.float32())),
            "tags": [["a", None], [], None],
        }
    )
    file = opened(write(tmp_path, rows), rows.schema)

    read = file.read([0], rows.column_names)

    assert read.schema.types == rows.schema.types
    assert read.to_pydict() == rows.to_pydict()


# Type of a key -> values, and their bounds as the kernel compares them.
KEYS: dict[str, tuple[pa.Array, Bounds]] = {
    "string": (pa.array(["a", "", "😀", "\uffff", "é"]), (b"", "😀".encode())),
    "text with zero": (pa.array(["a\0b", "a"]), (b"a", b"a\0b")),
    "long": (pa.array([5, -(2**63), 2**63 - 1]), (-(2**63), 2**63 - 1)),
    "int": (pa.array([-(2**31), 7], pa.int32()), (-(2**31), 7)),
    "true": (pa.array([True]), (1, 1)),
    "boolean": (pa.array([True, False]), (0, 1)),
    "date": (pa.array([date(1970, 1, 2), date(1969, 12, 31), date(1, 1, 1)]), (-719_162, 1)),
    "timestamp": (pa.array([datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), FIRST], INSTANT), (-62135596800000000, -1)),
}  # fmt: skip


@pytest.mark.parametrize("write", [by_pyarrow, by_this_package])
@pytest.mark.parametrize("kind", KEYS)
def test_a_row_group_has_the_bounds_of_its_keys(write: Writer, kind: str, tmp_path: Path) -> None:
    keys, bounds = KEYS[kind]
    rows = pa.table({"key": keys})

    file = opened(write(tmp_path, rows), rows.schema, ("key",))

    assert [(group.rows, group.bounds) for group in file.row_groups] == [(len(keys), (bounds,))]


def test_each_row_group_has_bounds_of_its_own(tmp_path: Path) -> None:
    rows = pa.table({"code": ["a", "b", "b", "c"], "n": [4, 3, 2, 1]})
    pq.write_table(rows, tmp_path / "f.parquet", row_group_size=3)

    file = opened(tmp_path / "f.parquet", rows.schema, ("code", "n"))

    assert [group.rows for group in file.row_groups] == [3, 1]
    assert [group.bounds for group in file.row_groups] == [((b"a", b"b"), (2, 4)), ((b"c", b"c"), (1, 1))]
    assert file.read([1, 0], ["n"])["n"].to_pylist() == [1, 4, 3, 2]


def test_bounds_that_a_file_does_not_tell_are_none(tmp_path: Path) -> None:
    at = pa.array([FIRST], INSTANT)
    plain = pa.table({"code": ["a"], "at": at})
    long_text = pa.table({"code": ["x" * 5000], "at": at})
    schema = pa.schema({"code": pa.string(), "at": INSTANT, "later": pa.int64()})
    pq.write_table(plain, tmp_path / "none.parquet", write_statistics=False)
    pq.write_table(long_text, tmp_path / "long.parquet")
    pq.write_table(
        plain.cast(pa.schema({"code": pa.string(), "at": pa.timestamp("ms", "UTC")})), tmp_path / "ms.parquet"
    )
    by_old_spark(tmp_path, plain)

    found = {
        name: opened(tmp_path / f"{name}.parquet", schema, ("code", "at", "later")).row_groups[0].bounds
        for name in ("none", "long", "ms", "old")
    }

    unknown, moment = (None, None), (-62135596800000000, -62135596800000000)
    assert found == {
        "none": (unknown, unknown, unknown),
        "long": (unknown, moment, unknown),
        "ms": ((b"a", b"a"), unknown, unknown),
        "old": ((b"a", b"a"), unknown, unknown),
    }


@WRITERS
def test_a_column_that_an_old_file_lacks_is_null(write: Writer, tmp_path: Path) -> None:
    path = write(tmp_path, pa.table({"code": ["a", "b"]}))
    schema = pa.schema({"code": pa.string(), "n": pa.int64(), "tags": pa.list_(pa.string())})

    file = opened(path, schema, ("code",))

    assert file.read([0], ["n", "tags"]).schema == pa.schema([schema.field("n"), schema.field("tags")])
    assert file.read([0], ["n", "tags"]).to_pydict() == {"n": [None, None], "tags": [None, None]}


@WRITERS
def test_a_column_that_was_widened_has_the_tables_type(write: Writer, tmp_path: Path) -> None:
    narrow = pa.table({"number": pa.array([-(2**31), 2**31 - 1, None], pa.int32()), "ratio": pa.array([0.5, -0.0, None], pa.float32())})  # fmt: skip
    wide = pa.schema({"number": pa.int64(), "ratio": pa.float64()})

    file = opened(write(tmp_path, narrow), wide, ("number",))

    assert file.row_groups[0].bounds == ((-(2**31), 2**31 - 1),)
    assert file.read([0], ["number", "ratio"]).schema == wide
    assert file.read([0], ["ratio", "number"]).to_pydict() == narrow.select(["ratio", "number"]).to_pydict()


@WRITERS
def test_texts_of_keys_are_dictionaries_and_other_texts_are_not(write: Writer, tmp_path: Path) -> None:
    rows = pa.table({"code": ["b", "a", "b"], "name": ["x", "x", None]})

    read = opened(write(tmp_path, rows), rows.schema, ("code",)).read([0], ["code", "name"])

    assert read.schema.types == [pa.dictionary(pa.int32(), pa.string()), pa.string()]
    assert read.to_pydict() == rows.to_pydict()


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.string_view()])
def test_text_keys_of_files_by_other_writers_are_read_together(kind: pa.DataType, tmp_path: Path) -> None:
    """Arrow keeps the writer's own types in the footer."""
    rows = pa.table({"code": ["a", "é"]})
    pq.write_table(pa.table({"code": pa.array(["é", "😀"]).cast(kind)}), tmp_path / "other.parquet")
    files = [
        opened(path, rows.schema, ("code",)) for path in (by_this_package(tmp_path, rows), tmp_path / "other.parquet")
    ]

    together = Segments.of([Segment(file, 0, 2) for file in files]).table(["code"])

    assert together["code"].to_pylist() == ["a", "é", "é", "😀"]
    assert files[1].row_groups[0].bounds == (("é".encode(), "😀".encode()),)


@pytest.mark.parametrize("write", [by_pyarrow, by_old_spark])
def test_a_file_without_rows_changes_nothing(write: Writer, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    full = write(tmp_path / "full", pa.Table.from_pylist([{"code": "a", "event_timestamp": FIRST, "created_timestamp": FIRST, "n": 1}], VALUES))  # fmt: skip
    empty = write(tmp_path, VALUES.empty_table())
    files = tuple(values_at(path, VALUES, ("code",)) for path in (empty, full))
    spine = SpineRows.of([pa.array(["a", "b", None])], pa.array([FIRST] * 3, INSTANT))

    for some in (files, files[:1]):
        taken = as_of_join(spine, [Partition(-(2**56), some)], AsOfRules(("code",), ("n",)), {"n": pa.int64()})

        assert taken.features["n"].to_pylist() == [1 if full == Path(some[-1].path) else None, None, None]


def test_a_path_may_be_a_uri(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20é"
    folder.mkdir()
    rows = pa.table({"code": ["a"], "n": [1]})

    file = values_at(f"file://{quote(str(by_pyarrow(folder, rows)))}", rows.schema, ("code",)).open()

    assert file.read([0], ["code", "n"]).to_pydict() == rows.to_pydict()
    assert file.row_groups[0].bounds == ((b"a", b"a"),)


def with_damaged_pages(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 60 + whole[64:])


# How a file is spoilt -> whether its footer can still be read, and what the error says.
FAULTS: dict[str, tuple[Callable[[Path], Any], bool, str]] = {
    "gone": (lambda path: path.unlink(), False, "is not there; vacuum or an erasure removed it"),
    "empty": (lambda path: path.write_bytes(b""), False, "the file is damaged"),
    "no Parquet": (lambda path: path.write_bytes(b"some text" * 100), False, "the file is damaged"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:200]), False, "the file is damaged"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), False, "the file is damaged"),
    "damaged pages": (with_damaged_pages, True, "the file is damaged"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_file_that_cannot_be_read_is_named_with_its_table(scheme: str, fault: str, tmp_path: Path) -> None:
    spoil, opens, advice = FAULTS[fault]
    rows = pa.table({"code": ["a"], "n": [1]})
    pq.write_table(rows, tmp_path / "f.parquet")
    spoil(tmp_path / "f.parquet")
    table = f"{scheme}{tmp_path}"
    file = values_at(f"{table}/f.parquet", rows.schema, ("code",))

    with pytest.raises(UnreadableFileError, match=f"^{table}/f.parquet: ."):
        file.open().read([0], ["code", "n"])
    with pytest.raises(StorageError, match=f"^table {table}: f.parquet: .*{advice}"), value_file_errors(table):
        (file.open().read([0], ["code", "n"]) if opens else file.open())


def test_a_file_is_named_with_its_own_of_several_tables(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    tables = [str(tmp_path / name) for name in ("one", "two")]

    with pytest.raises(StorageError, match=f"^table {tables[1]}: f.parquet: "), value_file_errors(*tables):
        values_at(f"{tables[1]}/f.parquet", VALUES).open()


def test_a_file_that_was_removed_after_it_was_opened_is_still_read(tmp_path: Path) -> None:
    rows = pa.table({"code": ["a"]})
    path = by_pyarrow(tmp_path, rows)
    file = opened(path, rows.schema, ("code",))
    path.unlink()

    assert file.read([0], ["code"]).to_pydict() == {"code": ["a"]}


def test_what_is_held_at_a_time_is_limited_as_it_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that compress well take a hundred times as much memory as in the file."""
    texts = [f"{number:02}" + "x" * 100_000 for number in range(32)]
    rows = pa.table({"code": [text[:2] for text in texts], "text": texts})
    pq.write_table(rows, tmp_path / "values.parquet", row_group_size=2, use_dictionary=False)
    size = (tmp_path / "values.parquet").stat().st_size
    columns = ValueColumns(rows.schema, ("code",))
    file = ParquetValues(str(tmp_path / "values.parquet"), columns, 32, size, ((b"00", b"31"),), (None, None))
    keys, _ = SpineKeys.of([pa.array(rows["code"].to_pylist())])
    monkeypatch.setattr(blocks, "_MOST_BYTES", 1_000_000)

    [block] = plan_blocks([Partition(0, (file,))], keys, AsOfRules(("code",), ("text",), None, "skip", None))
    chunks = open_chunks(block, keys)

    assert size < 1_000_000 < rows.nbytes
    assert max(sum(group.rows for group in chunk.row_groups) for chunk in chunks) <= 10
    assert sum(group.rows for chunk in chunks for group in chunk.row_groups) == 32
