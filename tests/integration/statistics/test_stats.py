"""Statistics of a store, checked against the files on disk."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureGroup, FeatureStore
from featurestore.operations.statistics import stats
from featurestore.operations.statistics.stats import GroupStats
from tests.conftest import Clock, OpenFeatureStore

VISIT = Entity("visit", join_keys={"site": "string", "day": "date"})
VISITS = FeatureGroup("visits", VISIT, features=[Feature("count", "long"), Feature("note", "string")])
VECTORS = FeatureGroup("vectors", VISIT, features=[Feature("text", "embedding(2)")])
START = datetime(2026, 11, 1, 5, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore) -> FeatureStore:
    fs = open_feature_store(Clock(datetime(2026, 12, 1, tzinfo=UTC)))
    fs.apply([VISITS, VECTORS])
    return fs


def visit(site: str, at: datetime, **more: Any) -> dict[str, Any]:
    return {"site": site, "day": "2026-11-01", "event_timestamp": at, "count": 1} | more


def live_files(spark: SparkSession, folder: Path, tenant: str) -> list[Path]:
    """What the table's newest version consists of, by Delta's own list."""
    names = spark.read.format("delta").load(str(folder)).inputFiles()
    paths = [Path(name.removeprefix("file:").replace("%20", " ")) for name in names]
    return [path for path in paths if f"tenant_id={tenant}" in path.parts]


def test_what_a_tenant_has_is_what_its_files_hold(feature_store: FeatureStore, spark: SparkSession) -> None:
    acme, other = feature_store.tenant("acme"), feature_store.tenant("other")
    before = datetime.now(UTC)
    acme.write_batch(
        "visits", [visit("a", START + MICROSECOND), visit("b", START + timedelta(days=3)), visit("a", START)]
    )
    # A correction, and a late value older than all, to the microsecond.
    acme.write_batch("visits", [visit("a", START, count=2), visit("c", START - timedelta(days=9) - MICROSECOND)])
    after = datetime.now(UTC)
    other.write_batch("visits", [visit(f"o{number}", START - timedelta(days=99)) for number in range(7)])
    folder = Path(feature_store.settings.warehouse) / "groups" / "visits_v1" / "values"

    def check() -> GroupStats:
        vectors, visits = acme.get_stats()
        files = live_files(spark, folder, "acme")
        assert (vectors.group, visits.group) == ("vectors", "visits")
        assert (visits.files, visits.bytes) == (len(files), sum(file.stat().st_size for file in files))
        assert visits.rows == sum(pq.read_metadata(file).num_rows for file in files) == 5
        assert (visits.version, visits.features) == (1, ("count", "note"))
        assert visits.entities == 3
        assert (visits.oldest, visits.newest) == (START - timedelta(days=9) - MICROSECOND, START + timedelta(days=3))
        assert visits.last_write is not None
        assert before - timedelta(seconds=1) <= visits.last_write <= after
        return visits

    as_written = check()
    spark.sql(f"OPTIMIZE delta.`{folder}`")
    optimized = check()
    assert optimized.files < as_written.files
    assert optimized.last_write == as_written.last_write
    assert optimized.table_version == as_written.table_version + 1

    [_, of_other] = other.get_stats()
    assert (of_other.rows, of_other.entities, of_other.newest) == (7, 7, START - timedelta(days=99))
    assert of_other.last_write is not None
    assert of_other.last_write > as_written.last_write


def test_a_group_without_rows_of_the_tenant(feature_store: FeatureStore) -> None:
    feature_store.tenant("other").write_batch(
        "vectors", [{"site": "a", "day": "2026-11-01", "event_timestamp": START, "text": [1.0, 2.0]}]
    )

    vectors, _ = feature_store.tenant("empty").get_stats()

    assert vectors == GroupStats(
        group="vectors",
        version=1,
        features=("text",),
        rows=0,
        entities=0,
        oldest=None,
        newest=None,
        files=0,
        bytes=0,
        last_write=None,
        table_version=vectors.table_version,
    )


def test_entities_are_counted_unless_they_are_not_asked_and_all_shows_as_a_table(feature_store: FeatureStore) -> None:
    few = feature_store.tenant("few")
    few.write_batch("visits", [visit("a", START)])

    assert [one.entities for one in few.get_stats(entities=False)] == [None, None]
    counted = few.get_stats()
    assert [one.entities for one in counted] == [0, 1]
    assert pd.DataFrame(counted).columns.tolist() == list(asdict(counted[0]))
    assert pd.DataFrame(counted)["newest"].tolist()[1] == START


def test_a_new_version_of_a_group_takes_its_place(open_feature_store: OpenFeatureStore) -> None:
    fs = open_feature_store(Clock(datetime(2026, 12, 1, tzinfo=UTC)))
    fs.apply([VISITS])
    fs.tenant("acme").write_batch("visits", [visit("a", START)])
    fs.apply([FeatureGroup("visits", VISIT, features=[Feature("count", "double")], version=2)])

    [visits] = fs.tenant("acme").get_stats()
    assert (visits.version, visits.features, visits.rows) == (2, ("count",), 0)


def test_the_last_write_is_found_behind_many_commits_of_others(
    feature_store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = feature_store.tenant("early")
    first.write_batch("vectors", [{"site": "a", "day": "2026-11-01", "event_timestamp": START, "text": [1.0, 2.0]}])
    known = first.get_stats(entities=False)[0].last_write
    feature_store.tenant("late").write_batch(
        "vectors", [{"site": "b", "day": "2026-11-01", "event_timestamp": START, "text": [1.0, 2.0]}]
    )
    monkeypatch.setattr(stats, "_RECENT", 1)

    assert known is not None
    assert first.get_stats(entities=False)[0].last_write == known
