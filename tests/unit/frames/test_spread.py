"""A spine is spread by ranges of its keys: each row is in the range that its key and instant belong to."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.definitions.values.time_window import to_micros
from featurestore.frames.as_of import spread

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = list(product([-(2**63), -1, 0, 5, 2**63 - 1], ["", "a", "é", "\uffff", "😀"]))
ROWS = [(number, text, NOON + timedelta(hours=hour)) for number, text in KEYS for hour in (-1, 0, 1)]
CUTS: list[tuple[int | bytes, ...]] = [
    (-1,),
    (0, b"a"),
    (0, "é".encode(), to_micros(NOON)),
    (0, "é".encode(), to_micros(NOON) + 1),
    (5,),
    (5, "\uffff".encode()),
]


@pytest.fixture(scope="module")
def spine(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(ROWS, "number long, text string, at timestamp")


def tasks_of(spread_rows: DataFrame) -> dict[tuple[object, ...], int]:
    rows = spread_rows.select("number", "text", F.unix_micros("at"), F.spark_partition_id()).collect()
    return {tuple(row)[:3]: row[3] for row in rows}


def expected_range(number: int, text: str, micros: int) -> int:
    return bisect_right([*CUTS], (number, text.encode(), micros))


@pytest.mark.parametrize("most_conditions", [256, 0], ids=["by conditions", "in an array"])
def test_each_range_is_a_task(spine: DataFrame, most_conditions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "_MOST_CONDITIONS", most_conditions)

    tasks = tasks_of(spread.spread_by_key(spine, ["number", "text"], "at", CUTS, 1))

    assert tasks == {
        (number, text, to_micros(at)): expected_range(number, text, to_micros(at)) for number, text, at in ROWS
    }


def test_a_hash_divides_a_range_into_pieces(spine: DataFrame) -> None:
    tasks = tasks_of(spread.spread_by_key(spine, ["number", "text"], "at", CUTS, 3))

    assert {(row, task // 3) for row, task in tasks.items()} == {
        ((number, text, to_micros(at)), expected_range(number, text, to_micros(at))) for number, text, at in ROWS
    }
    assert len(set(tasks.values())) > len(CUTS) + 1


def test_rows_without_a_key_or_an_instant_are_spread(spark: SparkSession) -> None:
    incomplete = [(None, "a", NOON + timedelta(hours=hour)) for hour in range(50)] + [(1, None, NOON), (1, "a", None)]
    rows = spark.createDataFrame(incomplete, "number long, text string, at timestamp")

    result = spread.spread_by_key(rows, ["number", "text"], "at", CUTS, 1)

    assert result.count() == len(incomplete)
    assert result.select(F.spark_partition_id()).distinct().count() > 3
