"""Files of rows: what a file holds, and what the store makes of it."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore
from featurestore.errors import FeatureStoreError
from featurestore.operations.context import named_files
from featurestore.stores.files.rows import FileFormat, read_rows
from tests.cli_answers import Answer
from tests.settings_folder import write_settings_folder

TYPES = ("double", "float", "long", "int", "boolean", "string", "timestamp", "date", "json")
THING = Entity("thing", join_keys={"id": "long"})
GROUP = FeatureGroup(
    "things",
    THING,
    features=[
        *(Feature(f"a_{kind}", kind) for kind in TYPES),
        Feature("numbers", "array<double>"),
        Feature("words", "array<string>"),
        Feature("vector", "embedding(2)"),
    ],
)
TIME = "2026-11-01T00:00:00Z"

Ingest = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def project(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    conf = write_settings_folder(folder / "conf", warehouse="warehouse")
    FeatureStore.open(conf).apply([GROUP])
    return folder


@pytest.fixture
def store(project: Path) -> OfflineStore:
    return FeatureStore.open(project / "conf").tenant("acme")


@pytest.fixture
def ingest(machine: Answer) -> Ingest:
    def answer(file: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
        document: dict[str, Any] = machine("ingest", "things", str(file), *arguments, code=code)
        return document

    return answer


def rejected(store: OfflineStore, batch_id: str) -> list[tuple[dict[str, Any], list[str]]]:
    """The rejected rows of a batch as they came, each with its reasons."""
    rows: DataFrame = store.rejected("things", batch_id=batch_id)
    return [(json.loads(row["row"]), row["reasons"]) for row in rows.orderBy("row").collect()]


def stored(store: OfflineStore, *ids: int) -> list[dict[str, Any]]:
    """What the store holds of these things, read as of a later moment."""
    spine = pa.table({"id": list(ids), "event_timestamp": [datetime(2026, 12, 1, tzinfo=UTC)] * len(ids)})
    features = [f"things:{name}" for name in GROUP.feature_names]
    rows: list[dict[str, Any]] = store.get_point_in_time(spine, features).drop_columns("event_timestamp").to_pylist()
    return rows


EVERY_TYPE = {
    "a_double": 1.5,
    "a_float": 0.25,
    "a_long": 9007199254740993,
    "a_int": -3,
    "a_boolean": True,
    "a_string": 'a, "b"\nc',
    "a_timestamp": datetime(2025, 12, 31, 23, 0, 0, 123456, tzinfo=UTC),
    "a_date": datetime(2026, 1, 2, tzinfo=UTC).date(),
    "a_json": '{"k": [1, null]}',
    "numbers": [1.0, 2.5],
    "words": ["x", "y, z"],
    "vector": [0.5, -1.0],
}


def test_csv_cells_are_read_as_the_groups_types(ingest: Ingest, store: OfflineStore, tmp_path: Path) -> None:
    file = tmp_path / "things.csv"
    file.write_text(
        "id,event_timestamp,a_double,a_float,a_long,a_int,a_boolean,a_string,a_timestamp,a_date,a_json,"
        "numbers,words,vector\n"
        f'1,{TIME},1.5,.25,9007199254740993,-3.0,TRUE,"a, ""b""\nc",2026-01-01T00:00:00.123456+01:00,2026-01-02,'
        '"{""k"": [1, null]}","[1, 2.5]","[""x"", ""y, z""]","[0.5, -1]"\n'
        f"2,{TIME},,,,,,,,,,,,\n",
        encoding="utf-8",
    )

    result = ingest(file)

    assert (result["written"], result["failed"]) == (2, 0)
    assert stored(store, 1, 2) == [{"id": 1} | EVERY_TYPE, {"id": 2} | dict.fromkeys(EVERY_TYPE)]


def test_json_lines_are_read_as_the_groups_types(ingest: Ingest, store: OfflineStore, tmp_path: Path) -> None:
    row = EVERY_TYPE | {"a_timestamp": "2026-01-01T00:00:00.123456+01:00", "a_date": "2026-01-02"}
    lines = [
        {"id": 11, "event_timestamp": TIME, **row, "a_json": {"k": [1, None]}},
        {"id": 12, "event_timestamp": TIME, "a_double": 0},
    ]
    file = tmp_path / "things.jsonl"
    file.write_text("\n\n".join(json.dumps(line) for line in lines), encoding="utf-8")

    result = ingest(file)

    assert (result["written"], result["failed"]) == (2, 0)
    first, second = stored(store, 11, 12)
    assert json.loads(first.pop("a_json")) == {"k": [1, None]}
    assert first == {"id": 11} | {name: value for name, value in EVERY_TYPE.items() if name != "a_json"}
    assert second == {"id": 12} | dict.fromkeys(EVERY_TYPE) | {"a_double": 0.0}


def test_parquet_keeps_its_types(ingest: Ingest, store: OfflineStore, tmp_path: Path) -> None:
    file = tmp_path / "things.parquet"
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    pq.write_table(pa.table({"id": [21], "event_timestamp": [moment], "a_long": [7], "words": [["x"]]}), file)

    result = ingest(file)

    assert (result["written"], result["failed"]) == (1, 0)
    assert stored(store, 21) == [{"id": 21} | dict.fromkeys(EVERY_TYPE) | {"a_long": 7, "words": ["x"]}]


def test_a_cell_that_cannot_be_read_is_a_rejected_row(ingest: Ingest, store: OfflineStore, tmp_path: Path) -> None:
    cells = [
        ("a_double", "abc", "not readable as double"),
        ("a_double", "1d", "not readable as double"),
        ("a_double", "1,5", "not readable as double"),
        ("a_double", "NaN", "not a finite number"),
        ("a_double", "1e999", "not a finite number"),
        ("a_long", "2.5", "not a whole number, for long"),
        ("a_long", "9223372036854775808", "beyond the range of long"),
        ("a_int", "3000000000", "beyond the range of int"),
        ("a_boolean", "yes", "not readable as boolean"),
        ("a_timestamp", "2026-01-01", "a date without a time"),
        ("a_date", "01/02/2026", "not readable as date"),
        ("a_json", "{", "not readable as json"),
        ("numbers", "1;2", "not readable as array<double>"),
        ("vector", "[1]", "not of 2 dims"),
    ]
    file = tmp_path / "things.csv"
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, ["id", "event_timestamp", *GROUP.feature_names])
        writer.writeheader()
        writer.writerow({"id": 100, "event_timestamp": TIME, "a_double": "1.5"})
        for number, (name, cell, _) in enumerate(cells):
            writer.writerow({"id": number, "event_timestamp": TIME, name: cell})

    result = ingest(file, "--batch-id", "cells")

    assert (result["written"], result["failed"]) == (1, len(cells))
    faults = {int(row["id"]): (row, reasons) for row, reasons in rejected(store, "cells")}
    for number, (name, cell, reason) in enumerate(cells):
        row, reasons = faults[number]
        assert reasons == [f"{name}: {reason}"]
        assert {key: value for key, value in row.items() if value is not None} == {
            "id": str(number),
            "event_timestamp": TIME,
            name: cell,
        }


def test_a_line_with_more_or_fewer_cells_is_a_rejected_row(ingest: Ingest, store: OfflineStore, tmp_path: Path) -> None:
    file = tmp_path / "things.csv"
    file.write_text(f"id,event_timestamp,a_long\n31,{TIME},1\n32,{TIME}\n33,{TIME},3,4\n", encoding="utf-8")

    result = ingest(file, "--batch-id", "ragged")

    assert (result["written"], result["failed"]) == (1, 2)
    assert result["errors"] == {"the line has not as many cells as the header": 2}
    assert [row for row, _ in rejected(store, "ragged")] == [
        {"line": f"32,{TIME}"},
        {"line": f"33,{TIME},3,4"},
    ]


def test_json_lines_with_faults_are_rejected_rows(ingest: Ingest, store: OfflineStore, tmp_path: Path) -> None:
    file = tmp_path / "things.jsonl"
    file.write_text(
        f'{{"id": 41, "event_timestamp": "{TIME}", "a_double": 1}}\n'
        f'{{"id": 42, "event_timestamp": "{TIME}", "a_double": "1"}}\n'
        f'{{"id": 43, "event_timestamp": "{TIME}", "a_dubble": 1}}\n'
        f'{{"id": 44, "event_timestamp": "{TIME}", "tenant_id": "other"}}\n'
        f'{{"id": 45, "event_timestamp": "{TIME}", "a_string": 5}}\n'
        "[46]\n"
        "47\n"
        "{\n",
        encoding="utf-8",
    )

    result = ingest(file, "--batch-id", "faults")

    assert (result["written"], result["failed"]) == (1, 7)
    reasons = {
        "a_double: expected double, found str": 1,
        "not columns of the group: a_dubble": 1,
        "tenant_id: not the tenant of this store": 1,
        "a_string: expected string, found int": 1,
        "the line is not one JSON object": 3,
    }
    assert {reason: result["errors"].get(reason) for reason in reasons} == reasons


def test_a_header_with_a_byte_order_mark_and_line_ends_of_windows(ingest: Ingest, tmp_path: Path) -> None:
    file = tmp_path / "things.csv"
    file.write_bytes(f"\ufeffid,event_timestamp,a_long\r\n51,{TIME},1\r\n".encode())

    assert ingest(file)["written"] == 1


def test_small_files_are_read_without_spark(
    store: OfflineStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    text = f'id,event_timestamp,a_string,vector\n302,{TIME},"x\ny","[1, 0.5]"\n303,{TIME},,[1]\n304\n'
    line = f'{{"id": 305, "event_timestamp": "{TIME}", "a_json": {{"k": 1.50}}, "numbers": [1, 2]}}\n[1]\n'
    fill(tmp_path, {"a.csv": text, "b.csv.gz": gzip.compress(text.encode()), "c.jsonl": line})
    pq.write_table(pa.table({"id": [306], "event_timestamp": [moment], "a_int": [7]}), tmp_path / "d.parquet")
    monkeypatch.setattr("featurestore.operations.writing.ingest_file.read_rows", None)
    monkeypatch.setattr("featurestore.operations.writing.ingest.to_spark", None)

    results = [store.ingest("things", tmp_path / name) for name in ("a.csv", "b.csv.gz", "c.jsonl", "d.parquet")]

    assert [(result.written, result.failed) for result in results] == [(1, 2), (1, 2), (1, 1), (1, 0)]
    values = stored(store, 302, 303, 305, 306)
    assert [(row["a_string"], row["vector"], row["a_json"], row["a_int"]) for row in values] == [
        ("x\ny", [1.0, 0.5], None, None),
        (None, None, None, None),
        (None, None, '{"k":1.5}', None),
        (None, None, None, 7),
    ]


def test_a_folder_of_files_is_one_batch(ingest: Ingest, tmp_path: Path) -> None:
    folder = tmp_path / "things"
    folder.mkdir()
    for number in (61, 62):
        (folder / f"{number}.csv").write_text(f"id,event_timestamp,a_long\n{number},{TIME},1\n", encoding="utf-8")

    assert ingest(folder, "--format", "csv")["written"] == 2


def fill(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return folder


def test_every_csv_file_of_a_folder_is_read_by_its_own_header(
    ingest: Ingest, store: OfflineStore, tmp_path: Path
) -> None:
    folder = fill(
        tmp_path,
        {
            "a.csv": f"id,event_timestamp,a_long,a_int\n201,{TIME},1,10\n",
            "b.csv": f"id,event_timestamp,a_int,a_long\n202,{TIME},20,2\n",
            "c.csv": f'\ufeffa_long, id ,"event_timestamp"\r\n3,203,{TIME}\r\n',
            "d.csv.gz": gzip.compress(f"id,a_int,event_timestamp\n204,40,{TIME}\n".encode()),
            "a_int=08/h.csv": f"id,event_timestamp,a_long\n208,{TIME},8\n",
            "below/deep/e.csv": f"\nid,event_timestamp,a_int\n205,{TIME},50\n",
            "f.csv": f"id,event_timestamp,a_int\n206,{TIME}\n",
            "g.csv": b"id,event_timestamp,a_string\n207," + TIME.encode() + b",M\xfcller\n",
            "empty.csv": "",
            "_SUCCESS": "",
            ".a.csv.crc": "crc",
            "_hidden.csv": f"id,event_timestamp,a_int\n299,{TIME},9\n",
            "_temporary/0/h.csv": f"id,event_timestamp,a_int\n299,{TIME},9\n",
        },
    )

    result = ingest(folder, "--format", "csv")

    assert (result["written"], result["failed"]) == (6, 2)
    assert result["errors"] == {
        "the line has not as many cells as the header": 1,
        "the text is not UTF-8": 1,
    }
    assert [(row["id"], row["a_long"], row["a_int"]) for row in stored(store, *range(201, 206), 208, 299)] == [
        (201, 1, 10),
        (202, 2, 20),
        (203, 3, None),
        (204, None, 40),
        (205, None, 50),
        (208, 8, 8),
        (299, None, None),
    ]


def test_every_parquet_file_of_a_folder_is_read_by_its_own_columns(
    ingest: Ingest, store: OfflineStore, tmp_path: Path
) -> None:
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    (tmp_path / "a_int=7").mkdir()
    for name, columns in {
        "a.parquet": {"id": [211], "a_long": pa.array([1], pa.int32())},
        "b[1].parquet": {"id": [212], "a_long": pa.array([2**60]), "a_boolean": [True]},
        "b1.parquet": {"id": [213], "a_long": pa.nulls(1)},
        "a_int=7/c.parquet": {"id": [214], "a_double": [0.5]},
    }.items():
        pq.write_table(pa.table({**columns, "event_timestamp": [moment]}), tmp_path / name)

    assert ingest(tmp_path, "--format", "parquet")["written"] == 4

    wanted = ("id", "a_long", "a_boolean", "a_int", "a_double")
    assert [tuple(row[name] for name in wanted) for row in stored(store, 211, 212, 213, 214)] == [
        (211, 1, None, None, None),
        (212, 2**60, True, None, None),
        (213, None, None, None, None),
        (214, None, None, 7, 0.5),
    ]


ODD_NAMES = (
    "rows[1].csv",
    "rows1.csv",
    "{a,b}.csv",
    "a.csv",
    "st*r.csv",
    "star.csv",
    "qu?.csv",
    "back\\slash.csv",
    "p%20c.csv",
    "p c.csv",
    "k=1.csv",
    "two\nlines.csv",
    "[!a] #+é.csv",
)


def test_a_file_is_read_by_exactly_its_name(spark: SparkSession, tmp_path: Path) -> None:
    """As one folder with a name that is also a pattern; and each file by its own name."""
    folder = tmp_path / "all[1].csv"
    fill(folder, {name: f"id,event_timestamp,a_int\n{i},{TIME},1\n" for i, name in enumerate(ODD_NAMES)})
    fill(tmp_path / "all1.csv", {"other.csv": f"id,event_timestamp,a_int\n99,{TIME},1\n"})
    files = named_files(spark)

    def ids(path: Path) -> list[int]:
        return sorted(int(row["id"]) for row in read_rows(files, str(path), GROUP, "acme").select("id").collect())

    assert ids(folder) == list(range(len(ODD_NAMES)))
    assert [ids(folder / name) for name in ODD_NAMES] == [[i] for i in range(len(ODD_NAMES))]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("day/e_2026-11-01T00:00.csv", "has ':' in its name; rename it"),
        ("day", "has ':' in its name; rename it"),
        ("_rows.csv", "names that begin with '_' or '.' are skipped"),
        (".rows.csv", "names that begin with '_' or '.' are skipped"),
        ("hidden.csv", "names that begin with '_' or '.' are skipped"),
        ("rows[1].csv", "no such file or folder (names are read literally, not as patterns)"),
        ("*.csv", "no such file or folder (names are read literally, not as patterns)"),
        ("x:y.csv", "no such file or folder"),
        ("case.csv", "b.csv: group 'things' has no columns ['A_int']"),
        ("headless.csv", "b.csv: group 'things' has no columns ['1', "),
        ("twice.csv", "b.csv: group 'things': columns ['a_int'] come twice"),
        ("other.csv", "notes.txt: group 'things' has no columns ['notes']"),
        ("open.csv", "b.csv: its header cannot be read"),
        ("utf16.csv", "b.csv: its header is not UTF-8"),
        ("days.csv", "has no columns ['day']"),
        ("both.csv", "columns ['a_int'] come twice"),
        ("days.jsonl", "names of folders hold values of ['day']"),
        ("kinds.parquet", "'a_long' is bigint in"),
        ("none.parquet", "b.parquet is not parquet"),
        ("both.parquet", "columns ['a_int'] are in the files and in the names of folders"),
        ("nosuch://bucket/rows.csv", "cannot be reached"),
    ],
)
def test_an_unreadable_file_is_refused_with_the_reason(
    spark: SparkSession, odd_files: Path, path: str, message: str
) -> None:
    with pytest.raises(FeatureStoreError, match=re.escape(message)):
        read_rows(named_files(spark), path if "://" in path else str(odd_files / path), GROUP, "acme", format_of(path))


def format_of(path: str) -> FileFormat | None:
    return "csv" if path == "day" else None


@pytest.fixture(scope="module")
def odd_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    good = f"id,event_timestamp,a_int\n1,{TIME},1\n"
    folder = fill(
        tmp_path_factory.mktemp("odd"),
        {
            "day/e_2026-11-01T00:00.csv": good,
            "_rows.csv": good,
            ".rows.csv": good,
            "hidden.csv/_rows.csv": good,
            "rows1.csv": good,
            **{f"{kind}.csv/a.csv": good for kind in ("case", "headless", "twice", "other", "open", "utf16")},
            "case.csv/b.csv": good.replace("a_int", "A_int"),
            "headless.csv/b.csv": f"1,{TIME},2\n",
            "twice.csv/b.csv": good.replace("a_int", "a_int, a_int"),
            "other.csv/notes.txt": "notes\n",
            "open.csv/b.csv": good.replace("a_int", '"a_int'),
            "utf16.csv/b.csv": good.encode("utf-16"),
            "days.csv/day=2026-11-01/a.csv": good,
            "both.csv/a_int=2/a.csv": good,
            "days.jsonl/day=2026-11-01/a.jsonl": "{}",
            "none.parquet/b.parquet": "",
        },
    )
    moment = [datetime(2026, 11, 1, tzinfo=UTC)]
    for name, column in {
        "kinds.parquet/a.parquet": {"a_long": [2**60]},
        "kinds.parquet/b.parquet": {"a_long": [0.5]},
        "none.parquet/a.parquet": {"a_long": [1]},
        "both.parquet/a_int=2/a.parquet": {"a_int": [1]},
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"id": [1], "event_timestamp": moment, **column}), folder / name)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("things.csv", "", 8, "is empty; its first line must name the columns"),
        ("things.csv", "id,event_timestamp,a_lung\n", 8, "Did you mean 'a_long'?"),
        ("things.csv", "id,event_timestamp,a_long,a_long\n", 8, "['a_long'] come twice"),
        ("things.csv", "id,a_long\n", 8, "['event_timestamp'] are missing"),
        ("things.parquet", "no Parquet", 8, "is not parquet"),
        ("things.xlsx", "", 8, "its name does not imply a format; name one of csv, jsonl, parquet"),
    ],
)
def test_a_file_that_can_never_fit_is_one_clear_error(
    ingest: Ingest, tmp_path: Path, name: str, content: str, code: int, message: str
) -> None:
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")

    assert message in ingest(file, code=code)["error"]["message"]


def test_parquet_with_nanoseconds_says_how_to_write_it(ingest: Ingest, tmp_path: Path) -> None:
    moment = pa.array([0], type=pa.timestamp("ns", tz="UTC"))
    pq.write_table(pa.table({"id": [71], "event_timestamp": moment, "a_long": [7]}), tmp_path / "things.parquet")

    error = ingest(tmp_path / "things.parquet", code=8)["error"]

    assert "coerce_timestamps='us'" in error["message"]


def test_a_missing_file_is_not_found(ingest: Ingest, tmp_path: Path) -> None:
    error = ingest(tmp_path / "nowhere.csv", code=6)["error"]

    assert error["message"].endswith("nowhere.csv: there is no such file or folder")


def test_a_file_without_rows_writes_nothing(ingest: Ingest, tmp_path: Path) -> None:
    file = tmp_path / "things.csv"
    file.write_text("id,event_timestamp,a_long\n", encoding="utf-8")

    result = ingest(file)

    assert (result["written"], result["failed"], result["table_version"]) == (0, 0, None)
