"""What a client of a Spark Connect server finds in a store, as a JSON document; a process of its own, without a JVM.

SPARK_REMOTE=sc://... python spark_connect_client.py <settings> <folder of visits> <start> <end>
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql.utils import is_remote

from featurestore import FeatureDataLoader, FeatureStore
from featurestore.errors import RuntimeSetupError
from featurestore.frames.fingerprint import content_hash

FEATURES = ("pages:text", "pages:country", "pages:score")
QUERY = [1.0, -0.5, 0.25, 0.0]


def answers_of(store: Any, visits: Any, start: str, end: str) -> dict[str, Any]:
    """What the store answers, in a form that is the same whichever Spark computed it."""
    pandas = visits.where("page_id < 20").toPandas()
    pandas["event_timestamp"] = pandas["event_timestamp"].dt.tz_localize("UTC")
    search = store.search_similar_embeddings("pages:text", QUERY, threshold=-1.0, at=end)
    return {
        "as of": content_hash(store.get_point_in_time(visits, FEATURES, with_timestamps=True)),
        "as of, as known then": content_hash(store.get_point_in_time(visits, FEATURES, known_at="event")),
        "as of, of pandas": content_hash(store.get_point_in_time(pandas, FEATURES, to="spark")),
        "at a moment": repr(store.get_features_at_time(FEATURES, {"page_id": 7}, end)),
        "a range": content_hash(store.get_batch_features(FEATURES, start, end).rows),
        "a history": content_hash(store.get_feature_history("pages:score", {"page_id": 7}, start, end)),
        "an aggregate": content_hash(store.aggregate_feature("pages:score", "avg", every="day", start=start, end=end)),
        "a search": [(match.entity, round(match.similarity, 5)) for match in search],
        "stats": repr(store.get_stats()),
    }


def why_not(call: Callable[[], Any]) -> str:
    """What stops the call; empty where nothing does."""
    try:
        call()
    except (RuntimeSetupError, PySparkException) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def report(conf: str, visits: str, start: str, end: str) -> dict[str, Any]:
    feature_store = FeatureStore.open(conf)
    spark, store = feature_store.spark, feature_store.tenant("acme")
    loader = FeatureDataLoader(store)
    answers = answers_of(store, spark.read.parquet(visits), start, end)
    built = loader.build("clicks", new_version=True)
    frame = store.get_batch_features(FEATURES, start, end).rows
    before = content_hash(frame)
    store.write_batch("pages", [{"page_id": 7, "event_timestamp": start, "score": -1.0}], batch_id="late")
    return {
        "remote": is_remote() and "pyspark.sql.connect" in type(spark).__module__,
        "answers": answers,
        "built": built.manifest.model_dump(mode="json"),
        "to_pandas": [len(built.to_pandas().X), sorted(built.metadata()["missing_values"])],
        "a frame after a write": content_hash(frame) == before,
        "a frame made after it": content_hash(store.get_batch_features(FEATURES, start, end).rows) == before,
        "an export": why_not(lambda: loader.export_to_csv(built, f"{conf}/../exported")),
        "a deletion": why_not(lambda: loader.delete("clicks", built.manifest.version)),
    }


def main(arguments: Sequence[str]) -> None:
    conf, visits, start, end = arguments
    json.dump(report(conf, visits, start, end), sys.stdout)
    sys.stdout.flush()
    # The client's threads wait for a server that is about to be stopped.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
