"""Exports: read back by pyarrow, pandas, DuckDB and Python's csv; and never half there."""

import base64
import csv
import json
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.json as pj
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, Settings, TrainingSet
from featurestore.columnar.text.csv_lines import CsvOptions
from featurestore.errors import ExportError, InvalidArgumentError, InvariantError
from featurestore.operations.context import Scope
from featurestore.operations.exports.export import export
from featurestore.operations.exports.export_rows import SparkRows
from featurestore.stores.files.arrow_files import write_arrow
from featurestore.stores.files.exports import new_folder, write_lines
from featurestore.stores.files.leftovers import RUNNER
from featurestore.stores.runner import this_runner
from featurestore.stores.training_sets.manifests import Manifest

FORMATS = ["parquet", "csv", "jsonl", "arrow"]
AT = datetime(2026, 11, 1, 12, 0, 0, 1, tzinfo=UTC)
# Each row: id, text, number, vector. An awkward text a row, and each kind of missing.
ROWS: list[tuple[int, str | None, float | None, list[float] | None]] = [
    (1, "plain", 0.1, [0.5, 1.5]),
    (2, 'a "quoted", text\nof two lines', 1 / 3, []),
    (3, "", -1.5, None),
    (4, None, None, [1e-7]),
    (5, "=1+1", 1e300, [0.25]),
    (6, "ünïcødé 🎉", -0.0, [0.1]),
]


@pytest.fixture(scope="module")
def feature_store(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path_factory.mktemp("exports") / "warehouse")), spark=spark)
    user = Entity("user", join_keys={"user_id": "string"})
    fs.apply([FeatureGroup("stats", user, features=[Feature("score", "double"), Feature("note", "string")])])
    fs.tenant("acme").write_batch(
        "stats", [{"user_id": f"u{i}", "event_timestamp": AT, "score": i / 3, "note": f"-{i}"} for i in range(3)]
    )
    return fs


@pytest.fixture(scope="module")
def loader(feature_store: FeatureStore) -> FeatureDataLoader:
    return FeatureDataLoader(feature_store.tenant("acme"))


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    frame = spark.createDataFrame(ROWS, "id long, text string, number double, vector array<float>")
    return frame.withColumn("at", F.timestamp_micros(F.lit(1_793_534_400_000_001))).repartition(3, "id")


@pytest.fixture(scope="module")
def exported(loader: FeatureDataLoader, rows: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The rows in every format, below a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("all of them")
    return {name: Path(loader.export(rows, str(folder / name), name)) for name in FORMATS}  # type: ignore[arg-type]


def in_order(table: pa.Table) -> list[tuple[Any, ...]]:
    ordered = table.sort_by("id").select(["id", "text", "number", "vector"]).to_pylist()
    return [tuple(row.values()) for row in ordered]


def as_floats(vector: list[float] | None) -> list[float] | None:
    """What is left of numbers in a vector of 32-bit floats."""
    return None if vector is None else [struct.unpack("f", struct.pack("f", item))[0] for item in vector]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_parquet_and_arrow_keep_types_and_values(exported: dict[str, Path], name: str) -> None:
    table = ds.dataset(exported[name], format={"arrow": "ipc"}.get(name, name)).to_table()

    assert in_order(table) == [(*row[:3], as_floats(row[3])) for row in ROWS]
    assert [str(field.type) for field in table.schema] == [
        "int64", "string", "double", "list<element: float>", "timestamp[us, tz=UTC]",
    ]  # fmt: skip
    assert set(table["at"].to_pylist()) == {AT}


def test_arrow_files_are_named_in_order_and_open_by_themselves(exported: dict[str, Path]) -> None:
    files = sorted(exported["arrow"].glob("*.arrow"))

    assert [file.name for file in files] == [f"part-{index:05d}.arrow" for index in range(len(files))]
    assert len(files) > 1
    assert sum(pa.ipc.open_file(file).read_all().num_rows for file in files) == len(ROWS)


def test_pythons_reader_reads_csv_with_guards_and_distinct_nulls(exported: dict[str, Path]) -> None:
    files = sorted(exported["csv"].glob("*.csv"))
    read = []
    for file in files:
        header, *lines = csv.reader(file.open(encoding="utf-8", newline=""), strict=True)
        assert header == ["id", "text", "number", "vector", "at"]
        read += lines

    assert sorted(read) == [
        ["1", "plain", "0.1", "[0.5,1.5]", "2026-11-01T12:00:00.000001Z"],
        ["2", 'a "quoted", text\nof two lines', "0.3333333333333333", "[]", "2026-11-01T12:00:00.000001Z"],
        ["3", "", "-1.5", "", "2026-11-01T12:00:00.000001Z"],
        ["4", "", "", "[1.0E-7]", "2026-11-01T12:00:00.000001Z"],
        ["5", "'=1+1", "1.0E300", "[0.25]", "2026-11-01T12:00:00.000001Z"],
        ["6", "ünïcødé 🎉", "-0.0", "[0.1]", "2026-11-01T12:00:00.000001Z"],
    ]
    raw = b"".join(file.read_bytes() for file in files)
    assert b'3,"",-1.5,,2026' in raw
    assert b'4,,,"[1.0E-7]",2026' in raw
    assert raw.count(b"\r\n") == len(files) + len(ROWS)


@pytest.mark.parametrize("null", ["", "NA"])
def test_csv_separates_missing_from_empty_in_every_type(
    loader: FeatureDataLoader, spark: SparkSession, tmp_path: Path, null: str
) -> None:
    texts = [None, "", "NA", "null", " ", "\t", "a,b", 'say "x"', '"', "\r", "\n", "\r\n", "'", "=1", "[]", "ü\u2028"]
    blobs = [None, b"", base64.b64decode("NA=="), b"\x00", b"null"]
    lists = [None, [], [""], [None], ["NA"], ['a"b,c'], ["", None]]
    rows = [
        (n, text, blobs[n % len(blobs)], lists[n % len(lists)], [None, float("nan"), -0.0][n % 3])
        for n, text in enumerate(texts)
    ]
    frame = spark.createDataFrame(rows, "id int, text string, blob binary, list array<string>, number double")

    folder = loader.export_to_csv(frame.coalesce(1), str(tmp_path / "csv"), null=null, guard_formulas=False)

    options = "nullstr = ?, allow_quoted_nulls = false, all_varchar = true, header = true, quote = '\"', escape = '\"'"
    [file] = Path(folder).glob("*.csv")
    read = duckdb.execute(f"SELECT * FROM read_csv(?, {options}, delim = ',')", [str(file), null]).fetchall()
    assert sorted(
        (
            int(n), text, None if blob is None else base64.b64decode(blob), None if many is None else json.loads(many), number
        )
        for n, text, blob, many, number in read
    ) == [(*row[:4], None if row[4] is None else repr(row[4]).replace("nan", "NaN")) for row in rows]  # fmt: skip


def test_csv_is_read_by_pandas_duckdb_and_spark(exported: dict[str, Path], spark: SparkSession) -> None:
    pattern = str(exported["csv"] / "*.csv")
    texts = [row[1] for row in ROWS[:4]] + ["'=1+1", ROWS[5][1]]

    frames = [pd.read_csv(file, dtype={"text": str}, parse_dates=["at"]) for file in exported["csv"].glob("*.csv")]
    by_pandas = pd.concat(frames).sort_values("id")
    assert by_pandas["at"].tolist() == [pd.Timestamp(AT)] * 6
    assert [None if pd.isna(x) else x for x in by_pandas["number"]] == [row[2] for row in ROWS]
    # pandas has no difference between an empty text and a missing one.
    assert [None if pd.isna(x) else x for x in by_pandas["text"]] == [text or None for text in texts]

    query = 'SELECT id, text, number, "at" FROM read_csv(?, allow_quoted_nulls = false) ORDER BY id'
    by_duckdb = duckdb.execute(query, [pattern]).fetchall()
    assert [row[:3] for row in by_duckdb] == [(row[0], text, row[2]) for row, text in zip(ROWS, texts, strict=True)]
    assert {row[3] for row in by_duckdb} == {AT}

    # Nor has Spark.
    reader = spark.read.options(header="true", escape='"', multiLine="true")
    by_spark = reader.csv(str(exported["csv"])).orderBy("id").collect()
    assert [row["text"] for row in by_spark] == [text or None for text in texts]


@pytest.mark.parametrize("columns", [["n", "n + 1 AS next"], ["n", "map('a', n) AS counts"]])
def test_each_csv_file_of_rows_of_this_process_begins_with_the_header(
    columns: list[str], loader: FeatureDataLoader, spark: SparkSession, tmp_path: Path
) -> None:
    """Spark computes what it selects of such rows at once, before it divides them among tasks."""
    rows = spark.createDataFrame(pd.DataFrame({"n": range(50)})).selectExpr(*columns)

    folder = Path(loader.export(rows, str(tmp_path / "rows"), "csv"))

    lines = [file.read_text(encoding="utf-8").splitlines() for file in folder.glob("*.csv")]
    assert len(lines) > 1
    assert {first for first, *_ in lines} == {",".join(rows.columns)}
    assert sum(len(others) for _, *others in lines) == 50


def test_json_lines_are_read_line_by_line_by_pyarrow_and_by_duckdb(exported: dict[str, Path]) -> None:
    files = sorted(exported["jsonl"].glob("*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]

    assert sorted(tuple(line.values()) for line in lines) == [(*row, "2026-11-01T12:00:00.000001Z") for row in ROWS]
    assert {tuple(line) for line in lines} == {("id", "text", "number", "vector", "at")}
    tables = [pj.read_json(file).select(["id", "number"]) for file in files]
    assert sorted(row["id"] for row in pa.concat_tables(tables, promote_options="permissive").to_pylist()) == [
        row[0] for row in ROWS
    ]
    by_duckdb = duckdb.execute(f"SELECT id, text, number FROM '{exported['jsonl']}/*.jsonl' ORDER BY id").fetchall()
    assert by_duckdb == [row[:3] for row in ROWS]


def test_a_training_set_is_exported_with_its_manifest_and_read_without_spark(
    loader: FeatureDataLoader, tmp_path: Path
) -> None:
    spine = pd.DataFrame(
        {"user_id": ["u0", "u1", "u2", "u3"], "event_timestamp": AT, "late": [True, False, True, False]}
    )
    built = loader.load_training_data(spine, ["stats:score", "stats:note"], label="late", name="exported")

    for name in FORMATS:
        folder = built.export(str(tmp_path / name), name)  # type: ignore[arg-type]
        assert Manifest.model_validate_json((Path(folder) / "_manifest.json").read_text()) == built.manifest
    query = "SELECT user_id, score, note, late FROM '{}' ORDER BY user_id"
    expected = [
        ("u0", 0.0, "-0", True),
        ("u1", 1 / 3, "-1", False),
        ("u2", 2 / 3, "-2", True),
        ("u3", None, None, False),
    ]
    assert duckdb.execute(query.format(tmp_path / "parquet" / "*.parquet")).fetchall() == expected
    assert duckdb.execute(query.format(tmp_path / "jsonl" / "*.jsonl")).fetchall() == expected
    for name, format in (("parquet", "parquet"), ("arrow", "ipc")):
        table = ds.dataset(tmp_path / name, format=format).to_table().sort_by("user_id")
        assert [
            tuple(row[key] for key in ("user_id", "score", "note", "late")) for row in table.to_pylist()
        ] == expected

    unguarded = loader.export_to_csv(built, str(tmp_path / "plain csv"), null="NULL", guard_formulas=False)
    query = "SELECT user_id, score, note, late FROM read_csv(?, nullstr = 'NULL', all_varchar = true) ORDER BY user_id"
    assert duckdb.execute(query, [f"{unguarded}/*.csv"]).fetchall()[1:] == [
        ("u1", "0.3333333333333333", "-1", "false"), ("u2", "0.6666666666666666", "-2", "true"), ("u3", None, None, "false"),
    ]  # fmt: skip
    assert (Path(unguarded) / "_manifest.json").exists()


def test_the_result_of_a_read_is_exported_and_anything_else_refused(
    feature_store: FeatureStore, loader: FeatureDataLoader, tmp_path: Path
) -> None:
    read = feature_store.tenant("acme").get_batch_features(["stats:score"], AT, datetime(2027, 1, 1, tzinfo=UTC))

    folder = loader.export_to_csv(read, f"file://{tmp_path}/batch")
    assert folder == f"file://{tmp_path}/batch"
    assert len(pd.concat(pd.read_csv(file) for file in (tmp_path / "batch").glob("*.csv"))) == 3
    with pytest.raises(InvalidArgumentError, match="data is list; give a training set"):
        loader.export_to_csv([1, 2], str(tmp_path / "list"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FORMATS)
def test_any_column_name_and_no_rows_at_all(
    loader: FeatureDataLoader, spark: SparkSession, tmp_path: Path, name: Any
) -> None:
    names = ["a b", "a.b", "a,b", 'in "quotes"', "ünïcødé", "nothing"]
    frame = spark.range(2).select(*(F.col("id").alias(each) for each in names[:-1]), F.lit(None).alias(names[-1]))
    full, empty = tmp_path / "full", tmp_path / "empty"

    loader.export(frame, str(full), name)
    loader.export(frame.limit(0), str(empty), name)

    expected = [dict.fromkeys(names[:-1], value) | {"nothing": None} for value in (0, 1)]
    if name == "csv":
        assert sorted(row["a.b"] for file in full.glob("*.csv") for row in csv.DictReader(file.open())) == ["0", "1"]
        assert (empty / "part-00000.csv").read_text() == 'a b,a.b,"a,b","in ""quotes""",ünïcødé,nothing\n'
    elif name == "jsonl":
        lines = [json.loads(line) for file in full.glob("*.jsonl") for line in file.read_text().splitlines()]
        assert sorted(lines, key=lambda row: row["a b"]) == expected
        assert (empty / "part-00000.jsonl").read_text() == ""
    else:
        format = {"arrow": "ipc"}.get(name, name)
        assert ds.dataset(full, format=format).to_table().sort_by("a b").to_pylist() == expected
        nothing = ds.dataset(empty, format=format).to_table()
        assert (nothing.num_rows, nothing.column_names) == (0, names)


def test_parquet_has_utc_instants_also_from_a_session_that_writes_int96(
    spark: SparkSession, feature_store: FeatureStore, tmp_path: Path
) -> None:
    session = spark.newSession()
    session.conf.set("spark.sql.parquet.outputTimestampType", "INT96")
    session.conf.set("spark.sql.session.timeZone", "Asia/Kolkata")
    frame = session.range(1).select(F.timestamp_micros(F.lit(1_793_534_400_000_001)).alias("at"))

    folder = export(
        Scope(feature_store.tenant("acme")._scope.context, "acme"),
        SparkRows(frame),
        str(tmp_path / "instants"),
        "parquet",
        csv=CsvOptions(),
    )

    table = pq.read_table(folder)
    assert (str(table.schema.field("at").type), table["at"].to_pylist()) == ("timestamp[us, tz=UTC]", [AT])
    assert session.conf.get("spark.sql.parquet.outputTimestampType") == "INT96"


@pytest.fixture(scope="module")
def scores(loader: FeatureDataLoader) -> TrainingSet:
    spine = pd.DataFrame({"user_id": ["u0", "u1"], "event_timestamp": AT})
    return loader.load_training_data(spine, ["stats:score"], name="scores")


def content_of(folder: str) -> dict[str, tuple[int, bytes]]:
    return {
        file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in Path(folder).iterdir() if file.is_file()
    }


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_that_is_there_is_not_written_again(scores: TrainingSet, tmp_path: Path, name: Any) -> None:
    first = scores.export(str(tmp_path / "out"), name)
    content = content_of(first)
    again = scores.export(str(tmp_path / "out"), name)

    assert first == again == str(tmp_path / "out")
    assert (first.is_up_to_date, again.is_up_to_date) == (False, True)
    assert content_of(first) == content
    # Once for the folder that was written; its path is known to an erasure.
    assert [record.path for record in scores.context.exports.of_tenant("acme")].count(str(tmp_path / "out")) == 1


def test_an_export_of_something_else_is_refused(
    loader: FeatureDataLoader, scores: TrainingSet, rows: DataFrame, spark: SparkSession, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    scores.export(out)
    content = content_of(out)
    spine = pd.DataFrame({"user_id": ["u0"], "event_timestamp": AT})
    other = loader.load_training_data(spine, ["stats:score"], name="other")
    another = loader.load_training_data(spine, ["stats:score"], name="other", new_version=True)
    same_name = replace(scores, manifest=scores.manifest.model_copy(update={"content_hash": "0" * 64}))

    for data, options, reason in (
        (scores, {"format": "csv"}, "is another export (format: 'parquet', not 'csv')"),
        (other, {}, "is another export (training set: 'scores v1', not 'other v1')"),
        (same_name, {}, "holds other rows"),
        (rows, {}, "is another export (training set: 'scores v1', not None)"),
    ):
        with pytest.raises(ExportError, match=re.escape(f"{out} is there already, and {reason}; remove it")):
            loader.export(data, out, **options)
    other.export(str(tmp_path / "versions"))
    with pytest.raises(ExportError, match="'other v1', not 'other v2'"):
        another.export(str(tmp_path / "versions"))
    loader.export_to_csv(scores, str(tmp_path / "csv"), null="NA")
    with pytest.raises(ExportError, match=r"is another export \(null: 'NA', not ''\)"):
        loader.export_to_csv(scores, str(tmp_path / "csv"))
    assert content_of(out) == content


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda file: file.unlink(), "lacks its file part-00000.jsonl"),
        (lambda file: file.write_text("{}"), "its file part-00000.jsonl has 2 bytes and was written with"),
        (lambda file: file.with_name("part-7.jsonl").write_text("{}"), "also has the file part-7.jsonl"),
        (lambda file: file.with_name("_manifest.json").unlink(), "lacks its file _manifest.json"),
        (lambda file: file.with_name("_export.json").unlink(), "has no _export.json that says what it holds"),
        (lambda file: file.with_name("_export.json").write_text("{"), "has no _export.json that says what it holds"),
    ],
    ids=["lost", "cut", "one more", "no manifest", "no note", "a damaged note"],
)
def test_an_export_with_other_files_than_were_written_is_refused(
    scores: TrainingSet, tmp_path: Path, damage: Callable[[Path], Any], reason: str
) -> None:
    folder = scores.export(str(tmp_path / "out"), "jsonl")
    for checksum in Path(folder).glob(".*.crc"):
        checksum.unlink()
    damage(Path(folder) / "part-00000.jsonl")

    with pytest.raises(ExportError, match=f"is there already, and {reason}"):
        scores.export(folder, "jsonl")


def test_any_rows_are_recognised_by_their_content(
    loader: FeatureDataLoader, rows: DataFrame, spark: SparkSession, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    assert not loader.export(rows, out).is_up_to_date
    assert loader.export(rows.orderBy(F.desc("id")).coalesce(1), out).is_up_to_date
    with pytest.raises(ExportError, match="holds other rows"):
        loader.export(rows.where("id < 6"), out)
    with pytest.raises(ExportError, match=r"is another export \(columns: "):
        loader.export(rows.select("id"), out)

    maps = spark.sql("SELECT map('a', 1) AS map, parse_json('1') AS variant")
    loader.export(maps, str(tmp_path / "maps"), "jsonl")
    with pytest.raises(ExportError, match="holds rows that cannot be compared"):
        loader.export(maps, str(tmp_path / "maps"), "jsonl")


def test_an_export_removes_what_killed_ones_left_at_its_place(
    scores: TrainingSet, tmp_path: Path, gone_runner: str
) -> None:
    def temporary(name: str, runner: str | None) -> str:
        folder = tmp_path / f".{name}.{uuid4().hex}"
        (folder / "written").mkdir(parents=True)
        if runner is not None:
            (folder / RUNNER).write_text(runner)
        return folder.name

    temporary("out", gone_runner)
    kept = [temporary("out", this_runner()), temporary("out", None), temporary("another", gone_runner)]
    here = this_runner().split("/")
    kept += [temporary("out", "/".join(["elsewhere", *here[1:]])), ".out.kept"]
    (tmp_path / ".out.kept").mkdir()

    scores.export(str(tmp_path / "out"))
    assert left_in(tmp_path) == sorted([*kept, "out"])
    temporary("out", gone_runner)
    assert scores.export(str(tmp_path / "out")).is_up_to_date
    assert left_in(tmp_path) == sorted([*kept, "out"])


@pytest.fixture
def failing(rows: DataFrame) -> DataFrame:
    """Good for most rows, and no good for one."""
    return rows.withColumn(
        "text", F.when(F.col("id") == 5, F.raise_error(F.lit("row 5 is bad"))).otherwise(F.col("text"))
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a_failure_in_the_middle_leaves_nothing(
    loader: FeatureDataLoader, failing: DataFrame, tmp_path: Path, name: Any
) -> None:
    with pytest.raises(ExportError, match=r"out was not written: .*row 5 is bad"):
        loader.export(failing, str(tmp_path / "out"), name)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("row_count", "message"),
    [
        (7, "the files hold 6 rows and 7 were to be written"),
        (6, "the saved rows of 'scores' v1 are not those that it was published with"),
    ],
)
def test_an_export_of_other_rows_than_the_set_s_is_never_visible(
    feature_store: FeatureStore,
    scores: TrainingSet,
    rows: DataFrame,
    tmp_path: Path,
    name: Any,
    row_count: int,
    message: str,
) -> None:
    context = feature_store.tenant("acme")._scope.context
    manifest = scores.manifest.model_copy(update={"row_count": row_count})
    with pytest.raises(InvariantError, match=message):
        export(
            Scope(context, "acme"),
            SparkRows(rows),
            str(tmp_path / "out"),
            name,
            csv=CsvOptions(),
            training_set=manifest,
        )
    assert left_in(tmp_path) == []


def test_files_of_failed_attempts_are_ignored(
    feature_store: FeatureStore, rows: DataFrame, spark: SparkSession, tmp_path: Path
) -> None:
    files = feature_store.tenant("acme")._scope.context.files
    with new_folder(files, str(tmp_path / "out")) as staging:
        files.write_text(f"{staging.written}/part-00000-of-a-lost-attempt.arrow", "half of a fil")
        assert write_arrow(staging, rows) == len(ROWS)
    assert ds.dataset(tmp_path / "out", format="ipc").count_rows() == len(ROWS)
    assert left_in(tmp_path) == ["out"]

    def write_beside_another() -> None:
        with new_folder(files, str(tmp_path / "lines")) as staging:
            files.write_text(f"{staging.written}/of-a-lost-attempt", "half of a fil")
            write_lines(staging, rows.select(F.col("id").cast("string").alias("value")), "\n")

    with pytest.raises(InvariantError, match="the files hold 25 bytes and 12 were to be written"):
        write_beside_another()
    assert left_in(tmp_path) == ["out"]


def refusals(folder: Path) -> Iterator[tuple[str, dict[str, Any], str]]:
    yield str(folder / "taken"), {}, "is there already, and has no _export.json .*; remove it, or name another folder"
    yield str(folder / "file" / "below"), {}, "cannot be written: .*[Nn]ot a directory"
    yield str(folder / "new"), {"format": "cvs"}, "format 'cvs' is not known. Did you mean 'csv'"
    yield str(folder / "new*"), {}, "which Spark reads as patterns"
    yield "nosuch://bucket/folder", {}, 'No FileSystem for scheme "nosuch"'
    yield "s3a://bucket", {}, "names no folder in s3a"
    yield " ", {}, "name a new folder"


def test_an_impossible_export_is_refused_before_any_job(
    loader: FeatureDataLoader, rows: DataFrame, spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_text("")
    for path, options, message in refusals(tmp_path):
        with pytest.raises(ExportError, match=message):
            loader.export(rows, path, **options)
    with pytest.raises(ExportError, match=r"columns \['id', 'ID'\] differ only in case"):
        loader.export(rows.select("id", F.col("text").alias("ID")), str(tmp_path / "new"))
    with pytest.raises(ExportError, match="give a marker, such as null='NA'"):
        loader.export_to_csv(rows.select("text"), str(tmp_path / "new"))
    with pytest.raises(InvalidArgumentError, match="options of csv, and the format is 'parquet'"):
        loader.export(rows, str(tmp_path / "new"), null="NA")
    with pytest.raises(ExportError, match=r"new was not written: .*YearMonthIntervalType"):
        loader.export(spark.sql("SELECT interval '1' month AS month"), str(tmp_path / "new"), "arrow")
    assert left_in(tmp_path) == ["file", "taken"]
    assert left_in(tmp_path / "taken") == []
