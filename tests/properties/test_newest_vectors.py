"""The newest vectors of entities are the same in Arrow as in Spark, on random histories."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureGroup
from featurestore.columnar.schema import PARTITION_COLUMNS, values_schema
from featurestore.columnar.values.newest_vectors import (
    MODEL,
    VECTOR,
    VectorColumns,
    newest_vectors,
    with_all_entities,
)
from featurestore.frames.vectors.newest_vectors import newest_vectors as by_spark
from featurestore.frames.vectors.newest_vectors import only_vectors
from featurestore.stores.arrow import to_spark

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GROUP = FeatureGroup(
    "docs",
    Entity("doc", join_keys={"source": "string", "number": "long"}),
    features=[Feature("country", "string"), Feature("text", "embedding(3)"), Feature("seen", "timestamp")],
)
# Zero has no direction, whatever its sign; the square of a tiny number is zero in single precision.
VECTORS: list[list[float] | None] = [None, [0.0, -0.0, 0.0], [0.0, 1e-30, 0.0], [1.0, 2.0, 3.0], [2.0, 1.0, 3.0]]
# Two rows that tie in all but the model have no order, so a vector has one model where the row counts as a whole.
MODELS = [None, "large", "small", "small", "large"]
TIMES = {"country": "_at_country", "seen": "_at_seen"}


def columns(nulls: Any) -> VectorColumns:
    keys, others = ("source", "number"), ("seen", "country")
    return VectorColumns(keys, "text", "text__model_version", others, ("country", "text", "seen"), nulls)


def history(seed: int, rows_of_entity: int, nulls: str = "skip") -> pa.Table:
    """A few hundred entities with few moments and values, so that rows tie in times, in values and in both."""
    random = Random(seed)
    schema = pa.schema([field for field in values_schema(GROUP) if field.name not in PARTITION_COLUMNS])
    rows = []
    for number in range(200):
        for _ in range(random.randint(1, rows_of_entity)):
            vector = random.randrange(len(VECTORS))
            any_model = random.choice(["small", "large", None])
            rows.append(
                {
                    "source": "ab"[number % 2],
                    "number": number // 2,
                    "event_timestamp": NOON + timedelta(hours=random.randint(-1, 1), microseconds=random.randint(0, 1)),
                    "created_timestamp": NOON + timedelta(hours=random.randint(0, 1)),
                    "country": random.choice([None, "", "é", "US"]),
                    "text": VECTORS[vector],
                    "text__model_version": MODELS[vector] if nulls == "keep" else any_model,
                    "seen": random.choice([None, NOON, datetime(1, 1, 1, tzinfo=UTC)]),
                }
            )
    random.shuffle(rows)
    return pa.Table.from_pylist(rows, schema)


def by_entity(rows: pa.Table) -> list[tuple[Any, ...]]:
    utc = pa.timestamp("us", "UTC")
    typed = [field.with_type(utc) if pa.types.is_timestamp(field.type) else field for field in rows.schema]
    return sorted((tuple(row.items()) for row in rows.cast(pa.schema(typed)).to_pylist()), key=str)


@pytest.mark.parametrize(("nulls", "times"), [("skip", {}), ("skip", TIMES), ("keep", {})])
def test_the_same_rows_are_the_newest(spark: SparkSession, nulls: Any, times: Mapping[str, str]) -> None:
    rows = history(seed=len(nulls) + len(times), rows_of_entity=8, nulls=nulls)

    found = newest_vectors(rows, columns(nulls), times)

    expected = by_spark(to_spark(spark, rows), columns(nulls), times).toArrow()
    assert by_entity(found) == by_entity(expected.select(found.column_names))
    assert 0 < found.num_rows < rows.num_rows


@pytest.mark.parametrize(("nulls", "times"), [("skip", TIMES), ("keep", {})])
def test_the_only_row_of_each_entity_is_its_newest(spark: SparkSession, nulls: Any, times: Mapping[str, str]) -> None:
    rows = history(seed=5, rows_of_entity=1)

    found = newest_vectors(rows, columns(nulls), times)

    expected = only_vectors(to_spark(spark, rows), columns(nulls), times).toArrow()
    assert by_entity(found) == by_entity(expected.select(found.column_names))


@pytest.mark.parametrize("nulls", ["skip", "keep"])
def test_no_rows_have_no_newest(nulls: Any) -> None:
    found = newest_vectors(history(seed=1, rows_of_entity=1).slice(0, 0), columns(nulls), {})

    assert found.num_rows == 0
    assert found.schema.field(VECTOR).type == pa.list_(pa.field("element", pa.float32()))


def test_an_entity_without_a_vector_has_a_row_of_nulls() -> None:
    rows = history(seed=2, rows_of_entity=3)
    newest = newest_vectors(rows, columns("skip"), TIMES)
    entities = pa.table({"source": ["a", "nobody"], "number": [newest["number"][0].as_py(), 7]})
    mine = newest.filter(pc.equal(newest["source"], "a"))

    found = with_all_entities(mine, entities)

    assert found.slice(0, mine.num_rows) == mine
    [lacking] = found.slice(mine.num_rows).to_pylist()
    assert lacking == {**dict.fromkeys(found.column_names), "source": "nobody", "number": 7}
    assert lacking[MODEL] is None
