"""Conditions on rows mean the same to Arrow, to Spark's SQL and to plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore.stores.arrow import to_spark
from featurestore.stores.delta.table import literal
from featurestore.stores.delta.which_rows import AnyOf, arrow_condition, columns_of, sql_condition
from featurestore.stores.delta.which_rows import Test as Compare

SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("n", pa.int32()),
        ("m", pa.int64()),
        ("x", pa.float64()),
        ("b", pa.bool_()),
        ("on", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
    ]
)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
# Few values, so that conditions meet rows.
TEXTS = ["", "a", "A", "'", "''", "\\", "\\'", '"', "\\n", "\n", "\0", "%", "_", "${x}", "`", "--", "\u00e9", "e\u0301"]
TEXTS += ["\ufffd", "\U0001f600", "\ud7ff\ue000", "\\u0041", "\x85\u2028", "true", "1"]
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": st.sampled_from(TEXTS) | ANY_TEXT,
    "n": st.integers(-2, 2) | st.sampled_from([2**31 - 1, -(2**31)]),
    "m": st.integers(-2, 2) | st.sampled_from([2**63 - 1, -(2**63) + 1]),
    "x": st.sampled_from([0.0, -0.0, 0.1, 1e300, -1e-300, math.inf, -math.inf]),
    "b": st.booleans(),
    "on": st.sampled_from([date(1, 1, 1), date(2026, 1, 1), date(2026, 1, 2), date(9999, 12, 31)]),
    "at": st.sampled_from(
        [
            NEW_YEAR,
            NEW_YEAR + timedelta(microseconds=1),
            NEW_YEAR.astimezone(timezone(timedelta(hours=-5, minutes=-30))),
            datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
        ]
    ),
}
ROW = st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()})


def comparisons(name: str) -> st.SearchStrategy[Compare]:
    value = st.none() | VALUES[name]
    return st.one_of(
        st.sampled_from([Compare(name, "is null"), Compare(name, "is not null")]),
        st.builds(Compare, st.just(name), st.sampled_from(["=", "<=", ">="]), value),
        st.builds(Compare, st.just(name), st.just("in"), st.lists(value, max_size=3).map(tuple)),
    )


TEST = st.sampled_from(SCHEMA.names).flatmap(comparisons)
CHOICES = st.lists(st.lists(TEST, max_size=2).map(tuple), max_size=3).map(tuple)
WHERE = st.lists(TEST | st.builds(AnyOf, CHOICES), max_size=3)


def passes(row: dict[str, Any], where: Sequence[Compare | AnyOf]) -> bool:
    """The same in plain Python."""
    return all(
        any(passes(row, choice) for choice in test.choices) if isinstance(test, AnyOf) else passes_test(row, test)
        for test in where
    )


def passes_test(row: dict[str, Any], test: Compare) -> bool:
    own = row[test.column]
    if test.operator in ("is null", "is not null"):
        return (own is None) == (test.operator == "is null")
    if test.operator == "in":
        return own is not None and own in test.value
    if own is None or test.value is None:
        return False
    compare: dict[str, Callable[[Any, Any], bool]] = {
        "=": lambda a, b: bool(a == b),
        "<=": lambda a, b: bool(a <= b),
        ">=": lambda a, b: bool(a >= b),
    }
    return compare[test.operator](own, test.value)


def numbered(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA).append_column("row", pa.array(range(len(rows)), pa.int64()))


@settings(max_examples=300)
@given(rows=st.lists(ROW, max_size=8), where=WHERE)
def test_arrow_and_python_choose_the_same_rows(rows: list[dict[str, Any]], where: list[Compare | AnyOf]) -> None:
    table = numbered(rows)
    chosen = table.filter(arrow_condition(where, table.schema)).column("row").to_pylist()
    assert chosen == [place for place, row in enumerate(rows) if passes(row, where)]
    assert columns_of(where) <= set(SCHEMA.names)


@settings(max_examples=12)
@given(rows=st.lists(ROW, min_size=1, max_size=8), conditions=st.lists(WHERE, min_size=10, max_size=20))
def test_spark_and_python_choose_the_same_rows(
    spark: SparkSession, rows: list[dict[str, Any]], conditions: list[list[Compare | AnyOf]]
) -> None:
    """One query for many conditions, because each query costs a job."""
    table = to_spark(spark, numbered(rows))
    texts = [sql_condition(where, literal) for where in conditions]
    answers = (
        table.coalesce(1)
        .sortWithinPartitions("row")
        .select(*(F.expr(f"coalesce({text}, false)") for text in texts))
        .collect()
    )
    for place, row in enumerate(rows):
        expected = [passes(row, where) for where in conditions]
        different = [text for text, own, other in zip(texts, answers[place], expected, strict=True) if own != other]
        assert different == [], row
