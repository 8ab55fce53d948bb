"""The store's own small tables by either engine, and what each engine makes of the other's tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import ge, le
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.columnar.schema import data_type
from featurestore.definitions.entity import Entity
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.errors import StorageError
from featurestore.kinds.registry import KINDS
from featurestore.stores.delta.log import Transaction
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.delta.which_rows import AnyOf, equal
from featurestore.stores.delta.which_rows import Test as Compare
from featurestore.stores.group_table import GroupTable
from featurestore.stores.layout import Layout
from featurestore.stores.small_tables.registry import Entry, Registry
from featurestore.stores.small_tables.runs import Run, RunLedger
from featurestore.stores.small_tables.small_table import SmallTable, rows_of, small_table
from featurestore.stores.small_tables.statistics import Statistics
from featurestore.stores.writer_lock import WriterLock
from tests.conftest import spark_setting

Engine = Literal["native", "spark"]
Locate = Callable[[Engine, str], DeltaTable]

MICROSECOND = timedelta(microseconds=1)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [
        ("tenant", pa.string()),
        ("key", pa.string()),
        ("n", pa.int32()),
        ("x", pa.float64()),
        ("on", pa.date32()),
        ("at", INSTANT),
        ("parts", data_type("array<string>")),
    ]
)
ROWS = [
    {"tenant": "acme", "key": "a", "n": 1, "x": 0.5, "on": date(2026, 1, 1), "at": NEW_YEAR, "parts": ["p", None]},
    {"tenant": "acme", "key": "b'\\\"", "n": 2, "x": None, "on": None, "at": NEW_YEAR + MICROSECOND, "parts": []},
    {"tenant": "zeta", "key": None, "n": None, "x": math.inf, "on": date(1, 1, 1), "at": None, "parts": None},
]


@pytest.fixture
def locate(spark: SparkSession, tmp_path: Path) -> Locate:
    """A table of this test, by the engine."""

    def table(engine: Engine, name: str) -> DeltaTable:
        lock = WriterLock(tmp_path / "locks" / f"{name}.lock", 30.0)
        native = NativeTable(str(tmp_path / name), lock) if engine == "native" else None
        return DeltaTable(lambda: spark, str(tmp_path / name), native=native, lock=lock)

    return table


@pytest.fixture(params=["native", "spark"])
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.param
    return chosen


@pytest.fixture
def table(engine: Engine, locate: Locate) -> SmallTable:
    return small_table(locate(engine, "small"), SCHEMA, ["tenant"])


def contents(table: SmallTable, *where: Compare | AnyOf) -> list[Any]:
    """The numbers of the rows that pass."""
    found = table.read(where, ["n"]).column("n").to_pylist()
    return sorted(found, key=lambda number: -1 if number is None else number)


def in_order(rows: pa.Table) -> list[dict[str, Any]]:
    return sorted(rows.to_pylist(), key=repr)


# --- the interface ---


def test_a_table_that_does_not_exist_has_no_rows(table: SmallTable) -> None:
    assert not table.exists()
    assert table.read().equals(SCHEMA.empty_table())
    assert table.read(equal(tenant="acme"), ["n"]).schema.names == ["n"]


def test_the_first_append_creates_the_table_and_a_repeated_transaction_changes_nothing(table: SmallTable) -> None:
    table.append(rows_of(SCHEMA, ROWS), Transaction("batch"))
    assert table.exists()
    assert table.read().schema.equals(SCHEMA)
    assert in_order(table.read()) == sorted(ROWS, key=repr)
    table.append(rows_of(SCHEMA, ROWS[:1]), Transaction("other", 7))
    table.append(rows_of(SCHEMA, ROWS[1:2]), Transaction("batch"))
    table.append(rows_of(SCHEMA, ROWS[1:2]), Transaction("other", 7))
    assert contents(table) == [None, 1, 1, 2]


# Conditions, and the numbers of the rows that pass. Spark's own conditions are a test of properties (test_which_rows).
CONDITIONS: list[tuple[Sequence[Compare | AnyOf], list[int | None]]] = [
    ((), [None, 1, 2]),
    (equal(tenant="acme"), [1, 2]),
    (equal(tenant="acme", key="b'\\\""), [2]),
    ([Compare("key", "is null")], [None]),
    ([Compare("key", "is not null")], [1, 2]),
    ([Compare("key", "in", ("a", "c", None))], [1]),
    ([Compare("key", "in", ())], []),
    ([Compare("n", "=", None)], []),
    ([Compare("n", "in", (1, 2))], [1, 2]),
    ([Compare("x", "=", 0.5)], [1]),
    ([Compare("x", ">=", 0.25)], [None, 1]),
    ([Compare("on", "<=", date(2025, 1, 1))], [None]),
    ([Compare("on", "in", (date(2026, 1, 1),))], [1]),
    ([Compare("at", ">=", NEW_YEAR + MICROSECOND)], [2]),
    ([Compare("at", "<=", NEW_YEAR)], [1]),
    ([AnyOf(((Compare("on", "is null"),), (Compare("n", "=", 1), Compare("key", "=", "a"))))], [1, 2]),
    ([AnyOf(())], []),
    ([AnyOf(((),))], [None, 1, 2]),
]


def test_conditions(locate: Locate) -> None:
    table = small_table(locate("native", "small"), SCHEMA, ["tenant"])
    table.append(rows_of(SCHEMA, ROWS))
    by_spark = small_table(locate("spark", "small"), SCHEMA, ["tenant"])
    for where, expected in CONDITIONS:
        assert contents(table, *where) == expected, where
    for where, expected in CONDITIONS[2], CONDITIONS[14], CONDITIONS[15]:
        assert contents(by_spark, *where) == expected, where


def test_replace_update_history_and_version(table: SmallTable) -> None:
    table.append(rows_of(SCHEMA, ROWS))
    first = table.version()
    replacement = {"tenant": "acme", "key": "a", "n": 10}
    table.replace(rows_of(SCHEMA, [replacement, replacement]), equal(tenant="acme", key="a"))
    assert contents(table) == [None, 2, 10, 10]
    assert table.version() == first + 1
    table.update([Compare("n", "=", 10)], {"key": "c", "at": NEW_YEAR, "x": None, "n": 11})
    assert contents(table, *equal(key="c", at=NEW_YEAR)) == [11, 11]
    assert contents(table) == [None, 2, 11, 11]
    assert [commit.version for commit in table.history()] == list(range(first + 2, -1, -1))
    assert [commit.version for commit in table.history(1)] == [table.version()]
    assert table.history(1)[0].at > NEW_YEAR


def test_a_newer_schema_adds_columns(engine: Engine, locate: Locate) -> None:
    older = pa.schema([SCHEMA.field(name) for name in ("tenant", "n")])
    small_table(locate(engine, "small"), older, ["tenant"]).append(rows_of(older, [{"tenant": "acme", "n": 1}]))
    table = small_table(locate(engine, "small"), SCHEMA, ["tenant"])
    assert table.read((), ["parts"]).to_pylist() == [{"parts": None}]
    assert table.read((), []).num_columns == 0
    table.append(rows_of(SCHEMA, ROWS[:1]))
    assert in_order(table.read((), ["key", "n"])) == [{"key": "a", "n": 1}, {"key": None, "n": 1}]
    # A program of the older version still writes.
    small_table(locate(engine, "small"), older, ["tenant"]).append(rows_of(older, [{"tenant": "acme", "n": 3}]))
    assert contents(table) == [1, 1, 3]


# --- each engine reads what the other wrote ---


@pytest.mark.parametrize(("writer", "reader"), [("native", "spark"), ("spark", "native")])
def test_each_engine_continues_the_others_table(locate: Locate, writer: Engine, reader: Engine) -> None:
    writes = small_table(locate(writer, "small"), SCHEMA, ["tenant"])
    reads = small_table(locate(reader, "small"), SCHEMA, ["tenant"])
    writes.append(rows_of(SCHEMA, ROWS), Transaction("batch"))
    assert in_order(reads.read()) == in_order(writes.read()) == sorted(ROWS, key=repr)
    reads.append(rows_of(SCHEMA, ROWS), Transaction("batch"))
    assert len(writes.read()) == 3
    reads.replace(rows_of(SCHEMA, [ROWS[0] | {"n": 5}]), equal(tenant="acme", key="a"))
    writes.update(equal(tenant="zeta"), {"n": 7})
    reads.update([Compare("n", "=", 2)], {"n": None})
    assert contents(writes) == contents(reads) == [None, 5, 7]
    assert writes.version() == reads.version() == len(reads.history()) - 1


@pytest.mark.parametrize(("writer", "reader"), [("native", "spark"), ("spark", "native")])
def test_registry_and_runs_by_the_other_engine(locate: Locate, writer: Engine, reader: Engine) -> None:
    user = Entity("user", join_keys={"user_id": "string"})
    entry = Entry("entity", "user", 1, 1, user.to_json())
    Registry.of(locate(writer, "registry")).record([entry], NEW_YEAR, "1.0")
    assert Registry.of(locate(reader, "registry")).state().entity("user") == user
    window = TimeWindow(NEW_YEAR - timedelta(days=1), NEW_YEAR)
    run = Run("acme", "r1", "materialize", "visits", 1, window, 1, "1.0")
    RunLedger.of(locate(writer, "runs")).record(run, NEW_YEAR)
    RunLedger.of(locate(reader, "runs")).record(run.ended("failed", error="half \ud800 a pair"), NEW_YEAR + MICROSECOND)
    [known] = RunLedger.of(locate(writer, "runs")).latest("acme", 10)
    assert (known.state, known.window, known.recorded_at) == ("failed", window, NEW_YEAR + MICROSECOND)
    assert known.error == "half \\ud800 a pair"


GROUP = FeatureGroup("visits", Entity("user", join_keys={"user_id": "string"}), features=[Feature("score", "double")])


@pytest.mark.parametrize(("writer", "reader"), [("native", "spark"), ("spark", "native")])
def test_statistics_by_the_other_engine(locate: Locate, writer: Engine, reader: Engine) -> None:
    line = {
        "event_date": date(2026, 1, 1), "feature": "score", "rows": 3, "minimum": -math.inf, "mean": math.nan,
        "quantiles": [0.5, None, 1.5], "top": [{"value": "a", "rows": 2}, {"value": None, "rows": 1}],
        "distinct_sketch": b"\0\xff", "points": [],
    }  # fmt: skip
    lines = pa.Table.from_pylist([line])
    by_writer, by_reader = (Statistics.of(locate(engine, "statistics")) for engine in (writer, reader))
    by_writer.replace(lines, "acme", GROUP, (None, None), 4, "all", NEW_YEAR)
    [read] = by_reader.lines("acme", GROUP).to_pylist()
    assert {name: read[name] for name in line if name != "mean"} == {
        name: value for name, value in line.items() if name != "mean"
    }
    assert math.isnan(read["mean"])
    by_reader.replace(lines, "acme", GROUP, [date(2026, 1, 1)], 5, None, NEW_YEAR)
    assert len(by_writer.lines("acme", GROUP)) == 1
    mark = by_writer.mark("acme", GROUP)
    assert mark is not None
    assert (mark.table_version, mark.contents) == (4, "all")


# --- Spark reads tables that were written natively ---


def test_spark_travels_in_time_and_reads_the_change_feed_of_native_appends(locate: Locate) -> None:
    table = locate("native", "values")
    assert table.native is not None
    table.create(SCHEMA, ["tenant"], {"delta.enableChangeDataFeed": "true"})
    table.native.append(rows_of(SCHEMA, ROWS[:1]), Transaction("batch 1"), '{"batch": 1}')
    table.native.append(rows_of(SCHEMA, ROWS[1:]), Transaction("batch 2"), '{"batch": 2}')
    table.native.compact()
    assert [table.read(version).count() for version in range(4)] == [0, 1, 3, 3]
    changes = table.changes(1, 3).select("_commit_version", "_change_type", "n").collect()
    assert sorted(map(tuple, changes), key=repr) == [(1, "insert", 1), (2, "insert", 2), (2, "insert", None)]
    described = table.spark.sql(f"DESCRIBE HISTORY {table.sql}").collect()
    assert [row["userMetadata"] for row in described] == [None, '{"batch": 2}', '{"batch": 1}', None]
    # Spark takes part in the transactions of native appends.
    rows = table.read().limit(1)
    table.append(rows, Transaction("batch 2", 1))
    assert table.read().count() == 3
    table.append(rows, Transaction("batch 3", 1))
    assert table.native.has_committed(Transaction("batch 3"))
    assert table.native.read().num_rows == 4


def test_spark_skips_no_row_by_native_statistics(locate: Locate) -> None:
    """Each value has a file of its own, so that a bound that is too tight loses its row."""
    last = "\U0010ffff"
    texts = ["x" * 31 + "y" * 9, "x" * 32, "x" * 32 + last + "z", "\U0001f600" * 33, "\ufffd" * 40, "", "\ue000" * 33]
    instants = [
        NEW_YEAR + 1 * MICROSECOND, NEW_YEAR + 999 * MICROSECOND, NEW_YEAR - MICROSECOND, datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC), datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
        datetime(1582, 10, 4, 1, tzinfo=UTC),
    ]  # fmt: skip
    numbers = [0.0, -0.0, math.nan, math.inf, -math.inf, 1e-310, 0.1]
    schema = pa.schema([("text", pa.string()), ("at", INSTANT), ("x", pa.float64()), ("on", pa.date32())])
    table = locate("native", "values")
    assert table.native is not None
    table.create(schema)
    for text, at, number in zip(texts, instants, numbers, strict=True):
        row = {"text": text, "at": at, "x": number, "on": at.date()}
        table.native.append(pa.Table.from_pylist([row], schema=schema))
    table.native.append(pa.Table.from_pylist([{"x": x} for x in (1.0, math.nan)], schema=schema))
    # A condition, and how many rows pass it. Of a file with one value, "=" needs both bounds to be right.
    passing: dict[str, int] = {
        "text IS NULL": 2,
        "isnan(x)": 2,
        "x = double('NaN')": 2,
        "x > 1.0": 3,
        # A dictionary would tell Spark that a file whose zeros are all negative has no 0.0.
        "x = 0.0": 2,
        "x BETWEEN -0.5 AND 0.05": 3,
        "x = double('Infinity')": 1,
        "x = double('-Infinity')": 1,
        "x = 1e-310": 1,
    }
    for text in texts:
        passing[f"text = decode(unhex('{text.encode().hex()}'), 'UTF-8')"] = 1
    for at in instants:
        passing[f"at = TIMESTAMP '{at.isoformat(sep=' ')}'"] = 1
        passing[f"on = DATE '{at.date().isoformat()}'"] = sum(other.date() == at.date() for other in instants)
    middle_text, middle_instant = texts[2], instants[1]
    for operator, of in (("<=", le), (">=", ge)):
        literal = f"decode(unhex('{middle_text.encode().hex()}'), 'UTF-8')"
        passing[f"text {operator} {literal}"] = sum(of(text, middle_text) for text in texts)
        passing[f"at {operator} TIMESTAMP '{middle_instant.isoformat(sep=' ')}'"] = sum(
            of(at, middle_instant) for at in instants
        )
    rows = table.read()
    counts = [rows.where(condition).select(F.lit(condition).alias("condition")) for condition in passing]

    # One job, in which each condition skips files on its own.
    found = Counter(row["condition"] for row in reduce(DataFrame.union, counts).collect())

    assert dict(found) == passing


def test_a_group_that_was_made_natively_is_widened_by_spark(spark: SparkSession, tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "warehouse"), None, lambda: spark, is_native=True, lock_timeout=30.0)
    entity = Entity("user", join_keys={"user_id": "string"})
    narrow = FeatureGroup("visits", entity, features=[Feature("score", "float"), Feature("n", "int")])
    wide = FeatureGroup(
        "visits", entity, features=[Feature("score", "double"), Feature("n", "long"), Feature("m", "int")]
    )
    before, after = GroupTable.of(layout, narrow), GroupTable.of(layout, wide)
    before.make()
    native = before.values.native
    assert native is not None
    base = {"tenant_id": "acme", "event_date": date(2026, 1, 1), "user_id": "u"}
    base |= {"event_timestamp": NEW_YEAR, "created_timestamp": NEW_YEAR}
    native.append(pa.Table.from_pylist([base | {"score": 0.5, "n": 2}], schema=native.schema()))
    assert before.takes_local_writes()
    after.make()
    after.make()
    assert native.schema().field("n").type == pa.int64()
    assert not after.takes_local_writes()
    wide_row = [base | {"score": 0.1, "n": 2**40, "m": 3}]
    frame = spark.createDataFrame(pa.Table.from_pylist(wide_row, schema=native.schema()))
    after.values.append(frame)
    local = after.read_local("acme", ["score", "n", "m"], times=(NEW_YEAR, NEW_YEAR))
    assert local is not None
    assert in_order(local) == [{"score": 0.1, "n": 2**40, "m": 3}, {"score": 0.5, "n": 2, "m": None}]
    by_spark = after.read_values("acme", ["score", "n", "m"]).toArrow()
    assert in_order(by_spark) == in_order(local)
    # A reader with the older definition gets the wider types.
    older = before.read_local("acme", ["n"], times=(NEW_YEAR, NEW_YEAR))
    assert older is not None
    assert sorted(older.column("n").to_pylist()) == [2, 2**40]


# --- tables that Spark wrote, read natively ---


def native_of(table: DeltaTable) -> NativeTable:
    assert table.path is not None
    assert table.lock is not None
    return NativeTable(table.path, table.lock)


@pytest.mark.parametrize("timestamps", ["TIMESTAMP_MICROS", "INT96", "TIMESTAMP_MILLIS"])
def test_every_feature_type_that_spark_wrote_is_read(spark: SparkSession, locate: Locate, timestamps: str) -> None:
    kinds = {kind.storage.removeprefix("array<").removesuffix(">") for kind in KINDS.values()}
    values: dict[str, Any] = {
        "double": -0.5, "float": 0.5, "bigint": 2**60, "int": -5, "boolean": True, "string": "\u4e16 '\"\\",
        "timestamp": NEW_YEAR, "date": date(1, 1, 1),
    }  # fmt: skip
    assert kinds == set(values)
    columns = dict(values)
    columns |= {f"array<{storage}>": [value, None] for storage, value in values.items() if storage != "date"}
    schema = pa.schema([pa.field(f"c{place}", data_type(storage)) for place, storage in enumerate(columns)])
    row = dict(zip(schema.names, columns.values(), strict=True))
    nothing = dict.fromkeys(schema.names)
    expected = pa.Table.from_pylist([row, nothing], schema=schema)
    table = locate("spark", "values")
    table.create(schema)
    with (
        spark_setting(spark, "spark.sql.parquet.outputTimestampType", timestamps),
        spark_setting(spark, "spark.sql.parquet.datetimeRebaseModeInWrite", "CORRECTED"),
        spark_setting(spark, "spark.sql.parquet.int96RebaseModeInWrite", "CORRECTED"),
    ):
        table.append(spark.createDataFrame(expected))
    native = native_of(table)
    assert native.snapshot().is_plain
    assert native.schema().equals(schema)
    assert in_order(native.read()) == in_order(expected)
    [name] = [field.name for field in schema if field.type == INSTANT]
    assert native.read(equal(**{name: NEW_YEAR})).num_rows == 1
    condition = (pc.field(name) >= pa.scalar(NEW_YEAR, INSTANT)) if timestamps else None
    files = native.snapshot(bounded=native.schema().names).files
    assert sum(native.read_data(file, schema, condition).num_rows for file in files) == 1
    assert native.extent(files, name) == (NEW_YEAR, NEW_YEAR)


def test_the_extent_of_files_of_both_engines_is_exact(spark: SparkSession, locate: Locate) -> None:
    """Spark cuts a file's times to milliseconds, and native writers round them outward."""
    schema = pa.schema([("at", INSTANT)])
    table = locate("native", "values")
    assert table.native is not None
    table.create(schema)

    def rows(*micros: int) -> pa.Table:
        return pa.table({"at": [NEW_YEAR + micro * MICROSECOND for micro in micros]}, schema=schema)

    table.append(spark.createDataFrame(rows(5_000, 9_900)).coalesce(1))
    table.native.append(rows(5_001, 9_100))
    table.append(spark.createDataFrame(rows(4_999, 6_000)).coalesce(1))
    table.native.append(rows(4_998))
    extent = table.native.extent(table.native.snapshot(bounded=["at"]).files, "at")
    assert extent == (NEW_YEAR + 4_998 * MICROSECOND, NEW_YEAR + 9_900 * MICROSECOND)


def test_partitions_with_any_text_that_spark_wrote_are_read(spark: SparkSession, locate: Locate) -> None:
    texts = ["plain", "with space", "a/b", "100%25", "q=1:2", "(~a~, b; c@d & $e+f!')", "<x>|", "", None]
    schema = pa.schema([("text", pa.string()), ("n", pa.int64())])
    expected = pa.table({"text": texts, "n": list(range(len(texts)))}, schema=schema)
    table = locate("native", "values")
    assert table.native is not None
    table.create(schema, ["text"])
    table.append(spark.createDataFrame(expected).coalesce(1))
    table.native.append(expected)
    for place, text in enumerate(texts[:-2]):
        assert table.native.read(equal(text=text)).column("n").to_pylist() == [place, place]
        assert table.read().where(F.col("text") == F.lit(text)).count() == 2
    assert table.read().where("text IS NULL").count() == table.native.read([Compare("text", "is null")]).num_rows == 4
    table.native.delete(equal(text="a/b"))
    assert table.read().where("text = 'a/b'").count() == 0
    table.native.compact()
    assert len(table.native.snapshot().files) == len(texts) - 2
    assert table.read().count() == table.native.read().num_rows == 2 * len(texts) - 2


def test_a_file_whose_path_the_engines_spell_differently_is_not_removed_natively(locate: Locate) -> None:
    """Else its rows would stay beside their successors."""
    schema = pa.schema([("text", pa.string()), ("n", pa.int64())])
    table = locate("native", "values")
    assert table.native is not None
    table.create(schema, ["text"])
    rows = pa.table({"text": ["\u00e9"], "n": [1]}, schema=schema)
    table.native.append(rows)
    table.native.replace(rows, equal(text="\u00e9"))
    assert table.read().count() == table.native.read().num_rows == 1
    table.append(table.spark.createDataFrame(rows))
    assert table.native.read(equal(text="\u00e9")).num_rows == 2
    with pytest.raises(StorageError, match="only Spark can remove it"):
        table.native.compact()
    assert table.native.read().num_rows == 2


@pytest.mark.parametrize(
    ("properties", "is_plain", "takes_writes"),
    [
        ({}, True, True),
        ({"delta.enableChangeDataFeed": "true"}, True, True),
        ({"delta.enableTypeWidening": "true"}, True, False),
        ({"delta.enableRowTracking": "true"}, True, False),
        ({"delta.enableInCommitTimestamps": "true"}, True, False),
        ({"delta.checkpointPolicy": "v2"}, True, False),
        ({"delta.columnMapping.mode": "name"}, False, False),
        ({"delta.enableDeletionVectors": "true"}, False, False),
    ],
)
def test_what_a_table_by_spark_needs_is_known(
    locate: Locate, properties: dict[str, str], is_plain: bool, takes_writes: bool
) -> None:
    table = locate("spark", "values")
    table.create(SCHEMA, ["tenant"], {"delta.checkpointInterval": "2"} | properties)
    for rows in (ROWS[:1], ROWS[1:]):
        table.append(table.spark.createDataFrame(pa.Table.from_pylist(rows, schema=SCHEMA)).coalesce(1))
    native = native_of(table)
    snapshot = native.snapshot()
    assert (snapshot.is_plain, native.takes_plain_writes()) == (is_plain, takes_writes)
    if is_plain:
        assert in_order(native.read()) == sorted(ROWS, key=repr)
    if takes_writes:
        native.append(rows_of(SCHEMA, ROWS[:2]))
        assert native.read().num_rows == table.read().count() == 5


def test_deleted_rows_that_only_a_vector_marks_are_left_to_spark(locate: Locate) -> None:
    table = locate("spark", "values")
    table.create(SCHEMA, (), {"delta.enableDeletionVectors": "true"})
    table.append(table.spark.createDataFrame(pa.Table.from_pylist(ROWS, schema=SCHEMA)).coalesce(1))
    table.delete(F.col("n") == 1)
    table.set_properties({"delta.enableDeletionVectors": "false"})
    assert not native_of(table).snapshot().is_plain
    assert table.read().count() == 2


def test_an_old_table_with_type_widening_is_read_after_a_column_is_widened(locate: Locate) -> None:
    table = locate("spark", "values")
    schema = pa.schema([("key", pa.string()), ("n", pa.int32()), ("x", pa.float32())])
    table.create(schema, (), {"delta.enableTypeWidening": "true"})
    table.append(table.spark.createDataFrame(pa.table({"key": ["a"], "n": [1], "x": [0.1]}, schema=schema)).coalesce(1))
    native = native_of(table)
    assert native.read().column("n").to_pylist() == [1]
    table.change_type(pa.field("n", pa.int64()))
    table.change_type(pa.field("x", pa.float64()))
    wide = native.schema()
    assert [wide.field(name).type for name in ("n", "x")] == [pa.int64(), pa.float64()]
    table.append(
        table.spark.createDataFrame(pa.table({"key": ["b"], "n": [2**40], "x": [0.1]}, schema=wide)).coalesce(1)
    )
    assert native.snapshot().is_plain
    assert in_order(native.read()) == in_order(table.read().toArrow())
    assert native.read([Compare("n", ">=", 2**39)]).column("key").to_pylist() == ["b"]
    condition = pc.field("n") <= pa.scalar(2**39, pa.int64())
    parts = [native.read_data(file, wide, condition) for file in native.snapshot().files]
    assert pa.concat_tables(parts).column("key").to_pylist() == ["a"]
