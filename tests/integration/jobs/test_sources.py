"""Files as sources of transformations: every file by its own columns, or refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from featurestore import Settings, Source
from featurestore.errors import FeatureStoreError, NotFoundError, SchemaError, StorageError
from featurestore.operations.context import named_files
from featurestore.stores.sources import read_source
from featurestore.stores.storage_faults import storage_errors

Format = Literal["csv", "json", "parquet"]


def read(spark: SparkSession, folder: Path, format: Format, **options: str) -> DataFrame:
    settings = Settings(warehouse=str(folder / "warehouse"), landing=str(folder))
    source = Source(path="{landing}/{tenant_id}", format=format, options=options)
    return read_source(named_files(spark), "events", source, "acme", settings)


def rows(frame: DataFrame) -> list[tuple[Any, ...]]:
    """Its values in the order of its columns' names."""
    with storage_errors():
        return sorted((tuple(row) for row in frame.select(*sorted(frame.columns)).collect()), key=repr)


def land(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = folder / "acme" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")


@pytest.mark.parametrize(
    ("files", "options", "expected"),
    [
        ({"a.csv": "k,x\na,1\n", "b.csv": "x,k\n2,b\n"}, {}, [("a", "1"), ("b", "2")]),
        ({"a.csv": "k;x\na;1\n", "b.csv": "#\n x;k \n2;b\n"}, {"sep": ";", "comment": "#"}, [("a", "1"), ("b", "2")]),
        ({"a.csv": "k,x\na,1\n", "b.csv": "k\nb\n", "c.csv": ""}, {"inferSchema": "true"}, [("a", 1), ("b", None)]),
        ({"day=1/a.csv": "k\na\n", "day=2/b.csv": "k\nb\n"}, {}, [(1, "a"), (2, "b")]),
        ({"a.csv": "k,x\na,1\n", "b.csv": "x,k\n2,b\n"}, {"pathGlobFilter": "b*"}, [("b", "2")]),
        (
            {"a[1].csv": "k\na\n", "a1.csv": "k\nb\n", "c/d.csv": "k\nc\n", "_e.csv": "k\ne\n"},
            {},
            [("a",), ("b",), ("c",)],
        ),
        ({"a.csv": "k,x\na,1\nb\n"}, {"mode": "PERMISSIVE"}, [("a", "1"), ("b", None)]),
    ],
)
def test_csv_files_are_read_by_their_own_headers(
    spark: SparkSession, tmp_path: Path, files: dict[str, str], options: dict[str, str], expected: list[tuple[Any, ...]]
) -> None:
    land(tmp_path, files)

    assert rows(read(spark, tmp_path, "csv", header="true", **options)) == expected


@pytest.mark.parametrize(
    ("format", "files", "options", "kind", "message"),
    [
        (
            "csv",
            {"a.csv": "k,x\na,1\nb\n"},
            {"header": "true"},
            StorageError,
            "a.csv: a row of the file has more or fewer cells",
        ),
        (
            "csv",
            {"a.csv": "k,x\na,1,2\n"},
            {"header": "true"},
            StorageError,
            "a.csv: a row of the file has more or fewer cells",
        ),
        ("csv", {"a.csv": "a,1\n", "b.csv": "b,2,3\n"}, {}, StorageError, "a row of the file has more or fewer cells"),
        ("csv", {"a.csv": "k,K\n1,2\n"}, {"header": "true"}, SchemaError, "a.csv: columns ['k'] come twice"),
        ("csv", {"a.csv": ""}, {"header": "true"}, SchemaError, "is empty"),
        (
            "csv",
            {"k=1/a.csv": "k\n2\n"},
            {"header": "true"},
            SchemaError,
            "columns ['k'] are in the files and in the names",
        ),
        ("csv", {"a:b.csv": "k\n2\n"}, {"header": "true"}, FeatureStoreError, "has ':' in its name"),
        ("csv", {"a[1].csv": "k\n2\n"}, {"multiLine": "true"}, FeatureStoreError, "rename such files"),
        (
            "csv",
            {"a.csv": "k\nü\n"},
            {"header": "true", "encoding": "none"},
            FeatureStoreError,
            "encoding 'none' is not known",
        ),
        ("csv", {"_a.csv": "k\n2\n"}, {}, NotFoundError, "source 'events': there is nothing at"),
        ("csv", {}, {}, NotFoundError, "source 'events': there is nothing at"),
        ("json", {"a.json": '{"k": 1}', "b.json": '{"K": 0.5}'}, {}, SchemaError, "keys ['k'] differ only in case"),
        ("json", {"a.json": '{"k": {"x": 1, "X": 2}}'}, {}, SchemaError, "keys ['x'] differ only in case"),
        ("json", {"a.json": '{"k": 1}\n{"k":'}, {}, SchemaError, "one of its rows cannot be read"),
    ],
)
def test_a_source_that_would_be_read_in_part_or_not_at_all_is_an_error(
    spark: SparkSession,
    tmp_path: Path,
    format: Format,
    files: dict[str, str],
    options: dict[str, str],
    kind: type[Exception],
    message: str,
) -> None:
    land(tmp_path, files)

    with pytest.raises(kind, match=re.escape(message)):
        rows(read(spark, tmp_path, format, **options))


def test_json_and_parquet_files_have_the_columns_of_all(spark: SparkSession, tmp_path: Path) -> None:
    json, parquet = tmp_path / "json", tmp_path / "parquet"
    land(json, {"day=1/a.json": '{"k": "a", "x": 1}\n', "day=1/b.json": '{"k": "b", "y": {"z": 2}}\n'})
    (parquet / "acme").mkdir(parents=True)
    pq.write_table(pa.table({"k": ["a"], "x": pa.array([1], pa.int32())}), parquet / "acme" / "a.parquet")
    pq.write_table(pa.table({"k": ["b"], "x": [2**60], "y": [2.0]}), parquet / "acme" / "b.parquet")

    assert rows(read(spark, json, "json")) == [(1, "a", 1, None), (1, "b", None, (2,))]
    assert rows(read(spark, parquet, "parquet")) == [("a", 1, None), ("b", 2**60, 2.0)]
