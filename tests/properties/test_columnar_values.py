"""Reads of stored rows in Arrow give what the store's reads by Spark give, on random histories."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore
from featurestore.columnar.values.batch import in_time, joined, of_entities
from featurestore.columnar.values.corrections import latest_values
from featurestore.columnar.values.history import history
from featurestore.columnar.values.values_at import ValueAt, values_at
from featurestore.operations.one_entity.values_at import FeatureValue
from tests.conftest import Clock, OpenFeatureStore

UTC_MICROS = pa.timestamp("us", tz="UTC")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)
USER = Entity("user", join_keys={"id": "long", "code": "string"})
FEATURES = [
    Feature("tags", "array<string>"),
    Feature("score", "double"),
    Feature("name", "string"),
    Feature("day", "date"),
    Feature("at", "timestamp"),
    Feature("text", "embedding(2)"),
]
POOLS: dict[str, list[Any]] = {
    "tags": [None, [], ["a"], ["b", "a"]],
    "score": [None, 0.0, -2.5, 1e300],
    "name": [None, "", "é", "😀"],
    "day": [None, date(1, 1, 1), date(2026, 3, 1)],
    "at": [None, datetime(1, 1, 1, tzinfo=UTC), NOON],
    "text": [None, [0.5, 1.0], [1.0, 0.5]],
}
GROUPS = {
    "daily": FeatureGroup("daily", USER, features=FEATURES, ttl=2 * HOUR),
    "kept": FeatureGroup("kept", USER, features=FEATURES, nulls="keep"),
}
KEYS = [(1, "23"), (12, "3"), (-5, "é")]


def moment(random: Random) -> datetime:
    return NOON + random.randint(-2, 2) * HOUR + random.randint(-1, 1) * MICROSECOND


def row(random: Random) -> dict[str, Any]:
    key = random.choice(KEYS)
    return {
        "id": key[0],
        "code": key[1],
        "event_timestamp": moment(random),
        "created_timestamp": NOON + random.randint(0, 1) * HOUR,
        **{name: random.choice(pool) for name, pool in POOLS.items()},
    }


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore) -> FeatureStore:
    store = open_feature_store(Clock(NOON + 3 * HOUR))
    store.apply(list(GROUPS.values()))
    return store


@pytest.fixture(scope="module")
def store(feature_store: FeatureStore) -> OfflineStore:
    tenant = feature_store.tenant("acme")
    random = Random(7)
    for name in GROUPS:
        assert tenant.write_batch(name, [row(random) for _ in range(150)]).failed == 0
    return tenant


@pytest.fixture(scope="module")
def stored(store: OfflineStore) -> dict[str, pa.Table]:
    """The rows as they lie in the tables."""
    columns = ["id", "code", "event_timestamp", "created_timestamp", *POOLS, "text__model_version"]
    return {name: store._scope.read_values(group, columns).toArrow() for name, group in GROUPS.items()}


def rows_of(rows: pa.Table, key: tuple[int, str]) -> pa.Table:
    return of_entities(rows, pa.table({"id": [key[0]], "code": [key[1]]}))


def as_value_at(value: FeatureValue | None) -> ValueAt | None:
    if value is None:
        return None
    return ValueAt(value.value, value.event_timestamp, value.created_timestamp, value.model_version)


def in_utc(rows: pa.Table) -> list[dict[str, Any]]:
    fields = [field.with_type(UTC_MICROS) if pa.types.is_timestamp(field.type) else field for field in rows.schema]
    return list(rows.cast(pa.schema(fields)).to_pylist())


@pytest.mark.parametrize("group", list(GROUPS))
@pytest.mark.parametrize("known", ["whenever", "at an instant", "at the event"])
def test_values_at_an_instant(store: OfflineStore, stored: dict[str, pa.Table], group: str, known: str) -> None:
    random = Random(f"{group} {known}")
    definition = GROUPS[group]
    for key in KEYS:
        at = moment(random)
        known_at: Any = {"whenever": None, "at an instant": moment(random), "at the event": "event"}[known]
        names = [name for name in POOLS if random.random() < 0.7] or ["tags"]
        references = [f"{group}:{name}" for name in names]
        expected = store.get_features_at_time(references, {"id": key[0], "code": key[1]}, at, known_at=known_at)

        found = values_at(
            rows_of(stored[group], key),
            names,
            at=at,
            ttl=definition.ttl,
            nulls=definition.nulls,
            known_at=known_at,
        )

        assert {f"{group}:{name}": value for name, value in found.items()} == {
            reference: as_value_at(value) for reference, value in expected.items()
        }


@pytest.mark.parametrize("group", list(GROUPS))
@pytest.mark.parametrize("all_versions", [False, True])
def test_histories(store: OfflineStore, stored: dict[str, pa.Table], group: str, all_versions: bool) -> None:
    for feature, key in (("text", KEYS[0]), ("tags", KEYS[1]), ("score", KEYS[2])):
        start, end = NOON - HOUR, NOON + HOUR
        entity = {"id": key[0], "code": key[1]}
        expected = store.get_feature_history(
            f"{group}:{feature}", entity, start, end, limit=5, all_versions=all_versions
        ).toArrow()

        rows = in_time(rows_of(stored[group], key), start, end, "included")
        found = history(rows, USER.keys, feature, GROUPS[group].nulls, all_versions=all_versions, limit=5)

        assert found.column_names == expected.column_names
        assert in_utc(found) == in_utc(expected)


def test_a_range_of_two_groups(store: OfflineStore, stored: dict[str, pa.Table]) -> None:
    features = ["daily:score", "daily:tags", "kept:name", "kept:text"]
    start, end = NOON - HOUR, NOON + HOUR
    by_spark = store.get_batch_features(features, start, end).rows
    expected = by_spark.orderBy("id", "code", "event_timestamp").toArrow()

    parts = []
    for group, names in (("daily", ["tags", "score"]), ("kept", ["name", "text"])):
        rows = in_time(stored[group], start, end, "excluded")
        latest = latest_values(rows, USER.keys, names, GROUPS[group].nulls)
        parts.append(latest.select(["id", "code", "event_timestamp", *names]))
    found = joined(parts, ["id", "code", "event_timestamp"]).select(expected.column_names)

    assert in_utc(found) == in_utc(expected)
