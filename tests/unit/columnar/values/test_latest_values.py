"""Corrections in Arrow keep the values that Spark keeps, and are ordered as Spark orders them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from featurestore.columnar.values.corrections import latest_values
from featurestore.columnar.values.history import history
from featurestore.columnar.values.latest_order import content_ranks
from featurestore.frames import corrections
from featurestore.frames.corrections import sort_value
from featurestore.stores.arrow import to_spark

UTC_MICROS = pa.timestamp("us", tz="UTC")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Few values, so that many rows tie; each is the only one of its place in Spark's order.
FEATURES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "number": (pa.float64(), [None, float("nan"), float("-inf"), float("inf"), 0.0, -1.5, 5e-324]),
    "small": (pa.float32(), [None, float("nan"), 0.0, 1.5]),
    "long": (pa.int64(), [None, -(2**63), 2**63 - 1, 0]),
    "text": (pa.string(), [None, "", "a", "aa", "é", "😀", "\uffee", "Z"]),
    "truth": (pa.bool_(), [None, True, False]),
    "day": (pa.date32(), [None, date(1, 1, 1), date(2026, 3, 1)]),
    "at": (UTC_MICROS, [None, datetime(1, 1, 1, tzinfo=UTC), NOON]),
    "vector": (pa.list_(pa.float64()), [None, [], [1.0], [1.0, 2.0], [-1.0]]),
    "tags": (pa.list_(pa.string()), [None, [], ["a"], ["b", "a"], ["é"]]),
}
MODELS = "vector__model_version"
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("code", pa.string()),
        ("event_timestamp", UTC_MICROS),
        ("created_timestamp", UTC_MICROS),
        *((name, kind) for name, (kind, _) in FEATURES.items()),
    ]
)
MOMENTS = st.sampled_from([NOON, NOON + timedelta(microseconds=1), datetime(1, 1, 1, tzinfo=UTC)])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from([-1, 0, 2**40]),
            "code": st.sampled_from(["", "a", "é"]),
            "event_timestamp": MOMENTS,
            "created_timestamp": MOMENTS,
            **{name: st.sampled_from(values) for name, (_, values) in FEATURES.items()},
        }
    ),
    max_size=60,
)


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """The rows, and beside each vector the model that is of this vector alone."""
    table = pa.Table.from_pylist(rows, SCHEMA)
    models = [None if row["vector"] is None else f"model of {row['vector']}" for row in rows]
    return table.append_column(MODELS, pa.array(models, pa.string()))


def plain(rows: pa.Table) -> list[str]:
    """The rows as text, NaN and all; instants in UTC."""
    types = [UTC_MICROS if pa.types.is_timestamp(field.type) else field.type for field in rows.schema]
    return [repr(row) for row in rows.cast(pa.schema(list(zip(rows.column_names, types, strict=True)))).to_pylist()]


def in_one_part(spark: SparkSession, rows: pa.Table) -> DataFrame:
    """As Spark's rows, of which it then sorts and groups all in one task, without a shuffle."""
    return to_spark(spark, rows).coalesce(1)


@settings(max_examples=12)
@given(
    rows=ROWS,
    keys=st.sampled_from([["id"], ["code", "id"]]),
    features=st.lists(st.sampled_from(list(FEATURES)), min_size=1, unique=True),
    nulls=st.sampled_from(["skip", "keep"]),
)
def test_the_latest_values_are_sparks(
    spark: SparkSession,
    rows: list[dict[str, Any]],
    keys: list[str],
    features: list[str],
    nulls: Literal["skip", "keep"],
) -> None:
    table = table_of(rows)
    order = [*(F.col(key) for key in keys), F.col("event_timestamp")]
    expected = corrections.latest_values(in_one_part(spark, table), keys, features, nulls).orderBy(*order).toArrow()

    found = latest_values(table, keys, features, nulls)

    assert found.column_names == expected.column_names
    assert plain(found) == plain(expected)


@settings(max_examples=4)
@given(rows=ROWS.filter(bool))
def test_content_is_ordered_as_by_spark(spark: SparkSession, rows: list[dict[str, Any]]) -> None:
    table = table_of(rows)
    frame = in_one_part(spark, table.append_column("row", pa.array(range(len(rows)))))
    places = {
        name: (F.dense_rank().over(W.orderBy(sort_value(frame, name))) - 1).alias(f"place_{name}") for name in FEATURES
    }
    expected = frame.select("row", *places.values()).orderBy("row").toArrow()

    for name in FEATURES:
        found = content_ranks(table.column(name)).tolist()
        distinct = sorted(set(found))
        assert [distinct.index(rank) for rank in found] == expected.column(f"place_{name}").to_pylist(), name


@settings(max_examples=8)
@given(
    rows=ROWS,
    feature=st.sampled_from(list(FEATURES)),
    nulls=st.sampled_from(["skip", "keep"]),
    all_versions=st.booleans(),
    limit=st.sampled_from([None, 1, 3]),
)
def test_the_history_is_in_the_order_of_spark(
    spark: SparkSession,
    rows: list[dict[str, Any]],
    feature: str,
    nulls: Literal["skip", "keep"],
    all_versions: bool,
    limit: int | None,
) -> None:
    table = table_of([row | {"id": 7, "code": "a"} for row in rows])
    values = in_one_part(spark, table)
    if nulls == "skip":
        values = values.where(F.col(feature).isNotNull())
    order = [F.desc("event_timestamp"), F.desc("created_timestamp"), sort_value(values, feature).desc()]
    resolved = values if all_versions else corrections.latest_values(values, ["id", "code"], [feature], nulls)
    ordered = resolved.orderBy(*order)
    expected = (ordered if limit is None else ordered.limit(limit)).toArrow()

    found = history(table, ["id", "code"], feature, nulls, all_versions=all_versions, limit=limit)

    assert found.column_names[:4] == ["id", "code", "event_timestamp", "created_timestamp"]
    assert plain(found) == plain(expected.select(found.column_names))


def test_a_correction_replaces_only_what_it_has() -> None:
    rows = pa.table(
        {
            "id": [1, 1, 1, 2],
            "event_timestamp": pa.array([NOON] * 4, UTC_MICROS),
            "created_timestamp": pa.array([NOON + timedelta(hours=n) for n in (0, 1, 2, 0)], UTC_MICROS),
            "score": [1.0, None, None, None],
            "name": ["old", "new", None, None],
        }
    )
    skipped = latest_values(rows, ["id"], ["score", "name"], "skip")
    kept = latest_values(rows, ["id"], ["score", "name"], "keep")

    assert skipped.drop_columns("event_timestamp").to_pylist() == [
        {"id": 1, "created_timestamp": NOON + timedelta(hours=1), "score": 1.0, "name": "new"}
    ]
    assert kept.drop_columns("event_timestamp").to_pylist() == [
        {"id": 1, "created_timestamp": NOON + timedelta(hours=2), "score": None, "name": None},
        {"id": 2, "created_timestamp": NOON, "score": None, "name": None},
    ]
