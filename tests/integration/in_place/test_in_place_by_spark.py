"""Groups in place by Spark: every host, frames, statistics and rebuilt training sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from featurestore import (
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    InPlace,
    OfflineStore,
    Settings,
    Source,
)
from featurestore.errors import InvalidArgumentError
from featurestore.stores.arrow import from_spark, to_spark
from tests.conftest import Clock

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANT = pa.timestamp("us", "UTC")
USER = Entity("user", join_keys={"user_id": "string"})
FEATURES = [Feature("score", "double"), Feature("note", "string")]
IN_PLACE = {"event_timestamp": "at", "created_timestamp": "loaded", "columns": {"user_id": "uid"}}


def rows(first: int, count: int) -> pa.Table:
    numbers = list(range(first, first + count))
    return pa.table(
        {
            "org": ["acme" if number % 5 else "zeta" for number in numbers],
            "uid": [None if number == 7 else f"u{number % 3}" for number in numbers],
            "at": pa.array([START + (number * 7 % 31) * HOUR for number in numbers], INSTANT),
            "loaded": pa.array([START + 24 * HOUR if number % 4 else None for number in numbers], INSTANT),
            "score": [float(number) if number % 3 else None for number in numbers],
            "note": [f"note {number}" for number in numbers],
        }
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="module")
def store(spark: SparkSession, lake: Path) -> OfflineStore:
    """``folder`` and ``table`` are in place; ``vectors`` is, too, and has a feature that only Spark reads."""
    (lake / "folder").mkdir()
    for number in range(2):
        pq.write_table(rows(20 * number, 20), lake / "folder" / f"{number}.parquet")
        deltalake.write_deltalake(str(lake / "table"), rows(20 * number, 20), mode="append")
    by_spark = to_spark(spark, rows(0, 41)).write.format("delta").option("delta.enableDeletionVectors", "true")
    by_spark.save(str(lake / "vectors"))
    spark.sql(f"DELETE FROM delta.`{lake / 'vectors'}` WHERE note = 'note 40'")
    settings = Settings(warehouse=str(lake / "warehouse"))
    fs = FeatureStore.open(settings, spark=spark, clock=Clock(START + 100 * HOUR))
    sources: dict[str, Literal["delta", "parquet"]] = {"folder": "parquet", "table": "delta", "vectors": "delta"}
    groups = [
        FeatureGroup(
            name,
            USER,
            features=FEATURES,
            in_place=InPlace(Source(path=str(lake / name), format=format, tenant_column="org"), **IN_PLACE),
        )
        for name, format in sources.items()
    ]
    fs.apply([USER, *groups])
    return fs.tenant("acme")


def spine() -> pa.Table:
    users = [f"u{number % 4}" for number in range(24)]
    return pa.table({"user_id": users, "event_timestamp": pa.array([START + n * 2 * HOUR for n in range(24)], INSTANT)})


def sorted_rows(table: pa.Table) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=str)


def test_every_host_gives_the_same_values(store: OfflineStore, spark: SparkSession) -> None:
    def joined(group: str, host: Any) -> list[dict[str, Any]]:
        given = spine() if host == "in_process" else to_spark(spark, spine())
        references = [f"{group}:score", f"{group}:note"]
        return sorted_rows(store.get_point_in_time(given, references, known_at="event", to="arrow", host=host))

    expected = joined("folder", "in_process")

    assert len([row for row in expected if row["note"] is not None]) > 10
    assert joined("folder", "in_tasks") == expected
    assert joined("table", "by_shuffle") == expected
    # Deletion vectors: only Spark can read it.
    assert joined("vectors", None) == expected
    with pytest.raises(InvalidArgumentError, match=r"read by Spark alone: table .* has features that only Spark reads"):
        joined("vectors", "in_process")


def test_reads_without_a_spine_are_the_same_by_spark(store: OfflineStore) -> None:
    arguments = (START + HOUR, START + 30 * HOUR)
    local = store.get_batch_features(["folder:score"], *arguments, to="arrow").rows
    by_spark = store.get_batch_features(["vectors:score"], *arguments).rows
    value = {
        name: store.get_feature_at_time(f"{name}:note", {"user_id": "u1"}, START + 90 * HOUR)
        for name in ("folder", "vectors")
    }

    assert sorted_rows(from_spark(by_spark)) == sorted_rows(local)
    assert value["folder"] is not None
    assert value["vectors"] is not None
    assert value["folder"].value == value["vectors"].value


def test_statistics_are_computed_again_when_the_source_changes(store: OfflineStore, lake: Path) -> None:
    first, again = store.profile("folder"), store.profile("folder")
    statistics = {each.feature: each.rows for each in store.get_statistics("folder")}
    stats = {each.group: each for each in store.get_stats()}
    drift = store.drift("folder", baseline="2026-03-01/2026-03-02", current="2026-03-02/2026-03-03")
    pq.write_table(rows(100, 5), lake / "folder" / "late.parquet")
    later = store.profile("folder")

    assert (first.groups[0].rows, again.groups[0].rows) == (31, 0)
    assert statistics == {"score": 31, "note": 31}
    assert stats["folder"].null_shares is not None
    assert sorted(each.feature for each in drift.features) == ["note", "score"]
    # Of the four rows of the tenant, three have keys and moments of earlier ones, which they correct.
    assert later.groups[0].rows == 32


def test_a_rebuild_reads_the_pinned_state(store: OfflineStore, lake: Path) -> None:
    loader = FeatureDataLoader(store)
    examples = spine().append_column("late", pa.array([number % 2 for number in range(24)]))
    for name in ("folder", "table"):
        loader.load_training_data(examples, [f"{name}:score"], name=f"of_{name}", label="late")
    newest = pa.concat_tables([rows(200, 1), rows(201, 9)])
    deltalake.write_deltalake(str(lake / "table"), newest, mode="append")
    pq.write_table(newest, lake / "folder" / "newest.parquet")

    for name in ("folder", "table"):
        was = loader.get(f"of_{name}").manifest
        assert loader.rebuild(f"of_{name}").manifest.content_hash == was.content_hash
