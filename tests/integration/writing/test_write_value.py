"""Writing one value or one embedding, what a batch says of its bad rows, and writing rejected rows again."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore
from featurestore.errors import InvalidArgumentError, InvalidRowsError, NotFoundError, TableBusyError
from featurestore.stores.group_table import GroupTable
from tests.conftest import Clock, OpenFeatureStore

USER = Entity("user", join_keys={"user_id": "string"})
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 9, tzinfo=UTC)


def stats(highest: float) -> FeatureGroup:
    return FeatureGroup(
        "stats", USER, features=[Feature("score", "double", max=highest), Feature("text", "embedding(3)")]
    )


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def feature_store(open_feature_store: OpenFeatureStore, clock: Clock) -> FeatureStore:
    fs = open_feature_store(clock)
    fs.apply([stats(1)])
    return fs


@pytest.fixture
def store(feature_store: FeatureStore) -> OfflineStore:
    return feature_store.tenant("acme")


def scores(store: OfflineStore) -> list[tuple[str, float]]:
    rows = store.get_batch_features("stats:score", NOON, LATER, to="arrow").rows.to_pylist()
    return sorted((row["user_id"], row["score"]) for row in rows)


def scores_of(store: OfflineStore, user: str) -> list[float]:
    """All versions of a user's score."""
    history = store.get_feature_history("stats:score", {"user_id": user}, all_versions=True, to="arrow")
    found: list[float] = history.column("score").to_pylist()
    return found


def rejected(store: OfflineStore, batch_id: str | None = None) -> list[str]:
    rows = store.rejected("stats", batch_id=batch_id, to="arrow").to_pylist()
    return sorted(json.loads(row["row"])["user_id"] for row in rows)


def test_one_value_is_written_and_read_back(store: OfflineStore) -> None:
    result = store.write_feature_value("stats:score", {"user_id": "ann"}, 0.5, NOON)

    assert (result.written, result.failed) == (1, 0)
    value = store.get_feature_at_time("stats:score", {"user_id": "ann"}, NOON)
    assert value is not None
    assert (value.value, value.event_timestamp) == (0.5, NOON)


def test_one_embedding_is_written_with_its_model(store: OfflineStore) -> None:
    store.write_embedding("stats:text", {"user_id": "ann"}, [1.0, 0.5, 0.0], NOON)
    store.write_embedding("stats:text", {"user_id": "bob"}, np.array([0.0, 0.5, 1.0]), NOON, model_version="m2")

    values = [store.get_feature_at_time("stats:text", {"user_id": user}, NOON) for user in ("ann", "bob")]
    assert [(value.value, value.model_version) for value in values if value is not None] == [
        ([1.0, 0.5, 0.0], "text-embedding-3-small"),
        ([0.0, 0.5, 1.0], "m2"),
    ]


@pytest.mark.parametrize(
    ("write", "error", "message"),
    [
        (
            lambda s: s.write_feature_value("stats:score", {"user_id": "a"}, 7.0, NOON),
            InvalidRowsError,
            "greater than max",
        ),
        (
            lambda s: s.write_feature_value("stats:score", {"user_id": "a"}, "7", NOON),
            InvalidRowsError,
            "expected double",
        ),
        (lambda s: s.write_feature_value("stats:scor", {"user_id": "a"}, 7.0, NOON), NotFoundError, "'score'"),
        (lambda s: s.write_feature_value("stats:score", "a", 0.7, NOON), InvalidArgumentError, "give a mapping"),
        (
            lambda s: s.write_feature_value("stats:score", {"user_id": "a"}, 0.7, datetime(2026, 11, 1)),  # noqa: DTZ001
            InvalidArgumentError,
            "event_timestamp: .* has no time zone",
        ),
        (lambda s: s.write_embedding("stats:text", {"user_id": "a"}, [1.0], NOON), InvalidRowsError, "not of 3 dims"),
        (
            lambda s: s.write_embedding("stats:text", {"user_id": "a"}, [1.0, 2.0, float("inf")], NOON),
            InvalidRowsError,
            "not finite",
        ),
        (
            lambda s: s.write_embedding("stats:text", {"user_id": "a"}, np.ones((1, 3)), NOON),
            InvalidRowsError,
            "stats",
        ),
        (lambda s: s.write_embedding("stats:score", {"user_id": "a"}, [1.0], NOON), InvalidArgumentError, "is double"),
        (
            lambda s: s.write_embedding("stats:text", {"user_id": "a"}, [1.0, 2.0, 3.0], NOON, model_version=" "),
            InvalidArgumentError,
            "name of the model",
        ),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused_and_nothing_is_written(
    store: OfflineStore, write: Callable[[OfflineStore], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write(store)
    assert store.get_feature_at_time("stats:score", {"user_id": "a"}, NOON) is None
    assert store.get_feature_at_time("stats:text", {"user_id": "a"}, NOON) is None
    assert rejected(store) == []


def test_a_batch_shows_up_to_three_rows_for_each_reason(store: OfflineStore) -> None:
    bad = [{"user_id": f"u{index}", "event_timestamp": NOON, "score": 2.0 + index} for index in range(5)]
    result = store.write_batch(
        "stats", [*bad, {"user_id": None, "event_timestamp": NOON, "score": 9.0}], batch_id="bad"
    )

    assert result.errors == {"score: greater than max 1": 6, "user_id: missing": 1}
    assert {reason: len(rows) for reason, rows in result.samples.items()} == {
        "score: greater than max 1": 3,
        "user_id: missing": 1,
    }
    assert json.loads(result.samples["user_id: missing"][0])["score"] == 9.0
    again = store.write_batch("stats", [*bad, {"user_id": None, "event_timestamp": NOON, "score": 9.0}], batch_id="bad")
    assert (again.duplicate, again.samples) == (True, result.samples)


ROWS = [
    {"user_id": "ann", "event_timestamp": NOON, "score": 0.5},
    {"user_id": "bob", "event_timestamp": NOON, "score": 1.5},
    {"user_id": "bob", "event_timestamp": NOON, "score": 1.5},
    {"user_id": "cid", "event_timestamp": NOON, "score": 7.0},
]


def test_rejected_rows_are_written_once_a_rule_was_mended(
    feature_store: FeatureStore, store: OfflineStore, clock: Clock
) -> None:
    store.write_batch("stats", ROWS, batch_id="first")
    store.write_batch("stats", [{"user_id": "dan", "event_timestamp": NOON, "score": 1.2}], batch_id="second")
    feature_store.tenant("other").write_batch("stats", ROWS, batch_id="first")
    assert store.retry_rejected("stats").written == 0
    feature_store.apply([stats(2)])
    clock.now = LATER

    result = store.retry_rejected("stats", batch_id="first")

    assert (result.written, result.failed, result.errors) == (2, 1, {"score: greater than max 2": 1})
    assert scores(store) == [("ann", 0.5), ("bob", 1.5)]
    assert scores_of(store, "bob") == [1.5, 1.5]
    value = store.get_feature_at_time("stats:score", {"user_id": "bob"}, NOON)
    assert value is not None
    assert value.created_timestamp == LATER
    assert rejected(store) == ["cid", "dan"]
    assert rejected(feature_store.tenant("other")) == ["bob", "bob", "cid"]
    again = store.retry_rejected("stats")
    assert (again.written, again.failed, rejected(store)) == (1, 1, ["cid"])


class KilledError(Exception):
    pass


@pytest.mark.parametrize(
    ("steps", "local_batch_rows"),
    [(("claim_locally", "append_locally"), 100), (("claim", "append_values"), 0)],
    ids=["without Spark", "by Spark"],
)
def test_retries_that_were_interrupted_lose_and_double_nothing(
    feature_store: FeatureStore,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    steps: tuple[str, str],
    local_batch_rows: int,
) -> None:
    """The first retry has claimed rows and not written them, the second has also written them."""
    settings = feature_store.settings.model_copy(update={"local_batch_rows": local_batch_rows})
    retrying = FeatureStore.open(settings, spark=feature_store.spark, clock=clock)
    store = retrying.tenant("acme")
    store.write_batch("stats", ROWS, batch_id="first")
    retrying.apply([stats(2)])
    for step in steps:
        real = getattr(GroupTable, step)

        def killed(*arguments: Any, real: Callable[..., None] = real, **named: Any) -> None:
            real(*arguments, **named)
            raise KilledError

        with monkeypatch.context() as patched:
            patched.setattr(GroupTable, step, killed)
            with pytest.raises(KilledError):
                store.retry_rejected("stats")

    store.retry_rejected("stats")

    assert scores_of(store, "bob") == [1.5, 1.5]
    assert rejected(store) == ["cid"]


def test_two_retries_at_once_write_each_row_once(open_feature_store: OpenFeatureStore, clock: Clock) -> None:
    feature_store = open_feature_store(clock)
    feature_store.apply([stats(1)])
    store = feature_store.tenant("acme")
    store.write_batch("stats", ROWS, batch_id="first")
    feature_store.apply([stats(2)])
    busy: list[str] = []

    def retry_too(step: str) -> None:
        with pytest.raises(TableBusyError) as caught:
            store.retry_rejected("stats")
        busy.append(str(caught.value))

    meanwhile = FeatureStore.open(feature_store.settings, spark=feature_store.spark, clock=clock, on_step=retry_too)
    meanwhile.tenant("acme").retry_rejected("stats")

    assert all("another run is writing rejected rows again (retry/" in message for message in busy)
    assert busy
    assert scores_of(store, "bob") == [1.5, 1.5]
    assert rejected(store) == ["cid"]
