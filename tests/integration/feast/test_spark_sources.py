"""Feast's sources that only Spark reads, and entity rows that Spark has: joined here, and written by Spark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import feast
import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureView, Field
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SavedDatasetSparkStorage, SparkSource
from feast.types import Int64
from pyspark.sql import SparkSession

from featurestore.errors import InvalidArgumentError, NotFoundError, SchemaError
from featurestore.feast.sources import source_table
from featurestore.stores.outside.rows import WantedColumn
from tests.integration.feast.conftest import HOUR, START, feast_store

DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=feast.ValueType.INT64)
ENTITY_ROWS = pa.table(
    {"driver_id": [1, 2, 3], "event_timestamp": pa.array([START + 2 * HOUR, START, START], pa.timestamp("us", "UTC"))}
)
# With a column that could be taken for one of the keys that are asked for.
QUERY = "SELECT *, 1L AS __driver_id FROM rides_stats WHERE trips > 10"


@pytest.fixture(scope="module")
def store(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[feast.FeatureStore]:
    """The same rows as a table, a query, and files of JSON and of CSV, which has texts alone and no names."""
    folder = tmp_path_factory.mktemp("rides")
    rows = [(1, START, 10), (1, START + HOUR, 20), (1, START + 3 * HOUR, 30), (2, START, 40), (None, START, 50)]
    frame = spark.createDataFrame(rows, "driver_id long, at timestamp, trips long").coalesce(1)
    frame.write.format("parquet").option("path", str(folder / "table")).saveAsTable("rides_stats")
    documents = [{"driver_id": driver, "at": at.isoformat(), "trips": trips} for driver, at, trips in rows]
    (folder / "stats.json").write_text("\n".join(map(json.dumps, documents)))
    (folder / "stats.csv").write_text(
        "".join(f"{driver or ''},{at:%Y-%m-%d %H:%M},{trips}\n" for driver, at, trips in rows)
    )
    named = {"_c0": "driver", "_c1": "at", "_c2": "trips"}
    sources = {
        "table": SparkSource(name="table", table="rides_stats", timestamp_field="at"),
        "query": SparkSource(name="query", query=QUERY, timestamp_field="at"),
        "json": SparkSource(name="json", path=str(folder / "stats.json"), file_format="json", timestamp_field="at"),
        "csv": SparkSource(
            name="csv", path=str(folder / "stats.csv"), file_format="csv", timestamp_field="at", field_mapping=named
        ),
    }
    store = feast_store(folder)
    schema = [Field(name="driver_id", dtype=Int64), Field(name="trips", dtype=Int64)]
    by_text = Entity(name="by_text", join_keys=["driver"], value_type=feast.ValueType.STRING)
    views = [
        FeatureView(name=name, entities=[DRIVER], schema=schema, source=source)
        for name, source in sources.items()
        if name != "csv"
    ]
    texts = [Field(name="driver", dtype=feast.types.String), Field(name="trips", dtype=feast.types.String)]
    csv = FeatureView(name="csv", entities=[by_text], schema=texts, source=sources["csv"])
    store.apply([DRIVER, by_text, *views, csv])
    yield store
    spark.sql("DROP TABLE rides_stats")


def trips(store: feast.FeatureStore, view: str, entity_df: Any) -> list[Any]:
    return store.get_historical_features(entity_df, [f"{view}:trips"]).to_arrow().column("trips").to_pylist()


def test_each_kind_of_source_is_joined(store: feast.FeatureStore) -> None:
    rows = ENTITY_ROWS.append_column("driver", pa.array(["1", "2", "3"]))
    features = ["table:trips", "query:trips", "json:trips", "csv:trips"]

    found = store.get_historical_features(rows, features, full_feature_names=True).to_arrow()

    assert found.select(["table__trips", "query__trips", "json__trips", "csv__trips"]).to_pylist() == [
        {"table__trips": 20, "query__trips": 20, "json__trips": 20, "csv__trips": "20"},
        {"table__trips": 40, "query__trips": 40, "json__trips": 40, "csv__trips": "40"},
        {"table__trips": None, "query__trips": None, "json__trips": None, "csv__trips": None},
    ]


def test_entity_rows_are_a_frame_of_spark_or_a_query(store: feast.FeatureStore, spark: SparkSession) -> None:
    frame = spark.createDataFrame(ENTITY_ROWS)
    assert trips(store, "table", frame) == [20, 40, None]

    query = "SELECT 1L AS driver_id, TIMESTAMP '2026-03-01 03:00:00 UTC' AS event_timestamp"
    assert trips(store, "table", query) == [30]


def test_a_range_of_time_is_read_by_spark(store: feast.FeatureStore) -> None:
    for view in ("query", "json"):
        found = store.get_historical_features(
            features=[f"{view}:trips"], start_date=START + HOUR, end_date=START + 2 * HOUR
        ).to_arrow()
        assert found.select(["driver_id", "trips"]).to_pylist() == [{"driver_id": 1, "trips": 20}]


def test_rows_are_written_by_spark(store: feast.FeatureStore, spark: SparkSession, tmp_path: Path) -> None:
    more = pd.DataFrame({"driver_id": [4], "at": [START], "trips": [60]})
    store.write_to_offline_store("table", more)
    assert trips(store, "table", pa.table({"driver_id": [4], "event_timestamp": [START]})) == [60]

    with pytest.raises(InvalidArgumentError, match="source 'query' is a query; name the table or the path"):
        store.write_to_offline_store("query", more.assign(__driver_id=1))

    storage = SavedDatasetSparkStorage(path=str(tmp_path / "saved"), file_format="json")
    job = store.get_historical_features(ENTITY_ROWS, ["json:trips"])
    job.persist(storage)
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        job.persist(storage)
    saved = spark.read.json(str(tmp_path / "saved")).toArrow()
    assert sorted(zip(saved.column("driver_id").to_pylist(), saved.column("trips").to_pylist(), strict=True)) == [
        (1, 20),
        (2, 40),
        (3, None),
    ]

    spark.sql(f"CREATE DATABASE saved_rides LOCATION '{tmp_path / 'database'}'")
    try:
        table = SavedDatasetSparkStorage(table="saved_rides.first", file_format="parquet")
        job.persist(table)
        with pytest.raises(SavedDatasetLocationAlreadyExists):
            job.persist(table)
        assert sorted(spark.table("saved_rides.first").toArrow().column("driver_id").to_pylist()) == [1, 2, 3]
    finally:
        spark.sql("DROP DATABASE saved_rides CASCADE")


def test_what_a_source_of_spark_lacks_is_said(store: feast.FeatureStore, spark: SparkSession) -> None:
    with pytest.raises(NotFoundError, match="no_such_table"):
        source_table(SparkSource(name="lost", table="no_such_table", timestamp_field="at"), "", lambda: spark)
    table = source_table(store.get_data_source("query"), "", lambda: spark)
    with pytest.raises(SchemaError, match=r"source 'query': there is no column 'trip'\. Did you mean 'trips'"):
        table.read({"trip": WantedColumn("trip")}, required=[], ranges={})
