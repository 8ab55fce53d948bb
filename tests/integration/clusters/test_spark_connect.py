"""A client of a Spark Connect server reads, joins and builds what a session of this process does; docs/spark_connect.md."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from featurestore import (
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    OfflineStore,
)
from featurestore.stores.training_sets.manifests import Manifest
from tests.conftest import Clock
from tests.inputs.landed_visits import drawn, drawn_minute, training_set_of_visits
from tests.processes import spark_connect_client
from tests.processes.spark_connect_server import spark_connect_server
from tests.processes.spark_submit import PROJECT, spark_environment
from tests.processes.waiting import PATIENCE
from tests.settings_folder import write_settings_folder

pytestmark = pytest.mark.slow

EDITS, VISITS, PAGES = 2_000, 1_500, 300
START, END = "2026-03-01T00:00:00+00:00", "2026-03-11T00:00:00+00:00"

PAGE_GROUP = FeatureGroup(
    "pages",
    Entity("page", join_keys={"page_id": "long"}),
    features=[
        Feature("text", "embedding(4)", model_version="small"),
        Feature("country", "string"),
        Feature("score", "double"),
    ],
    ttl="4d",
)
CLICKS = training_set_of_visits("clicks", "pages", "page_id", "clicked")


@dataclass(frozen=True)
class Comparison:
    """What a session of this process answers, and what the client then reports."""

    store: OfflineStore
    answers: dict[str, Any]
    built: Manifest
    client: dict[str, Any]


def minute(seed: int) -> Column:
    return drawn_minute(seed, datetime.fromisoformat(START), days=10)


def page() -> Column:
    return drawn(1, PAGES).alias("page_id")


def fill(feature_store: FeatureStore, visits: Path) -> None:
    spark = feature_store.spark
    feature_store.apply([PAGE_GROUP, CLICKS])
    edits = spark.range(EDITS).select(
        page(),
        minute(2),
        F.when(
            F.col("id") % 5 > 0, F.array(*((F.xxhash64("id", F.lit(n)) % 1000 / 1000).cast("float") for n in range(4)))
        ).alias("text"),
        F.when(F.col("id") % 3 > 0, F.concat(F.lit("c"), F.col("id") % 4)).alias("country"),
        F.when(F.col("id") % 4 > 0, F.col("id") / 8).alias("score"),
    )
    feature_store.tenant("acme").write_batch("pages", edits, batch_id="edits")
    spine = spark.range(EDITS, EDITS + VISITS).select(page(), minute(3), (F.col("id") % 2 == 0).alias("clicked"))
    spine.repartition(3).write.parquet(str(visits))


@pytest.fixture(scope="module")
def comparison(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("spark_connect")
    conf, visits = folder / "conf", folder / "landing" / "acme" / "visits"
    write_settings_folder(conf, warehouse="warehouse", landing="landing")
    # Written so early that known_at="event" finds values.
    feature_store = FeatureStore.open(conf, spark=spark, clock=Clock(datetime(2026, 3, 5, tzinfo=UTC)))
    fill(feature_store, visits)
    store = feature_store.tenant("acme")
    built = FeatureDataLoader(store).build("clicks").manifest
    answers = spark_connect_client.answers_of(store, spark.read.parquet(str(visits)), START, END)
    with spark_connect_server(folder) as url:
        done = subprocess.run(
            [sys.executable, spark_connect_client.__file__, str(conf), str(visits), START, END],
            cwd=folder,
            env=spark_environment() | {"SPARK_REMOTE": url, "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    assert done.returncode == 0, done.stderr
    return Comparison(store, answers, built, json.loads(done.stdout))


def test_the_session_is_a_client_of_the_server(comparison: Comparison) -> None:
    assert comparison.client["remote"]


@pytest.mark.parametrize(
    "question",
    [
        "as of",
        "as of, as known then",
        "as of, of pandas",
        "at a moment",
        "a range",
        "a history",
        "an aggregate",
        "a search",
        "stats",
    ],
)
def test_it_reads_what_this_process_reads(comparison: Comparison, question: str) -> None:
    assert comparison.client["answers"][question] == json.loads(json.dumps(comparison.answers[question]))


def test_it_builds_the_training_set_that_this_process_builds(comparison: Comparison) -> None:
    there = Manifest.model_validate(comparison.client["built"])

    assert (there.version, there.row_count) == (comparison.built.version + 1, VISITS)
    assert there.content_hash == comparison.built.content_hash
    saved = FeatureDataLoader(comparison.store).get("clicks", there.version)
    assert saved.manifest == there
    assert comparison.client["to_pandas"] == [VISITS, sorted(saved.metadata()["missing_values"])]


def test_a_frame_keeps_its_table_version(comparison: Comparison) -> None:
    assert comparison.client["a frame after a write"]
    assert not comparison.client["a frame made after it"]


def test_files_outside_the_tables_are_out_of_reach(comparison: Comparison) -> None:
    assert (
        "this session is a client of Spark Connect; run it as a job with spark-submit" in comparison.client["an export"]
    )


def test_single_rows_are_not_changed_without_the_plugin_of_the_server(comparison: Comparison) -> None:
    """Where this fails, deletions have come to work, and docs/spark_connect.md has a line to lose."""
    assert "delta" in comparison.client["a deletion"], comparison.client["a deletion"]
