"""Reading without a spine: one entity's values at a moment, a time range of values, one feature's history."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, FeatureValue, Lookup, OfflineStore
from featurestore.errors import InvalidArgumentError, InvalidNameError, NotFoundError, SpineError
from tests.conftest import Clock, OpenFeatureStore
from tests.physical_plans import plan_of

USER = Entity("user", join_keys={"user_id": "string"})
SEAT = Entity("seat", join_keys={"shop": "long", "seat": "string"})
STATS = FeatureGroup(
    "stats",
    USER,
    features=[Feature("score", "double"), Feature("visits", "long"), Feature("text", "embedding(2)")],
    ttl=timedelta(days=7),
)
ORDERS = FeatureGroup("orders", USER, features=[Feature("amount", "double")], partition_by="month")
PLAN = FeatureGroup("plan", USER, features=[Feature("plan", "string"), Feature("since", "timestamp")], nulls="keep")
SEATS = FeatureGroup("seats", SEAT, features=[Feature("price", "double"), Feature("tags", "array<string>")])
WRITTEN = datetime(2026, 12, 1, tzinfo=UTC)


def november(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore) -> FeatureStore:
    fs = open_feature_store(Clock(WRITTEN))
    fs.apply([STATS, ORDERS, PLAN, SEATS])
    for tenant in ("acme", "other"):
        store = fs.tenant(tenant)
        far = 0 if tenant == "acme" else 1000
        store.write_batch(
            "stats",
            [
                {"user_id": "ann", "event_timestamp": november(1), "score": 0.1 + far, "visits": 3, "text": [1.0, 0.0]},
                {"user_id": "ann", "event_timestamp": november(4), "score": 0.4 + far},
                {"user_id": "bob", "event_timestamp": november(4), "score": 0.5 + far},
            ],
        )
        store.write_batch(
            "stats",
            [
                {"user_id": "ann", "event_timestamp": november(4), "created_timestamp": WRITTEN + timedelta(days=1),
                 "score": 0.45 + far, "text": [0.0, 1.0], "text__model_version": "other-model"},
            ],
        )  # fmt: skip
        store.write_batch(
            "orders",
            [
                {"user_id": "ann", "event_timestamp": november(4), "amount": 10.0 + far},
                {"user_id": "ann", "event_timestamp": november(5), "amount": 20.0 + far},
            ],
        )
        store.write_batch(
            "plan",
            [
                {"user_id": "ann", "event_timestamp": november(1), "plan": "free", "since": november(1, 5)},
                {"user_id": "ann", "event_timestamp": november(3), "plan": None},
            ],
        )
        store.write_batch(
            "seats",
            [
                {"shop": 1, "seat": "23", "event_timestamp": november(1), "price": 1.0 + far, "tags": ["a", "b"]},
                {"shop": 12, "seat": "3", "event_timestamp": november(1), "price": 2.0 + far},
            ],
        )
    return fs


@pytest.fixture(scope="module")
def store(feature_store: FeatureStore) -> OfflineStore:
    return feature_store.tenant("acme")


def rows(frame: Any) -> list[tuple[Any, ...]]:
    """Rows with instants in UTC, whatever the session's zone."""
    return [
        tuple(value.astimezone(UTC) if isinstance(value, datetime) else value for value in row.values())
        for row in frame.toArrow().to_pylist()
    ]


def test_a_value_carries_when_it_became_true_and_when_it_was_learned(store: OfflineStore) -> None:
    assert store.get_feature_at_time("stats:visits", {"user_id": "ann"}, november(5)) == FeatureValue(
        feature="stats:visits", value=3, event_timestamp=november(1), created_timestamp=WRITTEN, group_version=1
    )
    assert store.get_feature_at_time("stats:text", {"user_id": "ann"}, november(5)) == FeatureValue(
        feature="stats:text",
        value=[0.0, 1.0],
        event_timestamp=november(4),
        created_timestamp=WRITTEN + timedelta(days=1),
        group_version=1,
        model_version="other-model",
    )


def test_several_features_come_in_the_requested_order(store: OfflineStore) -> None:
    result = store.get_features_at_time(
        ["orders:amount", "stats:score", "stats:visits"], {"user_id": "bob"}, november(5)
    )

    assert list(result) == ["orders:amount", "stats:score", "stats:visits"]
    assert {name: value and value.value for name, value in result.items()} == {
        "orders:amount": None,
        "stats:score": 0.5,
        "stats:visits": None,
    }


@pytest.mark.parametrize(
    ("feature", "at", "known_at", "value"),
    [
        ("stats:score", november(4), None, 0.45),
        ("stats:score", november(4) - timedelta(microseconds=1), None, 0.1),
        ("stats:score", november(11), None, 0.45),
        ("stats:score", november(11) + timedelta(microseconds=1), None, None),
        ("stats:score", november(4), WRITTEN, 0.4),
        ("stats:score", november(4), "event", None),
        ("orders:amount", november(30), None, 20.0),
        ("orders:amount", november(3), None, None),
    ],
)
def test_the_as_of_rules_hold_for_one_entity(
    store: OfflineStore, feature: str, at: datetime, known_at: Any, value: float | None
) -> None:
    result = store.get_feature_at_time(feature, {"user_id": "ann"}, at, known_at=known_at)

    assert (result and result.value) == value


def test_where_nulls_are_values_the_latest_row_counts_as_a_whole(store: OfflineStore) -> None:
    at_first = store.get_features_at_time(["plan:plan", "plan:since"], {"user_id": "ann"}, november(2))
    later = store.get_features_at_time(["plan:plan", "plan:since"], {"user_id": "ann"}, november(3))

    assert [value and value.value for value in at_first.values()] == ["free", november(1, 5)]
    assert [value and (value.value, value.event_timestamp) for value in later.values()] == [(None, november(3))] * 2


def test_one_entity_reads_what_a_spine_of_one_row_reads(store: OfflineStore) -> None:
    features = ["stats:score", "stats:visits", "plan:plan"]
    for at in (november(1), november(4), november(9)):
        spine = pa.table({"user_id": ["ann"], "event_timestamp": pa.array([at], pa.timestamp("us", "UTC"))})
        [joined] = store.get_point_in_time(spine, features).to_pylist()
        result = store.get_features_at_time(features, {"user_id": "ann"}, at)
        assert [value and value.value for value in result.values()] == [
            joined[name] for name in ("score", "visits", "plan")
        ]


def test_composite_keys_are_not_glued_together(store: OfflineStore) -> None:
    result = store.get_feature_at_time("seats:price", {"shop": 1, "seat": "23"}, november(2))
    other = store.get_feature_at_time("seats:price", {"seat": "3", "shop": 12}, november(2))

    assert (result and result.value, other and other.value) == (1.0, 2.0)
    assert store.get_feature_at_time("seats:price", {"shop": 2, "seat": "3"}, november(2)) is None
    tags = store.get_feature_at_time("seats:tags", {"shop": 1, "seat": "23"}, november(2))
    assert tags is not None
    assert tags.value == ["a", "b"]


def test_a_batch_has_one_row_per_entity_and_timestamp_across_groups(store: OfflineStore) -> None:
    batch = store.get_batch_features(["stats:score", "orders:amount"], november(1), november(5))

    assert batch.rows.columns == ["user_id", "event_timestamp", "score", "amount"]
    assert sorted(rows(batch.rows)) == [
        ("ann", november(1), 0.1, None),
        ("ann", november(4), 0.45, 10.0),
        ("bob", november(4), 0.5, None),
    ]


def test_columns_are_in_the_requested_order(store: OfflineStore) -> None:
    features = ["stats:visits", "orders:amount", "stats:score", Lookup("plan", prefix="their_"), "stats:text"]
    columns = ["visits", "amount", "score", "their_plan", "their_since", "text"]

    batch = store.get_batch_features(iter(features), november(1), november(5))
    spine = pd.DataFrame({"user_id": ["ann"], "event_timestamp": [november(4)]})
    joined = store.get_point_in_time(spine, iter(features), with_timestamps=True)
    valid = store.get_features_at_time(
        ["stats:visits", "orders:amount", "stats:score"], {"user_id": "ann"}, november(4)
    )

    assert batch.rows.columns == ["user_id", "event_timestamp", *columns]
    assert batch.feature_names == tuple(columns)
    # References to one group are one lookup there.
    assert list(joined.columns) == [
        "user_id", "event_timestamp", "visits", "score", "text", "stats__event_timestamp",
        "amount", "orders__event_timestamp", "their_plan", "their_since", "their_plan__event_timestamp",
    ]  # fmt: skip
    assert joined[["visits", "amount", "score"]].values.tolist() == [[3, 10.0, 0.45]]
    assert list(valid) == ["stats:visits", "orders:amount", "stats:score"]


def test_metadata_counts_only_on_request(store: OfflineStore) -> None:
    batch = store.get_batch_features("stats:score", november(1), november(5))

    assert batch.metadata() == {
        "start": november(1),
        "end": november(5),
        "features": ["score"],
        "row_count": None,
        "seconds": None,
    }
    counted = batch.metadata(count_rows=True)
    assert counted["row_count"] == 3
    assert counted["seconds"] > 0


@pytest.mark.parametrize(
    "entities",
    [
        {"user_id": "bob"},
        [{"user_id": "bob"}, {"user_id": "nobody"}, {"user_id": "bob"}],
        pd.DataFrame({"user_id": ["bob", "bob"], "more": [1, 2]}),
        pd.DataFrame({"user_id": ["bob", "bob"], "more": [1, 2], "More": [1, 2]}, index=pd.Index([1, 1], name="row")),
        pd.DataFrame({"user_id": pd.Series(["bob", "nobody", "bob"], dtype="category"), 5: 1}),
        pa.table({"user_id": ["bob", "nobody"]}),
        pa.table([pa.array(["bob"], pa.string_view()), pa.array([2**63], pa.uint64())], ["user_id", "row"]),
        "a Spark frame",
    ],
)
def test_entities_may_have_any_form(feature_store: FeatureStore, store: OfflineStore, entities: Any) -> None:
    if isinstance(entities, str):
        entities = feature_store.spark.createDataFrame([("bob",), ("bob",), (None,)], "user_id string")
    batch = store.get_batch_features("stats:score", november(1), november(30), entities=entities)

    assert rows(batch.rows) == [("bob", november(4), 0.5)]


def test_no_entities_are_not_all_entities(store: OfflineStore) -> None:
    assert store.get_batch_features("stats:score", november(1), november(30), entities=[]).rows.count() == 0


def test_a_batch_reads_only_the_tenant_the_dates_and_the_columns(store: OfflineStore) -> None:
    batch = store.get_batch_features("stats:visits", november(2), november(5), entities={"user_id": "ann"})
    plan = re.sub(r"#\d+L?", "", plan_of(batch.rows))

    [of_partitions] = re.findall(r"PartitionFilters: \[(.*?)\], ", plan)
    for condition in ("(tenant_id = acme)", "(event_date >= 2026-11-02)", "(event_date <= 2026-11-04)"):
        assert condition in of_partitions
    assert "(user_id = ann)" in plan
    columns = "user_id:string,event_timestamp:timestamp,created_timestamp:timestamp,visits:bigint"
    assert f"ReadSchema: struct<{columns}>" in plan


def test_a_feature_has_a_history_newest_first_with_corrections_on_demand(store: OfflineStore) -> None:
    history = store.get_feature_history("stats:score", {"user_id": "ann"}, november(1), november(4))
    versions = store.get_feature_history("stats:score", {"user_id": "ann"}, november(1), november(4), all_versions=True)

    later = WRITTEN + timedelta(days=1)
    assert history.columns == ["user_id", "event_timestamp", "created_timestamp", "score"]
    assert rows(history) == [("ann", november(4), later, 0.45), ("ann", november(1), WRITTEN, 0.1)]
    assert rows(versions) == [
        ("ann", november(4), later, 0.45),
        ("ann", november(4), WRITTEN, 0.4),
        ("ann", november(1), WRITTEN, 0.1),
    ]
    assert rows(store.get_feature_history("stats:score", {"user_id": "ann"}, limit=1)) == rows(history)[:1]


def test_the_history_of_an_embedding_names_the_models(store: OfflineStore) -> None:
    history = store.get_feature_history("stats:text", {"user_id": "ann"}).select("text", "text__model_version")

    assert rows(history) == [([0.0, 1.0], "other-model"), ([1.0, 0.0], "text-embedding-3-small")]


def test_a_history_of_nulls_that_are_values_has_them(store: OfflineStore) -> None:
    history = store.get_feature_history("plan:plan", {"user_id": "ann"}).select("event_timestamp", "plan")

    assert rows(history) == [(november(3), None), (november(1), "free")]


def test_months_are_found_by_any_of_their_days(store: OfflineStore) -> None:
    assert rows(store.get_batch_features("orders:amount", november(5), november(6)).rows) == [
        ("ann", november(5), 20.0)
    ]
    assert store.get_feature_history("orders:amount", {"user_id": "ann"}, november(5), november(5)).count() == 1


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda s: s.get_feature_at_time("stat:score", {"user_id": "ann"}, november(1)), NotFoundError, "'stats'"),
        (lambda s: s.get_feature_at_time("stats:scor", {"user_id": "ann"}, november(1)), NotFoundError, "'score'"),
        (lambda s: s.get_feature_at_time("score", {"user_id": "ann"}, november(1)), InvalidNameError, "group:feature"),
        (lambda s: s.get_feature_at_time("stats:score", "ann", november(1)), InvalidArgumentError, "give a mapping"),
        (
            lambda s: s.get_feature_at_time("stats:score", {"user": "ann"}, november(1)),
            InvalidArgumentError,
            "'user_id'",
        ),
        (
            lambda s: s.get_feature_at_time("stats:score", {"user_id": 7}, november(1)),
            InvalidArgumentError,
            "found int",
        ),
        (
            lambda s: s.get_feature_at_time("stats:score", {"user_id": None}, november(1)),
            InvalidArgumentError,
            "missing",
        ),
        (lambda s: s.get_feature_at_time("stats:score", {"user_id": "ann"}, "1 May"), InvalidArgumentError, "at: "),
        (lambda s: s.get_features_at_time([], {"user_id": "ann"}, november(1)), InvalidArgumentError, "no features"),
        (
            lambda s: s.get_features_at_time(["stats:score", "seats:price"], {"user_id": "ann"}, november(1)),
            InvalidArgumentError,
            "one entity at a time",
        ),
        (lambda s: s.get_batch_features("stats:score", november(2), november(2)), InvalidArgumentError, "not before"),
        (lambda s: s.get_batch_features("stats:score", november(2), november(1)), InvalidArgumentError, "not before"),
        (
            lambda s: s.get_batch_features("stats:score", november(1), november(2), entities=["ann"]),
            InvalidArgumentError,
            "give a mapping",
        ),
        (
            lambda s: s.get_batch_features(
                "stats:score", november(1), november(2), entities=pd.DataFrame({"user": ["ann"]})
            ),
            SpineError,
            "are missing",
        ),
        (
            lambda s: s.get_batch_features(
                "stats:score",
                november(1),
                november(2),
                entities=pd.DataFrame([["a", "b"]], columns=["user_id", "USER_ID"]),
            ),
            SpineError,
            r"entities: columns \['user_id', 'USER_ID'\] differ only in case",
        ),
        (
            lambda s: s.get_batch_features(
                "stats:score", november(1), november(2), entities=pa.table([["a"], ["b"]], names=["user_id", "user_id"])
            ),
            SpineError,
            r"entities: columns \['user_id'\] come twice",
        ),
        (
            lambda s: s.get_batch_features(
                "stats:score",
                november(1),
                november(2),
                entities=pd.DataFrame({"user_id": pd.period_range("2026", periods=1)}),
            ),
            InvalidArgumentError,
            "expected string, found Period",
        ),
        (
            lambda s: s.get_batch_features(
                "stats:score", november(1), november(2), entities=pd.DataFrame({"user_id": ["ann", float("nan")]})
            ),
            InvalidArgumentError,
            "are missing",
        ),
        (
            lambda s: s.get_batch_features(
                "stats:score", november(1), november(2), entities=pa.table({"user_id": pa.array([1], pa.time32("s"))})
            ),
            SpineError,
            r"entities: column 'user_id' is time32\[s\]",
        ),
        (
            lambda s: s.get_batch_features(["stats:score", "seats:price"], november(1), november(2)),
            InvalidArgumentError,
            "of one entity",
        ),
        (
            lambda s: s.get_batch_features(Lookup("stats", ["score"], on={"user_id": "u"}), november(1), november(2)),
            InvalidArgumentError,
            "there is no spine here",
        ),
        (
            lambda s: s.get_feature_history("stats:score", {"user_id": "ann"}, november(2), november(1)),
            InvalidArgumentError,
            "is after end",
        ),
        (
            lambda s: s.get_feature_history("stats:score", {"user_id": "ann"}, limit=0),
            InvalidArgumentError,
            "limit is 0",
        ),
        (
            lambda s: s.get_feature_history("stats:score", {"user_id": "ann"}, limit=-1),
            InvalidArgumentError,
            "from 1 on",
        ),
    ],
)
def test_an_error_explains_a_wrong_request(store: OfflineStore, ask: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ask(store)
