"""Old rows that no later read needs are the same in Arrow as in Spark, on random histories."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureGroup
from featurestore.columnar.rows.fingerprint import row_hashes
from featurestore.columnar.schema import PARTITION_COLUMNS, values_schema
from featurestore.columnar.values.latest_order import Nulls
from featurestore.columnar.values.superseded import is_superseded
from featurestore.frames.rows.superseded_rows import identity_columns, superseded_rows
from featurestore.stores.arrow import to_spark

CUT = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
USER = Entity("user", join_keys={"id": "long", "code": "string"})
FEATURES = [Feature("a", "double"), Feature("b", "string"), Feature("emb", "embedding(2)")]
POOLS: dict[str, list[Any]] = {"a": [None, 0.0, 1.5], "b": [None, "", "x"], "emb": [None, [0.5, 1.0]]}


def rows_of(group: FeatureGroup, seed: int) -> pa.Table:
    """Few entities and times, so that many rows tie, and some are wholly equal; some became known after the cut."""
    random = Random(seed)
    schema = pa.schema([field for field in values_schema(group) if field.name not in PARTITION_COLUMNS])
    rows = [
        {
            "id": random.randint(1, 12),
            "code": random.choice(["1", "12"]),
            "event_timestamp": CUT - random.randint(1, 4) * HOUR - timedelta(microseconds=random.randint(0, 1)),
            "created_timestamp": CUT + random.randint(-4, 3) * HOUR,
            **{name: random.choice(pool) for name, pool in POOLS.items()},
            "emb__model_version": "m",
        }
        for _ in range(400)
    ]
    return pa.Table.from_pylist(rows, schema)


@pytest.mark.parametrize("nulls", ["skip", "keep"])
@pytest.mark.parametrize("ttl", [None, 2 * HOUR])
def test_the_same_rows_are_superseded(spark: SparkSession, nulls: Nulls, ttl: timedelta | None) -> None:
    group = FeatureGroup("g", USER, features=FEATURES, nulls=nulls, ttl=ttl)
    rows = rows_of(group, seed=len(nulls) + (ttl is None))

    marked = is_superseded(rows, group.join_keys, group.feature_names, nulls, ttl=ttl, cut=CUT)

    superseded = rows.filter(pa.array(marked))
    named = [superseded.column(name).to_pylist() for name in identity_columns(group)[:-2]]
    hashes = [row_hashes(superseded.columns, seed).tolist() for seed in (1, 2)]
    found = superseded_rows(to_spark(spark, rows), group, CUT).toArrow()
    assert set(zip(*named, *hashes, strict=True)) == {tuple(row.values()) for row in found.to_pylist()}
    assert 0 < superseded.num_rows < rows.num_rows


def test_no_rows_are_superseded_of_none() -> None:
    group = FeatureGroup("g", USER, features=FEATURES)
    rows = rows_of(group, seed=0).slice(0, 0)

    for nulls in ("skip", "keep"):
        assert not len(is_superseded(rows, group.join_keys, group.feature_names, nulls, ttl=None, cut=CUT))
