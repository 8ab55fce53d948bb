"""Lines of CSV and JSON: what each value looks like, read back by readers that know nothing of this package."""

import csv
import io
import json
import math
import struct
from decimal import Decimal

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.columnar.text.csv_lines import CsvOptions, header_line
from featurestore.errors import InvalidArgumentError
from featurestore.frames.text.csv_cells import csv_line, with_header
from featurestore.frames.text.json_lines import json_line

PLAIN = CsvOptions()


def csv_cells(frame: DataFrame, options: CsvOptions = PLAIN) -> list[str]:
    """The lines of a frame of one column, in order."""
    return [row[0] for row in frame.select(csv_line(frame.schema, options)).collect()]


def texts(spark: SparkSession, *values: str | None) -> DataFrame:
    return spark.createDataFrame([(value,) for value in values], "text string").coalesce(1)


@pytest.fixture(params=[("UTC", "true"), ("Asia/Kolkata", "false"), ("America/New_York", "true")])
def any_session(spark: SparkSession, request: pytest.FixtureRequest) -> SparkSession:
    """A session of another time zone and ANSI mode."""
    session = spark.newSession()
    session.conf.set("spark.sql.session.timeZone", request.param[0])
    session.conf.set("spark.sql.ansi.enabled", request.param[1])
    session.conf.set("spark.sql.legacy.timeParserPolicy", "LEGACY")
    return session


def test_text_is_quoted_where_a_reader_would_else_take_it_for_something_else(spark: SparkSession) -> None:
    values = ["plain", "a,b", 'say "hi"', "two\nlines", "cr\rhere", "", None, " ends ", "ünïcødé 🎉", "don't"]

    assert csv_cells(texts(spark, *values)) == [
        "plain", '"a,b"', '"say ""hi"""', '"two\nlines"', '"cr\rhere"', '""', "", '" ends "', "ünïcødé 🎉", "don't",
    ]  # fmt: skip
    header = ["name", "a,b", 'in "quotes"', "=sum", " x"]
    assert header_line(header) == 'name,"a,b","in ""quotes""",=sum," x"'


def test_a_null_marker_is_never_the_same_as_a_value(spark: SparkSession) -> None:
    marked = CsvOptions(null="NA")

    assert csv_cells(texts(spark, "NA", None, "", "N/A"), marked) == ['"NA"', "NA", '""', "N/A"]
    numbers = spark.createDataFrame([(1.5,), (math.nan,), (None,)], "x double").coalesce(1)
    assert csv_cells(numbers, CsvOptions(null="NaN")) == ["1.5", '"NaN"', "NaN"]
    for wrong in ("a,b", '"', "\n"):
        with pytest.raises(InvalidArgumentError, match="without commas, quotes and line ends"):
            CsvOptions(null=wrong).checked()


def test_formulas_are_guarded_in_text_alone_and_the_guard_can_be_taken_away(spark: SparkSession) -> None:
    values = ["=1+1", "+1", "-1", "@cmd", "\t=1", "\r=1", "'=1", "'tis", "a=1", "1-1", '=HYPERLINK("x","y")']

    assert csv_cells(texts(spark, *values)) == [
        "'=1+1", "'+1", "'-1", "'@cmd", "'\t=1", '"\'\r=1"', "''=1", "'tis", "a=1", "1-1", '"\'=HYPERLINK(""x"",""y"")"',
    ]  # fmt: skip
    as_they_are = csv_cells(texts(spark, *values), CsvOptions(guard_formulas=False))
    assert as_they_are == [*values[:4], '"\t=1"', '"\r=1"', *values[6:-1], '"=HYPERLINK(""x"",""y"")"']
    numbers = spark.createDataFrame([(-1.5, -2, Decimal("-3.10"))], "d double, l long, c decimal(10,2)")
    assert csv_cells(numbers) == ["-1.5,-2,-3.10"]


def test_every_type_has_one_text_whatever_the_session_says(any_session: SparkSession) -> None:
    frame = any_session.range(1).select(
        F.timestamp_micros(F.lit(1_793_534_400_000_001)).alias("instant"),
        F.timestamp_micros(F.lit(-1)).alias("before 1970"),
        F.expr("timestamp_ntz'2026-11-01 02:03:04.05'").alias("local"),
        F.expr("date'0031-01-02'").alias("day"),
        F.lit(True).alias("yes"),
        F.expr("cast('0.0000001' as decimal(20, 10))").alias("decimal"),
        F.expr("cast('-1234567.5' as decimal(20, 1))").alias("large"),
        F.expr("array(cast(0.1 as float), null)").alias("vector"),
        F.expr("named_struct('at', timestamp_micros(0), 'a.b', date'2026-01-01')").alias("nested"),
        F.expr("map(date'2026-01-01', timestamp_micros(0))").alias("mapped"),
        F.expr("X'ff00'").alias("binary"),
    )

    [line] = csv_cells(frame)
    [cells] = csv.reader([line])
    assert cells == [
        "2026-11-01T12:00:00.000001Z",
        "1969-12-31T23:59:59.999999Z",
        "2026-11-01T02:03:04.050000",
        "0031-01-02",
        "true",
        "0.0000001000",
        "-1234567.5",
        "[0.1,null]",
        '{"at":"1970-01-01T00:00:00.000000Z","a.b":"2026-01-01"}',
        '{"2026-01-01":"1970-01-01T00:00:00.000000Z"}',
        "/wA=",
    ]
    parsed = json.loads(frame.select(json_line(frame.schema)).collect()[0][0])
    assert parsed == {
        "instant": "2026-11-01T12:00:00.000001Z",
        "before 1970": "1969-12-31T23:59:59.999999Z",
        "local": "2026-11-01T02:03:04.050000",
        "day": "0031-01-02",
        "yes": True,
        "decimal": 1e-7,
        "large": -1234567.5,
        "vector": [0.1, None],
        "nested": {"at": "1970-01-01T00:00:00.000000Z", "a.b": "2026-01-01"},
        "mapped": {"2026-01-01": "1970-01-01T00:00:00.000000Z"},
        "binary": "/wA=",
    }


def test_doubles_read_back_to_the_same_bits(spark: SparkSession) -> None:
    values = [0.1, 1 / 3, 1e10, 1e-7, 5e-324, 1.7976931348623157e308, -0.0, 2.0**53 + 2, math.inf, -math.inf, math.nan]
    frame = spark.createDataFrame([(value,) for value in values], "x double").coalesce(1)

    bits = [struct.pack(">d", value) for value in values]
    assert [struct.pack(">d", float(cell)) for cell in csv_cells(frame)] == bits
    lines = [json.loads(row[0]) for row in frame.select(json_line(frame.schema)).collect()]
    assert [struct.pack(">d", float(line["x"])) for line in lines] == bits


def test_a_json_line_is_one_line_to_every_reader_and_keeps_nulls(spark: SparkSession) -> None:
    text = 'a\nb\r\u2028\u2029\u0085\x00"\\ 🎉 {"not": "json"}'
    frame = spark.createDataFrame([(text, None, [None, "x"])], "a string, b double, c array<string>")

    [[line]] = frame.select(json_line(frame.schema)).collect()
    assert line.splitlines() == [line]
    assert json.loads(line) == {"a": text, "b": None, "c": [None, "x"]}


def test_the_header_stands_once_in_each_partition(spark: SparkSession) -> None:
    rows = spark.range(7).repartition(3).select(F.col("id").cast("string").alias("id"))
    lines = rows.select(with_header(F.col("id"), "id").alias("value"), F.spark_partition_id().alias("partition"))

    by_partition: dict[int, list[str]] = {}
    for row in lines.collect():
        by_partition.setdefault(row["partition"], []).append(row["value"])
    assert [[line.count("id\r\n") for line in part] for part in by_partition.values()] == [
        [1] + [0] * (len(part) - 1) for part in by_partition.values()
    ]


@pytest.mark.parametrize("options", [PLAIN, CsvOptions(null="NA", guard_formulas=False)])
def test_texts_come_back_through_pythons_reader(spark: SparkSession, options: CsvOptions) -> None:
    awkward = ['"', '""', ",", "\r\n", "\n", "\r", '",\r\n"', "'", "''=", "=", "é", " "]
    rows = [(left + "x" + right, right + left) for left in awkward for right in awkward]
    frame = spark.createDataFrame(rows, "a string, b string").coalesce(1)

    lines = csv_cells(frame, options)
    cells = list(csv.reader(io.StringIO("\r\n".join(lines), newline=""), strict=True))
    assert [tuple(_unguarded(cell, options) for cell in row) for row in cells] == rows


def _unguarded(cell: str, options: CsvOptions) -> str:
    bare = cell.lstrip("'")
    return cell[1:] if options.guard_formulas and bare != cell and bare[:1] in tuple("=+-@\t\r") else cell
