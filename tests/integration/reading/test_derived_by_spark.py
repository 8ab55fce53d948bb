"""Derived features by every host of the join, and in training sets that Spark builds: one answer everywhere."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from pyspark.errors import PythonException
from pyspark.sql import SparkSession

from featurestore import DerivedFeature, Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, Lookup
from featurestore.errors import RebuildError
from featurestore.operations.erasure.erasing import Erasing
from featurestore.operations.erasure.training_sets import lookups_of
from featurestore.stores.small_tables.erasures import Erasure
from tests.conftest import Clock, OpenFeatureStore
from tests.inputs import derived_functions
from tests.reference.every_host import WAYS

DAY = datetime(2026, 1, 1, tzinfo=UTC)
STATS = FeatureGroup(
    "stats",
    Entity("user", join_keys={"user_id": "string"}),
    features=[
        Feature("visits", "long"),
        Feature("spend", "double"),
        Feature("plan", "string"),
        Feature("seen", "timestamp"),
        Feature("born", "date"),
        Feature("tags", "array<string>"),
    ],
)
SPEND_OF_FRIEND = Lookup("stats", "spend", on={"user_id": "friend.id"}, prefix="friend_")
DERIVED = [
    DerivedFeature("per_visit", "double", inputs=["stats:spend", "stats:visits"], sql="spend / nullif(visits, 0)"),
    DerivedFeature("more", "boolean", inputs=["stats:spend", SPEND_OF_FRIEND], sql="spend > friend_spend"),
    DerivedFeature("ratio", "double", inputs=["derived:per_visit", "price"], sql="price / nullif(per_visit, 0)"),
    DerivedFeature("shout", "string", inputs=["stats:plan"], sql="upper(trim(plan)) || chr(8364)"),
    DerivedFeature("hour", "long", inputs=["stats:seen"], sql="extract(hour from seen at time zone 'Europe/Berlin')"),
    DerivedFeature("next_day", "timestamp", inputs=["stats:seen"], sql="seen + interval '1 day'"),
    DerivedFeature("month", "date", inputs=["stats:born"], sql="cast(date_trunc('month', born) as date)"),
    DerivedFeature("first_tag", "string", inputs=["stats:tags"], sql="list_extract(tags, 1)"),
    DerivedFeature("tried", "long", inputs=["stats:plan"], sql="try_cast(plan as bigint)"),
    DerivedFeature("half", "double", inputs=["stats:spend"], function=derived_functions.halves),
    DerivedFeature("tenth", "double", inputs={"x": "stats:visits"}, function=derived_functions.tenths, frame="pandas"),
    DerivedFeature("bad", "long", inputs=["stats:visits"], sql="visits * 4611686018427387904"),
]
FEATURES = [f"derived:{feature.name}" for feature in DERIVED if feature.name not in ("bad", "per_visit")]
SPINE = pa.table(
    {
        "user_id": ["a", "b", "c", None, "a", "none"],
        "friend.id": ["b", "a", None, "a", "c", "b"],
        "event_timestamp": [DAY + timedelta(hours=number) for number in range(6)],
        "price": [2.0, 3.5, None, 1.0, 4.0, 5.0],
        "bought": [True, False, True, True, False, False],
    }
)
NEXT = datetime(2025, 3, 31, 0, 30, tzinfo=UTC)
EXPECTED = {
    "more": [False, True, None, None, True, None],
    "ratio": [4.0, 3.5, None, None, 8.0, None],
    "shout": ["FREE€", "12€", None, None, "FREE€", None],
    "hour": [1, 12, None, None, 1, None],
    "next_day": [NEXT, datetime(2025, 7, 2, 10, tzinfo=UTC), None, None, NEXT, None],
    "month": [date(1999, 12, 1), date(1, 1, 1), None, None, date(1999, 12, 1), None],
    "first_tag": ["x", None, None, None, "x", None],
    "tried": [None, 12, None, None, None, None],
    "half": [0.5, 1.0, 0.0, None, 0.5, None],
    "tenth": [0.2, 0.2, None, None, 0.2, None],
}


@pytest.fixture(scope="module")
def fs(open_feature_store: OpenFeatureStore) -> FeatureStore:
    fs = open_feature_store(Clock(DAY + timedelta(days=9)))
    fs.apply([STATS, *DERIVED])
    rows: list[dict[str, Any]] = [
        {
            **{"user_id": "a", "visits": 2, "spend": 1.0, "plan": " free ", "tags": ["x", "y"]},
            **{"seen": datetime(2025, 3, 30, 0, 30, tzinfo=UTC), "born": date(1999, 12, 31)},
        },
        {
            **{"user_id": "b", "visits": 2, "spend": 2.0, "plan": "12", "tags": []},
            **{"seen": datetime(2025, 7, 1, 10, tzinfo=UTC), "born": date(1, 1, 1)},
        },
        {"user_id": "c", "spend": 0.0},
    ]
    fs.tenant("acme").write_batch("stats", [row | {"event_timestamp": DAY} for row in rows])
    return fs


def test_every_host_gives_the_same(fs: FeatureStore, spark: SparkSession) -> None:
    store = fs.tenant("acme")
    found = {}
    for way in WAYS:
        joined = store.get_point_in_time(way.spine(SPINE, spark), FEATURES, host=way.host)
        assert list(joined.columns if way.kind != "arrow" else joined.column_names) == [
            *SPINE.column_names,
            *EXPECTED,
        ], way
        if way.kind == "pandas":
            joined = pa.Table.from_pandas(joined, preserve_index=False)
        table = joined.toArrow() if way.kind == "spark" else joined
        found[str(way)] = table.sort_by("event_timestamp").select(list(EXPECTED)).to_pydict()

    # A spine in this process whose keys alone go to Spark.
    here = store.get_point_in_time(SPINE, ["derived:ratio"], host="in_tasks")
    assert here.column("ratio").to_pylist() == EXPECTED["ratio"]
    first, *others = found.values()
    assert all(other == first for other in others)
    assert first == EXPECTED


def test_a_failing_task_names_the_feature_and_the_row(fs: FeatureStore, spark: SparkSession) -> None:
    joined = fs.tenant("acme").get_point_in_time(spark.createDataFrame(SPINE), "derived:bad", host="in_tasks")

    with pytest.raises(
        PythonException,
        match=r"TransformationError: derived feature 'bad': the row with user_id='[ab]', event_timestamp=2026-01-01 "
        r"0\d:00:00\+00:00: Overflow in multiplication",
    ):
        joined.collect()


def test_a_set_that_spark_builds_is_rebuilt_by_the_recorded_definitions(
    fs: FeatureStore, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = FeatureDataLoader(fs.tenant("acme"))
    features = ["derived:ratio", "stats:plan", "derived:half"]
    here = loader.load_training_data(SPINE, features, name="offers", label="bought")
    fs.apply([DerivedFeature("per_visit", "double", inputs=["stats:spend"], sql="spend * 100")])

    rebuilt = loader.rebuild("offers", 1)

    assert rebuilt.manifest.content_hash == here.manifest.content_hash
    assert rebuilt.manifest.derived == here.manifest.derived
    fs.apply([DERIVED[0]])
    monkeypatch.setattr(derived_functions, "halves", derived_functions.tenths)
    with pytest.raises(RebuildError, match=r"the code of derived feature 'half' .* changed since"):
        loader.rebuild("offers", 1)


def test_an_erasure_finds_the_rows_whose_features_only_derived_ones_read(fs: FeatureStore, spark: SparkSession) -> None:
    loader = FeatureDataLoader(fs.tenant("acme"))
    reads = {"spend": Lookup("stats", "spend", on={"user_id": "buyer"})}
    fs.apply([DerivedFeature("of_buyer", "double", inputs=reads, sql="spend * 2")])
    saved = loader.load_training_data(
        SPINE.drop_columns(["user_id", "friend.id"]).append_column("buyer", SPINE.column("user_id")),
        ["derived:of_buyer"],
        name="of_buyers",
        label="bought",
    )
    erasing = Erasing(saved.context, STATS.entity, spark.range(1), Erasure("acme", "e1", "user", ()), None)

    assert lookups_of(erasing, saved.manifest, saved.rows.schema) == [{"user_id": "buyer"}]
