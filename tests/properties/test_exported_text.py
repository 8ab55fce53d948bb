"""Exports have the same text, byte for byte, whoever writes it: lines of CSV and of JSON, of every type that a set holds.

Each example is one batch of values that are likely to break something, drawn by a seed. Numbers of which versions of
Java write different digits are left out: only Spark writes those.
"""

from __future__ import annotations

import math
import struct
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore.columnar.text.csv_lines import CsvOptions, csv_lines
from featurestore.columnar.text.json_lines import json_lines
from featurestore.frames.columns import column
from featurestore.frames.text.csv_cells import LINE_END as CSV_LINE_END
from featurestore.frames.text.csv_cells import csv_line
from featurestore.frames.text.json_lines import json_line
from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.stores.arrow import to_spark

ROWS = 400
CHARACTERS = "a =+-@'\",\\\t\r\n\0\x1f\x7f\x85\u2028\u2029ü🎉{}[]/<&"
EPOCH = datetime.fromisoformat("1970-01-01")


def text(random: Random) -> str:
    return "".join(random.choice(CHARACTERS) for _ in range(random.choice([0, 1, 1, 2, 3, 9])))


def double(random: Random) -> float:
    """Any number whose digits all versions of Java agree on, small ones and round ones more often than by chance."""
    number = random.choice([
        random.uniform(-1e4, 1e4), random.uniform(-1, 1) * 2.0**53, 10.0 ** random.uniform(-300, 15.9),
        float(f"{random.randrange(10**random.randrange(1, 16))}e{random.randrange(-290, 0)}"),
        random.choice([0.0, -0.0, math.nan, math.inf, -math.inf, 1e-3, 9.999e-4, 1e7, 9999999.999999998, 0.1, 1 / 3, 1e-300]),
    ])  # fmt: skip
    return 0.0 if 0 < abs(number) < 1e-300 else number


def single(random: Random) -> float:
    number = random.choice([double(random), random.uniform(-1, 1) * 2.0**24, 10.0 ** random.uniform(-37, 7.2)])
    if math.isfinite(number) and not 1e-37 <= abs(number) < 2.0**24:
        number = 0.0
    single = float(struct.unpack("f", struct.pack("f", number))[0])
    return 0.0 if math.isfinite(single) and not 1e-37 <= abs(single) < 2.0**24 else single


def moment(random: Random) -> datetime:
    micros = random.choice(
        [random.randrange(-(10**16), 10**17), random.randrange(-(10**7), 10**7), -62135596800 * 10**6]
    )
    return EPOCH + timedelta(microseconds=micros)


def decimal(random: Random, precision: int, scale: int) -> Decimal:
    digits = random.randrange(10 ** random.randrange(precision + 1))
    return Decimal(random.choice([digits, -digits])).scaleb(-scale)


def rows(random: Random) -> pa.Table:
    def of(kind: pa.DataType, make: Any) -> pa.Array:
        values = [None if random.random() < 0.1 else make(random) for _ in range(ROWS)]
        return pa.array(values, kind)

    def many(make: Any) -> Any:
        return lambda random: [None if random.random() < 0.2 else make(random) for _ in range(random.randrange(4))]

    return pa.table({
        "text": of(pa.string(), text),
        "a,\"b\" \u2028": of(pa.string(), text),
        "truth": of(pa.bool_(), lambda random: random.random() < 0.5),
        "tiny": of(pa.int8(), lambda random: random.randrange(-128, 128)),
        "small": of(pa.int16(), lambda random: random.randrange(-(2**15), 2**15)),
        "whole": of(pa.int32(), lambda random: random.randrange(-(2**31), 2**31)),
        "long": of(pa.int64(), lambda random: random.randrange(-(2**63), 2**63)),
        "double": of(pa.float64(), double),
        "single": of(pa.float32(), single),
        "money": of(pa.decimal128(10, 2), lambda random: decimal(random, 10, 2)),
        "count": of(pa.decimal128(20, 0), lambda random: decimal(random, 20, 0)),
        "exact": of(pa.decimal128(38, 18), lambda random: decimal(random, 38, 18)),
        "share": of(pa.decimal128(9, 9), lambda random: decimal(random, 9, 9)),
        "raw": of(pa.binary(), lambda random: random.randbytes(random.randrange(5))),
        "day": of(pa.date32(), lambda random: date.fromordinal(random.randrange(1, date.max.toordinal() + 1))),
        "far": of(pa.int32(), lambda random: random.randrange(-(10**6), 4 * 10**6)).cast(pa.date32()),
        "instant": of(pa.timestamp("us", "UTC"), moment),
        "local": of(pa.timestamp("us"), moment),
        "later": of(pa.int64(), lambda random: random.randrange(-(10**17), 10**18)).cast(pa.timestamp("us")),
        "doubles": of(pa.list_(pa.float64()), many(double)),
        "singles": of(pa.list_(pa.float32()), many(single)),
        "texts": of(pa.list_(pa.string()), many(text)),
    })  # fmt: skip


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("options", [CsvOptions(), CsvOptions(null="0", guard_formulas=False), CsvOptions(null="NaN")])
def test_lines_of_csv(spark: SparkSession, options: CsvOptions, seed: int) -> None:
    table = rows(Random(seed))
    frame = to_spark(spark, table)
    expected = in_order(spark, table, csv_line(frame.schema, options))

    assert_same(table, csv_lines(table, options), [line + CSV_LINE_END for line in expected])
    of_text = table.select(["text"])
    assert csv_lines(of_text, options).to_pylist() == [
        line + CSV_LINE_END for line in in_order(spark, of_text, csv_line(frame.select("text").schema, options))
    ]


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32))
def test_lines_of_json(spark: SparkSession, seed: int) -> None:
    table = rows(Random(seed))
    expected = in_order(spark, table, json_line(to_spark(spark, table).schema))

    assert_same(table, json_lines(table), [line + "\n" for line in expected])


def in_order(spark: SparkSession, table: pa.Table, line: Any) -> list[str]:
    numbered = to_spark(spark, table.append_column("row number", pa.array(range(len(table))))).coalesce(1)
    found = numbered.select(column("row number").alias("n"), line.alias("line")).orderBy(F.col("n")).toArrow()
    return list(found.column("line").to_pylist())


def assert_same(table: pa.Table, lines: pa.Array, expected: list[str]) -> None:
    differences = [
        (here, there, table.slice(number, 1).to_pylist())
        for number, (here, there) in enumerate(zip(lines.to_pylist(), expected, strict=True))
        if here != there
    ]
    assert not differences, (len(differences), differences[:2])


@pytest.mark.parametrize(
    "value",
    [
        pa.array([1.0, 2.0**53]),
        pa.array([-1e300]),
        pa.array([5e-324]),
        pa.array([2.0**24], pa.float32()),
        pa.array([1e-40], pa.float32()),
        pa.array([[0.5], None, [0.5, 2.0**53]]),
        pa.array([[2.0**24]], pa.list_(pa.float32())),
    ],
)
def test_numbers_with_other_digits_in_another_java_are_left_to_spark(value: pa.Array) -> None:
    table = pa.table({"value": value})

    with pytest.raises(UndecidedError):
        csv_lines(table, CsvOptions())
    with pytest.raises(UndecidedError):
        json_lines(table)


@pytest.mark.parametrize("kind", [pa.map_(pa.string(), pa.int32()), pa.struct([("a", pa.int32())]), pa.duration("us")])
def test_a_cell_of_another_type_is_left_to_spark(kind: pa.DataType) -> None:
    with pytest.raises(UndecidedError):
        csv_lines(pa.table({"value": pa.nulls(1, kind)}), CsvOptions())
