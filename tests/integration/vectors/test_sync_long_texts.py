"""Texts of join keys and filters that are too long for PostgreSQL's indexes: a sync says so, and changes nothing."""

import string
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore
from featurestore.errors import SyncError
from tests.conftest import Clock, OpenFeatureStore

PAGE = Entity("page", join_keys={"url": "string", "part": "long"})
NOW = datetime(2026, 3, 20, tzinfo=UTC)


def group(filters: list[str]) -> FeatureGroup:
    features = [Feature("text", "embedding(2)", index={"filters": filters}), Feature("topic", "string")]
    return FeatureGroup("pages", PAGE, features=features)


def noise(length: int) -> str:
    """Text that does not compress."""
    return "".join(Random(length).choices(string.ascii_letters + string.digits, k=length))


@pytest.fixture
def store(open_feature_store: OpenFeatureStore) -> Iterator[OfflineStore]:
    fs = open_feature_store(Clock(NOW))
    fs.apply([group(["topic"])])
    yield fs.tenant("acme")
    fs._context.postgres.close()


def write(store: OfflineStore, url: str, topic: str, part: int = 1) -> None:
    row: dict[str, Any] = {"url": url, "part": part, "text": [1.0, 0.0], "topic": topic, "event_timestamp": NOW}
    store.write_batch("pages", [row])


def refused(store: OfflineStore) -> str:
    with pytest.raises(SyncError) as raised:
        store.sync_embeddings("pages:text")
    return str(raised.value)


def found(store: OfflineStore) -> tuple[str, list[int]]:
    """What answers a search of all, and the lengths of the keys that it has."""
    answer = store.search_similar_embeddings("pages:text", [1.0, 0.0])
    return answer.source, sorted(len(one.entity["url"]) for one in answer)


def test_a_first_sync_with_a_key_that_is_too_long_says_which_and_leaves_searches_to_the_table(
    store: OfflineStore,
) -> None:
    write(store, "short", "a")
    write(store, noise(3000), "a")

    told = refused(store)

    assert "pages:text of tenant 'acme' was not synced, and PostgreSQL's rows did not change" in told
    assert "join key 'url' has a text of 3000 bytes, and PostgreSQL's index holds 2704 bytes" in told
    assert "Use a shorter key" in told
    assert found(store) == ("delta", [5, 3000])


def test_texts_that_fit_are_synced_and_a_later_one_that_does_not_leaves_what_was_there(store: OfflineStore) -> None:
    write(store, "short", "a" * 50_000)
    write(store, noise(2600), noise(2600))
    write(store, "long" * 25_000, "a")
    rows = store.sync_embeddings("pages:text", verify=True).rows
    before = found(store)
    write(store, "also short", noise(5000))

    told = refused(store)

    assert rows == 3
    assert before == ("postgres", [5, 2600, 100_000])
    assert "filter 'topic' has a text of 5000 bytes, and PostgreSQL's index holds 2704 bytes of a value" in told
    assert "Remove it from the index's filters" in told
    assert found(store) == before


def test_once_the_filter_is_taken_out_the_rows_are_synced(store: OfflineStore) -> None:
    write(store, "short", noise(9000))
    told = refused(store)
    FeatureStore(store._scope.context).apply([group([])])

    assert "filter 'topic' has a text of 9000 bytes" in told
    assert store.sync_embeddings("pages:text", verify=True).rows == 1
