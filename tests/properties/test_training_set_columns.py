"""What is counted, sampled and split of a training set's columns without Spark is what Spark counts, samples and splits."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore import EntitySplit, RandomSplit
from featurestore.columnar.training_sets import leakage, sampling, splits
from featurestore.columnar.training_sets.percentiles import percentiles
from featurestore.frames.training_sets import leakage as by_spark
from featurestore.frames.training_sets.sampling import sample_of
from featurestore.frames.training_sets.splits import hash_cuts, split_by_hash, split_by_time
from featurestore.stores.arrow import to_spark

START = datetime(2026, 1, 1, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")
# By column its type, and values of which many rows have the same.
COLUMNS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "key": (pa.string(), ["a", "b", "c", "", None]),
    "other_key": (pa.int64(), [1, 2, None]),
    "at": (INSTANT, [*(START + timedelta(microseconds=n) for n in range(-2, 3)), None]),
    "event": (INSTANT, [*(START + timedelta(microseconds=n) for n in range(-4, 4)), None]),
    "double": (pa.float64(), [0.5, -0.0, 0.0, float("nan"), None]),
    "float": (pa.float32(), [0.1, float("nan"), None]),
    "long": (pa.int64(), [2**53 + 1, -1, None]),
    "decimal": (pa.decimal128(20, 3), [Decimal("12345678901234567.891"), Decimal("-1.5"), None]),
    "boolean": (pa.bool_(), [True, False, None]),
    "day": (pa.date32(), [date(1960, 1, 1), date(2026, 1, 1), None]),
    "local": (pa.timestamp("us"), [datetime.fromisoformat("2026-01-01T00:00:00.000001"), None]),
    "one": (pa.string(), ["same", None]),
}


def table(seed: int, rows: int) -> pa.Table:
    choose = random.Random(seed)
    columns = {
        name: pa.array([choose.choice(values) for _ in range(rows)], kind) for name, (kind, values) in COLUMNS.items()
    }
    return pa.table(columns | {"number": np.arange(rows)})


@pytest.fixture(scope="module", params=[(1, 300), (2, 3), (3, 0)], ids=["many rows", "few rows", "no rows"])
def rows(request: pytest.FixtureRequest) -> pa.Table:
    return table(*request.param)


@pytest.fixture(scope="module")
def frame(spark: SparkSession, rows: pa.Table) -> DataFrame:
    """In one part, so that nothing is shuffled; rows in several parts are tested in test_sampling_and_splits."""
    return to_spark(spark, rows).coalesce(1)


def columns(rows: pa.Table, *names: str) -> list[Any]:
    return [rows.column(name) for name in names]


def test_values_from_the_future_and_missing_ones(rows: pa.Table, frame: DataFrame) -> None:
    for label in ("double", "one", "boolean"):
        expected = by_spark.overview(frame, "at", ["event"], [], label).collect()[0]

        assert leakage.ahead(rows.column("event"), rows.column("at")) == (expected["newer_0"], expected["seconds_0"])
        assert leakage.is_one_value(rows.column(label)) == expected["one_label"]


def test_doubled_examples(rows: pa.Table, frame: DataFrame) -> None:
    for example in (["key", "at"], ["key", "other_key", "at"], ["double", "at"]):
        for spine in ([*example, "boolean"], [*example, "number"]):
            expected = by_spark.doubled(frame, example, spine).collect()[0].asDict()
            assert leakage.doubled(columns(rows, *example), columns(rows, *spine)) == expected


def test_samples_of_the_audit(rows: pa.Table, frame: DataFrame) -> None:
    for size in (1, 50, 100, 1000):
        chosen = leakage.sampled(columns(rows, "key", "number"), size, rows.num_rows)
        expected = by_spark.sampled(frame, ["key", "number"], size, rows.num_rows).select("number").toArrow()
        assert sorted(chosen.tolist()) == sorted(expected["number"].to_pylist())


def test_values_that_are_compared(rows: pa.Table, frame: DataFrame) -> None:
    for name, word in frame.dtypes:
        assert leakage.is_comparable(word)
        compared = frame.select("number", by_spark.comparable_values(frame, name).alias("value"))
        expected = compared.toArrow().sort_by("number")
        assert leakage.comparable_values(rows.column(name)).to_pylist() == expected["value"].to_pylist(), name


@pytest.mark.parametrize("strata", [[], ["key"], ["double", "boolean"]], ids=str)
def test_samples(rows: pa.Table, frame: DataFrame, strata: list[str]) -> None:
    for size, seed in ((1, 0), (37, 5), (200, 6), (1000, 7)):
        sample = sample_of(frame, size, seed, strata, F.col("number"))
        numbers = sorted(row["number"] for row in sample.rows.collect())
        assert sampling.sample_rows(rows, size, seed, strata)["number"].to_pylist() == numbers
        assert (sample.total, sample.largest) == (rows.num_rows, max(rows.num_rows - 1, 0))


def by_number(divided: DataFrame) -> list[str | None]:
    return divided.select("number", "split").toArrow().sort_by("number")["split"].to_pylist()


@pytest.mark.parametrize(
    "split",
    [RandomSplit(test=0.31, validation=0.17), EntitySplit(test=0.5, validation=0.25), EntitySplit(test=0.01)],
    ids=str,
)
def test_parts_by_hash(rows: pa.Table, frame: DataFrame, split: RandomSplit | EntitySplit) -> None:
    for by in (["key"], ["double", "float"], ["number"]):
        cuts = splits.hash_cuts(rows, by, split, 4)
        assert cuts == hash_cuts(frame, by, split, 4)
        assert splits.split_by_hash(rows, by, 4, *cuts).to_pylist() == by_number(split_by_hash(frame, by, 4, *cuts))


@pytest.mark.parametrize("embargo", [None, timedelta(microseconds=2)], ids=str)
def test_parts_by_time(rows: pa.Table, frame: DataFrame, embargo: timedelta | None) -> None:
    later = START + timedelta(microseconds=1)
    for validation_from, test_from in ((START, later), (None, START), (later, later)):
        found = splits.split_by_time(rows.column("at").combine_chunks(), validation_from, test_from, embargo)
        assert found.to_pylist() == by_number(split_by_time(frame, "at", validation_from, test_from, embargo))


@pytest.mark.parametrize(
    "drawn",
    [
        lambda choose: choose.randrange(-5, 5),
        lambda choose: choose.randrange(-(2**62), 2**62),
        lambda choose: choose.uniform(-1, 1),
    ],
    ids=["few whole numbers", "large whole numbers", "fractions"],
)
def test_percentiles_to_the_last_bit(spark: SparkSession, drawn: Callable[[random.Random], float]) -> None:
    choose = random.Random(9)
    cases = [[drawn(choose) for _ in range(size)] for size in (1, 2, 3, 10, 11, 100, 101)]
    shares = [0.0, 0.5, 0.9, 1 - 0.2, 1 - 0.2 - 0.1, 1 / 3, 1.0]
    flat = pa.table(
        {
            "case": [n for n, case in enumerate(cases) for _ in case],
            "value": [value for case in cases for value in case],
        }
    )

    grouped = to_spark(spark, flat).groupBy("case").agg(F.percentile("value", shares).alias("found"))
    expected = {row["case"]: row["found"] for row in grouped.collect()}

    assert {n: percentiles(np.array(case), shares) for n, case in enumerate(cases)} == expected
    assert percentiles(np.zeros(0), shares) is None
