"""Which files are read without Spark, and what is read of them."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, Feature, FeatureGroup
from featurestore.columnar.rows.names import FAULTS
from featurestore.errors import SchemaError
from featurestore.stores.files.small_files import read_small_file

GROUP = FeatureGroup(
    "things", Entity("thing", join_keys={"id": "long"}), features=[Feature("n", "int"), Feature("day", "date")]
)
CSV = b"id,event_timestamp,n\n1,2026-11-01T00:00:00Z,7\n2,2026-11-01T00:00:00Z,x\n"
LINE = b'{"id": 1, "event_timestamp": "2026-11-01T00:00:00Z", "n": 7}\n'
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def read(path: Path, most_rows: int = 100, format: Any = None) -> pa.Table | None:
    return read_small_file(str(path), GROUP, "acme", format, most_rows)


@pytest.mark.parametrize(
    ("name", "content", "numbers"),
    [
        ("a.csv", CSV, [7, None]),
        ("a.csv.gz", gzip.compress(CSV, mtime=0), [7, None]),
        ("a.csv.gz", gzip.compress(CSV[:40], mtime=0) + gzip.compress(CSV[40:], mtime=0), [7, None]),
        ("a.csv", b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n"), [7, None]),
        ("a[1].csv", CSV, [7, None]),
        ("a.csv", b" id , event_timestamp,n\n", []),
        ("a.jsonl", LINE + b"\r\n \r" + LINE, [7, 7]),
        ("a.ndjson", b"\xef\xbb\xbf" + LINE, [7]),
        ("a.jsonl", b"", []),
    ],
)
def test_small_texts_are_read(tmp_path: Path, name: str, content: bytes, numbers: list[int | None]) -> None:
    (tmp_path / name).write_bytes(content)

    rows = read(tmp_path / name)

    assert rows is not None
    assert rows["n"].to_pylist() == numbers
    assert FAULTS in rows.column_names


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("_a.csv", CSV),
        (".a.csv", CSV),
        ("a:b.csv", CSV),
        ("a.csv.bz2", CSV),
        ("a.csv.GZ", gzip.compress(CSV, mtime=0)),
        ("a.csv.gz", CSV),
        ("a.csv.gz", gzip.compress(CSV, mtime=0)[:-9]),
        ("a.csv", CSV + b"3,\xff,1\n"),
        ("a.csv", CSV + b'3,a "b" c,1\n'),
        ("a.csv", b"\xef\xbb\xbf\xef\xbb\xbf" + CSV),
        ("a.csv", CSV.replace(b"\n", b"\r")),
        ("a.jsonl", LINE + b"\xff\n"),
        ("a.jsonl", b"{'id': 1}\n"),
        ("a.parquet", b"PAR1"),
    ],
)
def test_what_leaves_room_for_doubt_goes_by_spark(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    assert read(tmp_path / name) is None


def test_folders_missing_files_and_files_with_checksums_go_by_spark(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / ".a.csv.crc").write_bytes(b"crc")

    assert read(tmp_path / "folder.csv") is None
    assert read(tmp_path / "nowhere.csv") is None
    assert read(tmp_path / "a.csv") is None
    assert read_small_file("s3://bucket/rows.csv", GROUP, "acme", None, 100) is None


def test_files_of_many_rows_go_by_spark(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "a.jsonl").write_bytes(LINE * 2)
    pq.write_table(pa.table({"id": [1, 2], "event_timestamp": [NOON] * 2, "n": [7, 8]}), tmp_path / "a.parquet")

    for name in ("a.csv", "a.jsonl", "a.parquet"):
        assert read(tmp_path / name, most_rows=1) is None
        assert read(tmp_path / name, most_rows=2) is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.csv is empty; its first line must name the columns"),
        (b"\n\n", "a.csv is empty; its first line must name the columns"),
        (b"id,event_timestamp,m\n", "a.csv: group 'things' has no columns"),
        (b'id,event_timestamp,"n\n', "a.csv: its header cannot be read"),
        (b"id,event_timestamp,n, n \n", "a.csv: group 'things': columns \\['n'\\] come twice"),
    ],
)
def test_a_header_that_can_never_fit_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)

    with pytest.raises(SchemaError, match=message):
        read(tmp_path / "a.csv")


def test_a_name_without_a_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="does not imply a format"):
        read(tmp_path / "a.xlsx")


MOMENTS = pa.array([NOON], pa.timestamp("us", "UTC"))


@pytest.mark.parametrize(
    "columns",
    [
        {"n": pa.array([7])},
        {"n": pa.array([7], pa.int8()), "day": pa.array([date(2026, 11, 1)])},
        {"n": pa.array([1.5])},
        {"day": pa.array(["2026-11-01"], pa.large_string())},
    ],
)
def test_parquet_of_plain_types_is_read(tmp_path: Path, columns: dict[str, pa.Array]) -> None:
    pq.write_table(pa.table({"id": [1], "event_timestamp": MOMENTS, **columns}), tmp_path / "a.parquet")

    rows = read(tmp_path / "a.parquet")

    assert rows is not None
    assert [rows[name].to_pylist() for name in columns] == [column.to_pylist() for column in columns.values()]


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        ({"n": pa.array([7], pa.uint8())}, {}),
        ({"n": pa.nulls(1)}, {}),
        ({"n": pa.array([7]), "N": pa.array([8])}, {}),
        ({"n": pa.array([7], pa.duration("us"))}, {}),
        ({"day": pa.array(["2026-11-01"]).dictionary_encode()}, {}),
        ({"day": pa.array([date(1500, 1, 1)])}, {}),
        ({"created_timestamp": pa.array([datetime(1890, 1, 1, tzinfo=UTC)])}, {}),
        ({"created_timestamp": MOMENTS.cast(pa.timestamp("ns", "UTC"))}, {}),
        ({"created_timestamp": MOMENTS.cast(pa.timestamp("ms", "UTC"))}, {}),
        ({"n": pa.array([7])}, {"use_deprecated_int96_timestamps": True}),
    ],
)
def test_parquet_that_spark_may_read_otherwise_goes_by_spark(
    tmp_path: Path, columns: dict[str, pa.Array], options: dict[str, Any]
) -> None:
    pq.write_table(pa.table({"id": [1], "event_timestamp": MOMENTS, **columns}), tmp_path / "a.parquet", **options)

    assert read(tmp_path / "a.parquet") is None


@pytest.mark.parametrize("name", ["x" * 300 + ".csv", "\ud800.csv", "a\0b.csv"])
def test_a_path_that_cannot_be_looked_up_is_sparks_to_refuse(tmp_path: Path, name: str) -> None:
    assert read_small_file(f"{tmp_path}/{name}", GROUP, "acme", "csv", 100) is None
