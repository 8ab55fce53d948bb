"""Statistics of a store, checked against the files on disk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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
STATES = ("written", "optimized")


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


@dataclass(frozen=True)
class FilesOnDisk:
    count: int
    bytes: int
    rows: int

    @classmethod
    def of(cls, files: list[Path]) -> FilesOnDisk:
        return cls(
            count=len(files),
            bytes=sum(file.stat().st_size for file in files),
            rows=sum(pq.read_metadata(file).num_rows for file in files),
        )


@dataclass(frozen=True)
class WrittenVisits:
    """Statistics of acme's visits before and after OPTIMIZE, each with the files that the table had then."""

    written_between: tuple[datetime, datetime]
    groups: dict[str, list[str]]
    statistics: dict[str, GroupStats]
    files: dict[str, FilesOnDisk]
    of_other: GroupStats


@pytest.fixture(scope="module")
def visits(feature_store: FeatureStore, spark: SparkSession) -> WrittenVisits:
    acme, other = feature_store.tenant("acme"), feature_store.tenant("other")
    folder = Path(feature_store.settings.warehouse) / "groups" / "visits_v1" / "values"
    before = datetime.now(UTC)
    acme.write_batch(
        "visits", [visit("a", START + MICROSECOND), visit("b", START + timedelta(days=3)), visit("a", START)]
    )
    # A correction, and a late value older than all, to the microsecond.
    acme.write_batch("visits", [visit("a", START, count=2), visit("c", START - timedelta(days=9) - MICROSECOND)])
    after = datetime.now(UTC)
    other.write_batch("visits", [visit(f"o{number}", START - timedelta(days=99)) for number in range(7)])

    groups, statistics, files = {}, {}, {}
    for state in STATES:
        if state == "optimized":
            spark.sql(f"OPTIMIZE delta.`{folder}`")
        listed = acme.get_stats()
        groups[state] = [group.group for group in listed]
        statistics[state] = listed[-1]
        files[state] = FilesOnDisk.of(live_files(spark, folder, "acme"))
    _, of_other = other.get_stats()
    return WrittenVisits((before, after), groups, statistics, files, of_other)


@pytest.mark.parametrize("state", STATES)
def test_rows_and_bytes_are_those_of_the_files_on_disk(visits: WrittenVisits, state: str) -> None:
    statistics = visits.statistics[state]

    assert FilesOnDisk(statistics.files, statistics.bytes, statistics.rows) == visits.files[state]
    assert statistics.rows == 5


@pytest.mark.parametrize("state", STATES)
def test_statistics_describe_the_group_and_its_values(visits: WrittenVisits, state: str) -> None:
    statistics = visits.statistics[state]

    assert (statistics.group, statistics.version, statistics.features) == ("visits", 1, ("count", "note"))
    assert statistics.entities == 3
    assert statistics.oldest == START - timedelta(days=9) - MICROSECOND
    assert statistics.newest == START + timedelta(days=3)


@pytest.mark.parametrize("state", STATES)
def test_the_last_write_is_when_the_tenant_last_wrote(visits: WrittenVisits, state: str) -> None:
    last_write = visits.statistics[state].last_write
    before, after = visits.written_between

    assert last_write is not None
    assert before - timedelta(seconds=1) <= last_write <= after


def test_optimize_changes_only_the_files_and_the_table_version(visits: WrittenVisits) -> None:
    written, optimized = visits.statistics["written"], visits.statistics["optimized"]

    assert optimized.files < written.files
    assert optimized.last_write == written.last_write
    assert optimized.table_version == written.table_version + 1


def test_another_tenant_has_statistics_of_its_own(visits: WrittenVisits) -> None:
    of_other, of_acme = visits.of_other, visits.statistics["written"]

    assert (of_other.rows, of_other.entities, of_other.newest) == (7, 7, START - timedelta(days=99))
    assert of_other.last_write is not None
    assert of_acme.last_write is not None
    assert of_other.last_write > of_acme.last_write


@pytest.mark.parametrize("state", STATES)
def test_groups_are_listed_by_name(visits: WrittenVisits, state: str) -> None:
    assert visits.groups[state] == ["vectors", "visits"]


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


def test_entities_are_counted_by_default_and_statistics_become_a_frame(feature_store: FeatureStore) -> None:
    few = feature_store.tenant("few")
    few.write_batch("visits", [visit("a", START)])

    assert [statistics.entities for statistics in few.get_stats(entities=False)] == [None, None]
    counted = few.get_stats()
    assert [statistics.entities for statistics in counted] == [0, 1]
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
