"""A store on S3 by Spark: materialized, joined, synced, exported and erased; and a driver that writes beside others.

Run as ``python -m tests.processes.store_on_s3 path BUCKET`` for the whole path, or ``... writer BUCKET NAME COUNT`` for
a driver whose commits are Spark's. It ends with 0 only if all is as it must be.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, Settings, Source
from tests.processes.log_store import compiled, shipped
from tests.processes.quick_spark import QUICK

START, HOUR, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(hours=1), timedelta(days=1)
USER = Entity("user", join_keys={"user_id": "string"})
STATS = FeatureGroup("stats", USER, features=[Feature("score", "double"), Feature("note", "string")])
DAILY = FeatureGroup(
    "daily",
    USER,
    features=[Feature("visits", "long")],
    sources={"visits": Source(path="{landing}/{tenant_id}/visits", format="parquet")},
    transformation=(
        "SELECT user_id, COUNT(*) AS visits FROM visits WHERE at >= :start_time AND at < :end_time GROUP BY user_id"
    ),
)
TASTE = FeatureGroup("taste", USER, features=[Feature("vector", "embedding(3)")])
SPARK = QUICK | {"spark.master": "local[2]"}
# What a driver prints before its first commit.
READY = "ready"
EXAMPLES = pa.table(
    {
        "user_id": ["ann", "bob", "cy"],
        "event_timestamp": pa.array([START + 2 * DAY] * 3, pa.timestamp("us", "UTC")),
        "label": [0, 1, 0],
    }
)


def opened(bucket: str, **settings: int | str) -> FeatureStore:
    root = f"s3a://{bucket}"
    given = Settings(
        warehouse=f"{root}/warehouse",
        landing=f"{root}/landing",
        spark=SPARK,
        postgres_dsn=os.environ.get("FEATURESTORE_POSTGRES_DSN"),
        postgres_app_dsn=os.environ.get("FEATURESTORE_POSTGRES_APP_DSN"),
        **settings,
    )
    return FeatureStore.open(given, clock=lambda: START + 30 * DAY)


def written(note: str) -> list[dict[str, object]]:
    return [
        {"user_id": user, "event_timestamp": START + hours * HOUR, "score": float(hours), "note": f"{note}-{user}"}
        for user in ("ann", "bob", "cy")
        for hours in range(4)
    ]


def tastes() -> list[dict[str, object]]:
    return [
        {"user_id": user, "event_timestamp": START, "vector": [1.0, float(number), 0.0]}
        for number, user in enumerate(("ann", "bob", "cy"))
    ]


def path(bucket: str) -> None:
    """The whole path by Spark: no batch and no spine is small enough for this process alone."""
    fs = opened(bucket, local_batch_rows=0, as_of_host="in_tasks")
    assert compiled(fs.spark) == shipped()
    fs.apply([STATS, DAILY, TASTE])
    store = fs.tenant("acme")
    old = {"user_id": "old", "event_timestamp": START - 40 * DAY, "score": 0.0, "note": "old"}
    assert store.write_batch("stats", [*written("kept"), old], batch_id="1").written == 13
    done = store.backfill("daily", START, START + 2 * DAY, every="1d")
    assert [window.written for window in done.results] == [2, 1], done
    features = ["stats:score", "stats:note", "daily:visits"]
    answers = {
        host: store.get_point_in_time(EXAMPLES, features, host=host).to_pylist()
        for host in ("in_process", "in_tasks", "by_shuffle")
    }
    assert answers["in_process"] == answers["in_tasks"] == answers["by_shuffle"]
    assert [row["visits"] for row in answers["in_process"]] == [1, 1, None]
    assert store.write_batch("taste", tastes(), batch_id="1").written == 3
    assert store.sync_embeddings("taste:vector").rows == 3
    spine = fs.spark.createDataFrame(EXAMPLES.to_pandas())
    made = FeatureDataLoader(store).load_training_data(spine, features, label="label", name="set")
    assert made.manifest.row_count == 3
    assert made.export(f"s3a://{bucket}/exports/set") == f"s3a://{bucket}/exports/set"
    again = FeatureDataLoader(store).rebuild("set")
    assert again.manifest.content_hash == made.manifest.content_hash
    assert sum(each.deleted_rows for each in store.cleanup(retention_days=60)) == 1
    certificate = store.erase("user", {"user_id": "ann"})
    certificate.require_complete()
    left = store.get_point_in_time(EXAMPLES, features).to_pylist()
    assert [row["score"] for row in left] == [None, 3.0, 3.0]
    similar = store.search_similar_embeddings("taste:vector", [1.0, 0.0, 0.0], threshold=-1.0)
    assert (similar.source, [match.entity for match in similar]) == (
        "postgres",
        [{"user_id": "bob"}, {"user_id": "cy"}],
    )
    for each in store.optimize():
        assert not each.busy
    fs.vacuum(older_than="1s", force=True)
    print(json.dumps({"out_of_reach": certificate.out_of_reach}))


def writer(bucket: str, name: str, count: int) -> None:
    """Append by Spark's own writer, as to a table that others may not write."""
    fs = opened(bucket)
    table = fs._context.table(STATS).values
    rows = [{"user_id": name, "event_timestamp": START, "created_timestamp": START, "score": 1.0, "note": name}]
    assert fs.spark.range(1).count() == 1
    print(READY, flush=True)
    for number in range(count):
        stored = fs._context.table(STATS).as_stored(fs.spark.createDataFrame(rows), "acme", START + number * HOUR)
        table.append(stored)
    print(f"{name} committed {count}")


def main(kind: str, bucket: str, *more: str) -> None:
    if kind == "path":
        path(bucket)
    else:
        writer(bucket, more[0], int(more[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
