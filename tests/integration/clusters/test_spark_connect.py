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
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore import (
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    Lookup,
    OfflineStore,
    Source,
    SpineQuery,
    TimeSplit,
    TrainingSetDefinition,
)
from featurestore.stores.training_sets.manifests import Manifest
from tests.conftest import Clock
from tests.processes import spark_connect_client
from tests.processes.spark_connect_server import spark_connect_server
from tests.processes.spark_submit import PROJECT, spark_environment

pytestmark = pytest.mark.slow

EDITS, VISITS, PAGES = 2_000, 1_500, 300
START, END = "2026-03-01T00:00:00+00:00", "2026-03-11T00:00:00+00:00"
CLIENT_SECONDS = 300

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
CLICKS = TrainingSetDefinition(
    "clicks",
    [Lookup("pages")],
    spine=SpineQuery(
        sources={"visits": Source(path="{landing}/{tenant_id}/visits", format="parquet")},
        transformation="SELECT page_id, event_timestamp, clicked FROM visits",
    ),
    label="clicked",
    split=TimeSplit(validation=0.1, test=0.1),
)


@dataclass(frozen=True)
class Seen:
    """What a session of this process found, and what the client reported afterwards."""

    store: OfflineStore
    found: dict[str, Any]
    built: Manifest
    client: dict[str, Any]


def minute(seed: int) -> Any:
    start = int(datetime.fromisoformat(START).timestamp()) * 10**6
    return F.timestamp_micros(
        F.lit(start) + F.pmod(F.xxhash64("id", F.lit(seed)), F.lit(10 * 24 * 60)) * 60_000_000
    ).alias("event_timestamp")


def page() -> Any:
    return F.pmod(F.xxhash64("id", F.lit(1)), F.lit(PAGES)).alias("page_id")


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
def seen(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("spark_connect")
    conf, visits = folder / "conf", folder / "landing" / "acme" / "visits"
    conf.mkdir()
    (conf / "base.yml").write_text("warehouse: warehouse\nlanding: landing\n", encoding="utf-8")
    (conf / "dev.yml").write_text("{}\n", encoding="utf-8")
    # Written so early that known_at="event" finds values.
    feature_store = FeatureStore.open(conf, spark=spark, clock=Clock(datetime(2026, 3, 5, tzinfo=UTC)))
    fill(feature_store, visits)
    store = feature_store.tenant("acme")
    built = FeatureDataLoader(store).build("clicks").manifest
    found = spark_connect_client.found(store, spark.read.parquet(str(visits)), START, END)
    with spark_connect_server(folder) as url:
        done = subprocess.run(
            [sys.executable, spark_connect_client.__file__, str(conf), str(visits), START, END],
            cwd=folder,
            env=spark_environment() | {"SPARK_REMOTE": url, "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=CLIENT_SECONDS,
        )
    assert done.returncode == 0, done.stderr
    return Seen(store, found, built, json.loads(done.stdout))


def test_the_session_is_a_client_of_the_server(seen: Seen) -> None:
    assert seen.client["remote"]


@pytest.mark.parametrize(
    "what",
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
def test_it_reads_what_this_process_reads(seen: Seen, what: str) -> None:
    assert seen.client["found"][what] == json.loads(json.dumps(seen.found[what]))


def test_it_builds_the_training_set_that_this_process_builds(seen: Seen) -> None:
    there = Manifest.model_validate(seen.client["built"])

    assert (there.version, there.row_count) == (seen.built.version + 1, VISITS)
    assert there.content_hash == seen.built.content_hash
    saved = FeatureDataLoader(seen.store).get("clicks", there.version)
    assert saved.manifest == there
    assert seen.client["to_pandas"] == [VISITS, sorted(saved.metadata()["missing_values"])]


def test_a_frame_keeps_to_the_version_that_it_was_made_of(seen: Seen) -> None:
    assert seen.client["a frame after a write"]
    assert not seen.client["a frame made after it"]


def test_files_beside_the_tables_are_out_of_reach(seen: Seen) -> None:
    assert "this session is a client of Spark Connect; run it as a job with spark-submit" in seen.client["an export"]


def test_single_rows_are_not_changed_without_the_plugin_of_the_server(seen: Seen) -> None:
    """Where this fails, deletions have come to work, and docs/spark_connect.md has a line to lose."""
    assert "delta" in seen.client["a deletion"], seen.client["a deletion"]
