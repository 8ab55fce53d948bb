"""The catalogue of a real store: one tenant's numbers as profiles, runs and builds left them, and no other's."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from featurestore import (
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    Lookup,
    Source,
    SpineQuery,
    TrainingSetDefinition,
)
from featurestore.frames.statistics.feature_statistics import FeatureStatistics
from featurestore.operations.catalog.lineage import Node, lineage_of
from featurestore.operations.catalog.model import Catalog, GroupEntry, GroupNumbers
from featurestore.reports.catalog_pages import catalog_pages
from tests.conftest import Clock, OpenFeatureStore, spark_setting
from tests.pages.html_page import Page
from tests.pages.site_pages import faults_of_site

HOSTILE = """</title><script>alert('x')</script> "quotes" & <b>naïve</b> 東京"""
NOW = datetime(2026, 11, 5, 9, tzinfo=UTC)
USER = Entity("user", join_keys={"user_id": "string"}, description=HOSTILE)
VISITS = FeatureGroup(
    "visits",
    USER,
    features=[
        Feature("pages", "long", description=HOSTILE),
        Feature("plan", "string", tags=("billing",)),
        Feature("seen", "timestamp"),
        Feature("text", "embedding(2)"),
        Feature("raw", "json"),
    ],
    ttl=timedelta(days=2),
    owner=HOSTILE,
)
TOTALS = FeatureGroup(
    "totals",
    USER,
    features=[Feature("pages_a_day", "long")],
    sources={"visits": Source(group="visits")},
    transformation=(
        "SELECT user_id, sum(pages) AS pages_a_day FROM visits "
        "WHERE event_timestamp >= :start_time AND event_timestamp < :end_time GROUP BY user_id"
    ),
)
FATE = TrainingSetDefinition(
    "fate",
    [Lookup("visits", ["pages"]), "totals:pages_a_day"],
    spine=SpineQuery(
        sources={"labels": Source(path="{landing}/{tenant_id}/labels", format="parquet")},
        transformation="SELECT user_id, event_timestamp, gone FROM labels",
    ),
    label="gone",
    description=HOSTILE,
)


def row(day: int, user: int, plan: str) -> dict[str, Any]:
    return {
        "user_id": f"u{user}",
        "event_timestamp": datetime(2026, 11, day, 3, tzinfo=UTC) + timedelta(minutes=user),
        "pages": None if user % 4 == 0 else user,
        "plan": plan,
        "seen": datetime(2026, 10, day, tzinfo=UTC),
        "text": [3.0, 4.0],
        "raw": "[1]",
    }


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore) -> FeatureStore:
    """Acme has two days of visits, a run and a training set; globex one visit, later and greater, and a set of its own."""
    clock = Clock(NOW)
    fs = open_feature_store(clock)
    fs.apply([VISITS, TOTALS, FATE])
    acme, globex = fs.tenant("acme"), fs.tenant("globex")
    acme.write_batch(
        "visits", [row(day, user, "free" if user % 2 else "pro <1>") for day in (1, 2) for user in range(12)]
    )
    acme.materialize_feature("totals", datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
    acme.profile("visits")
    globex.write_batch("visits", [row(4, 999, "secret-plan")])
    globex.profile("visits")
    for store, name in ((acme, "loose"), (globex, "globex_only")):
        spine = pd.DataFrame([{"user_id": "u1", "event_timestamp": NOW, "gone": True}])
        FeatureDataLoader(store).load_training_data(spine, "visits:pages", label="gone", name=name)
    return fs


@pytest.fixture(scope="module")
def catalog(feature_store: FeatureStore) -> Catalog:
    return feature_store.tenant("acme").catalog()


def entry(catalog: Catalog, name: str) -> GroupEntry:
    return next(entry for entry in catalog.groups if entry.group.name == name)


def numbers_of(catalog: Catalog, name: str) -> GroupNumbers:
    numbers = entry(catalog, name).numbers
    assert numbers is not None
    return numbers


def test_the_catalogue_lists_the_definitions_in_force(catalog: Catalog) -> None:
    assert (catalog.tenant_id, catalog.built_at) == ("acme", NOW)
    assert catalog.entities == (USER,)
    assert [entry.group for entry in catalog.groups] == [TOTALS, VISITS]
    visits = entry(catalog, "visits")
    assert (visits.revision, visits.applied_at, visits.older_versions) == (1, NOW, ())


def test_groups_have_the_tenant_s_numbers(catalog: Catalog) -> None:
    numbers = numbers_of(catalog, "visits")

    assert numbers.rows == 24
    assert numbers.oldest == datetime(2026, 11, 1, 3, tzinfo=UTC)
    assert numbers.newest == datetime(2026, 11, 2, 3, 11, tzinfo=UTC)
    assert numbers.profiled_at == NOW
    assert numbers.rows_by_date == ((date(2026, 11, 1), 12), (date(2026, 11, 2), 12))


def test_a_group_is_stale_when_its_newest_value_is_older_than_its_ttl(catalog: Catalog) -> None:
    visits = entry(catalog, "visits")

    assert visits.is_stale(NOW)
    assert not visits.is_stale(datetime(2026, 11, 4, 3, 11, tzinfo=UTC))


def columns(statistics: Iterable[FeatureStatistics]) -> list[tuple[Any, ...]]:
    return [(row.feature, row.rows, row.nulls, row.distinct, row.minimum, row.maximum) for row in statistics]


def test_statistics_are_those_of_the_profile(feature_store: FeatureStore, catalog: Catalog) -> None:
    numbers = numbers_of(catalog, "visits")

    profile = feature_store.tenant("acme").get_statistics("visits")

    assert columns(numbers.statistics) == columns(profile)
    assert [row[:3] for row in columns(numbers.statistics)][:2] == [("pages", 24, 6), ("plan", 24, 0)]
    assert numbers.null_share == 6 / (24 * 5)


def test_a_group_without_a_profile_has_rows_and_no_statistics(catalog: Catalog) -> None:
    totals = numbers_of(catalog, "totals")

    assert (totals.statistics, totals.profiled_at, totals.rows) == ((), None, 12)


def test_runs_are_the_newest_of_each_job(catalog: Catalog) -> None:
    [run] = numbers_of(catalog, "totals").runs

    assert (run.job, run.state, run.rows_written, run.recorded_at) == ("materialize", "succeeded", 12, NOW)
    assert run.window is not None
    assert run.window.end == datetime(2026, 11, 2, tzinfo=UTC)


def test_training_sets_are_those_declared_and_those_saved(catalog: Catalog) -> None:
    fate, loose = catalog.training_sets

    assert (fate.name, fate.definition, fate.versions) == ("fate", FATE, ())
    assert (loose.name, loose.definition) == ("loose", None)
    [version] = loose.versions
    assert (version.version, version.rows, version.label, version.groups) == (1, 1, "gone", ("visits",))
    assert version.created_at == NOW


def test_lineage_leads_from_sources_through_groups_to_training_sets(catalog: Catalog) -> None:
    visits, totals = Node("group", "visits"), Node("group", "totals")

    assert set(lineage_of(catalog).edges) == {
        (visits, totals),
        (visits, Node("training_set", "fate")),
        (totals, Node("training_set", "fate")),
        (Node("source", "{landing}/{tenant_id}/labels"), Node("training_set", "fate")),
        (visits, Node("training_set", "loose")),
    }


def test_the_pages_are_complete_and_show_what_people_wrote_as_text(catalog: Catalog) -> None:
    files = catalog_pages(catalog)

    assert faults_of_site(files) == []
    assert [name for name, text in files.items() if "<script>alert" in text or "<b>" in text] == []
    words = Page(files["groups/visits.html"]).words
    assert HOSTILE in words
    assert "pro <1>" in words
    assert "Past its TTL" in words


def test_nothing_of_another_tenant_is_on_any_page(feature_store: FeatureStore, catalog: Catalog) -> None:
    theirs = catalog_pages(feature_store.tenant("globex").catalog())
    assert "globex_only" in theirs["lineage.html"]
    assert "2026-11-04" in theirs["groups/visits.html"]

    for name, text in catalog_pages(catalog).items():
        assert [word for word in ("globex", "secret-plan", "2026-11-04", "999") if word in text] == [], name


def test_without_a_tenant_no_tenant_s_data_is_shown(feature_store: FeatureStore) -> None:
    catalog = feature_store.catalog()

    assert catalog.tenant_id is None
    assert [entry.numbers for entry in catalog.groups] == [None, None]
    assert [entry.name for entry in catalog.training_sets] == ["fate"]
    for name, text in catalog_pages(catalog).items():
        assert [word for word in ("acme", "globex", "loose", "secret-plan", "pro &lt;1&gt;") if word in text] == [], (
            name
        )


def test_a_tenant_without_data_has_empty_groups(feature_store: FeatureStore) -> None:
    catalog = feature_store.tenant("nobody").catalog()

    assert [(entry.numbers.rows, entry.numbers.newest) for entry in catalog.groups if entry.numbers] == [
        (0, None),
        (0, None),
    ]
    assert faults_of_site(catalog_pages(catalog)) == []


def test_the_session_s_time_zone_changes_nothing(
    feature_store: FeatureStore, catalog: Catalog, spark: SparkSession
) -> None:
    with spark_setting(spark, "spark.sql.session.timeZone", "Asia/Tokyo"):
        again = feature_store.tenant("acme").catalog()

    assert catalog_pages(again) == catalog_pages(catalog)


def test_a_store_without_definitions_has_a_catalogue(open_feature_store: OpenFeatureStore, tmp_path: Path) -> None:
    fs = open_feature_store(Clock(NOW))

    assert fs.tenant("acme").catalog().groups == fs.catalog().groups == ()
