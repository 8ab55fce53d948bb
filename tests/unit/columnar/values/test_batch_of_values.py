"""Rows of a range, of given entities, and of several groups side by side."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from featurestore.columnar.values.batch import in_time, joined, of_entities
from featurestore.stores.arrow import to_spark

UTC_MICROS = pa.timestamp("us", tz="UTC")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("start", "end", "end_is", "hours"),
    [
        (None, None, "included", [0, 1, 2]),
        (NOON + HOUR, None, "excluded", [1, 2]),
        (NOON, NOON + HOUR, "included", [0, 1]),
        (NOON, NOON + HOUR, "excluded", [0]),
    ],
)
def test_rows_of_a_range_of_time(start: datetime | None, end: datetime | None, end_is: Any, hours: list[int]) -> None:
    rows = pa.table(
        {"event_timestamp": pa.array([NOON + hour * HOUR for hour in range(3)], UTC_MICROS), "hour": range(3)}
    )

    assert in_time(rows, start, end, end_is).column("hour").to_pylist() == hours


def test_rows_of_entities() -> None:
    """Both keys must match, (1, "23") is not (12, "3"), and a null key matches nothing."""
    rows = pa.table({"id": [1, 12, 1, 2], "code": ["23", "3", "24", "x"], "row": [0, 1, 2, 3]})
    entities = pa.table({"code": ["23", "23", "x", None], "id": pa.array([1, 1, None, 1], pa.int32())})

    assert of_entities(rows, entities).column("row").to_pylist() == [0]
    assert of_entities(rows, entities.select(["code"])).column("row").to_pylist() == [0, 3]
    assert of_entities(rows, entities.slice(0, 0)).num_rows == 0
    assert of_entities(rows.slice(0, 0), entities).num_rows == 0


def test_groups_side_by_side() -> None:
    """A moment at which only one group has a row gives nulls for the other; lists come along."""
    scores = pa.table({"id": [2, 1], "at": [10, 10], "score": [0.5, 1.5]})
    tags = pa.table({"id": [1, 1], "at": [10, 11], "tags": [["a"], ["b"]]})

    assert joined([scores, tags], ["id", "at"]).to_pylist() == [
        {"id": 1, "at": 10, "score": 1.5, "tags": ["a"]},
        {"id": 1, "at": 11, "score": None, "tags": ["b"]},
        {"id": 2, "at": 10, "score": 0.5, "tags": None},
    ]


KEYS = st.lists(st.tuples(st.integers(-1, 2), st.sampled_from(["", "a", "é"])), unique=True, max_size=8)


@settings(max_examples=8)
@given(parts=st.lists(KEYS, min_size=3, max_size=3))
def test_the_join_is_sparks(spark: SparkSession, parts: list[list[tuple[int, str]]]) -> None:
    schemas = [
        pa.schema([("id", pa.int64()), ("code", pa.string()), (f"row_{number}", pa.int64())]) for number in range(3)
    ]
    tables = [
        pa.Table.from_pylist(
            [dict(zip(schema.names, (*key, row), strict=True)) for row, key in enumerate(keys)], schema
        )
        for keys, schema in zip(parts, schemas, strict=True)
    ]
    first, second, third = (to_spark(spark, table).coalesce(1) for table in tables)
    expected = first.join(second, ["id", "code"], "full").join(third, ["id", "code"], "full").orderBy("id", "code")

    assert joined(tables, ["id", "code"]).to_pylist() == expected.toArrow().to_pylist()
