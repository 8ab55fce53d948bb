"""Plan shows what apply would change; what stored rows could not follow is refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Settings
from featurestore.definitions.sets.collection import Definitions
from featurestore.errors import IncompatibleChangeError, NotFoundError
from featurestore.operations.definitions.plan import make_plan
from featurestore.stores.small_tables.registry import Entry, RegistryState

USER = Entity("user", join_keys={"user_id": "string"})
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def group(**changes: object) -> FeatureGroup:
    fields = {"features": [Feature("score", "float"), Feature("visits", "int")]} | changes
    return FeatureGroup("stats", changes.pop("entity", USER), **{k: v for k, v in fields.items() if k != "entity"})  # type: ignore[arg-type]


def applied(*groups: FeatureGroup) -> RegistryState:
    entries = [Entry("feature_group", g.name, g.version, 1, g.to_json()) for g in groups]
    entries += [Entry("entity", g.entity.name, 1, 1, g.entity.to_json()) for g in groups]
    return RegistryState({entry.key: entry for entry in entries})


def test_a_plan_reads_as_a_diff() -> None:
    after = group(
        features=[Feature("score", "double", min=0), Feature("visits", "int"), Feature("plan", "string")],
        ttl=timedelta(days=7),
    )
    assert str(make_plan(Definitions.of([after]), applied(group()))) == "\n".join(
        [
            "~ feature group stats v1: update",
            "    ~ feature score: type: float -> double",
            "    ~ feature score: min: none -> 0.0",
            "    + feature plan: string",
            "    ~ ttl: none -> 7 days, 0:00:00",
            "1 unchanged",
        ]
    )


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (group(features=[Feature("score", "float")]), "'visits' would be dropped; raise its version to 2"),
        (group(features=[Feature("score", "float"), Feature("visits", "string")]), "'visits' is int and cannot become"),
        (group(features=[Feature("score", "int"), Feature("visits", "int")]), "'score' is float and cannot become int"),
        (group(partition_by="month"), "is partitioned by day and would be by month"),
        (group(entity=Entity("user", join_keys={"user_id": "long"})), "join keys were"),
        (group(entity=Entity("account", join_keys={"account_id": "string"})), "join keys were"),
    ],
)
def test_a_change_that_stored_rows_could_not_follow_is_refused(after: FeatureGroup, reason: str) -> None:
    with pytest.raises(IncompatibleChangeError, match=reason):
        make_plan(Definitions.of([after]), applied(group()))


def test_a_new_version_may_be_anything() -> None:
    after = group(features=[Feature("visits", "string")], version=2)
    assert make_plan(Definitions.of([after]), applied(group())).has_changes


def test_apply_evolves_tables_and_keeps_every_state(spark: SparkSession, tmp_path: Path) -> None:
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path / "warehouse")), spark=spark, clock=lambda: NOON)
    fs.apply([group()])
    fs.tenant("acme").write_batch("stats", [{"user_id": "u", "event_timestamp": NOON, "score": 0.5, "visits": 7}])

    wider = group(features=[Feature("score", "double"), Feature("visits", "long"), Feature("plan", "string")])
    assert fs.apply([wider]).has_changes
    assert not fs.apply([wider]).has_changes

    new = {"user_id": "u", "event_timestamp": NOON + timedelta(hours=1), "score": 0.1, "visits": 2**40, "plan": "paid"}
    fs.tenant("acme").write_batch("stats", [new])
    spine = spark.sql("SELECT 'u' AS user_id, explode(array(12, 13)) AS hour").selectExpr(
        "user_id", "timestamp'2026-11-01 00:00:00Z' + make_interval(0, 0, 0, 0, hour) AS event_timestamp"
    )
    result = fs.tenant("acme").get_point_in_time(spine, ["stats:score", "stats:visits", "stats:plan"])
    assert [tuple(row)[2:] for row in result.orderBy("event_timestamp").collect()] == [
        (0.5, 7, None),
        (0.1, 2**40, "paid"),
    ]

    history = fs.registry_history().where("kind = 'feature_group'").orderBy("revision").collect()
    assert [(row["name"], row["revision"]) for row in history] == [("stats", 1), ("stats", 2)]
    assert [FeatureGroup.from_json(row["definition"]) for row in history] == [group(), wider]
    assert all(row["code_version"] for row in history)

    with pytest.raises(IncompatibleChangeError, match="raise its version to 2"):
        fs.apply([group()])
    fs.apply([group(version=2)])
    assert fs.feature_group("stats").version == 2
    assert fs.feature_group("stats", 1) == wider
    with pytest.raises(NotFoundError, match=r"it has \[1, 2\]"):
        fs.feature_group("stats", 3)
