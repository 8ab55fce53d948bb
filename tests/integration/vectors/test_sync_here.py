"""Which syncs need no Spark, and the keys of changed rows that they find in the table's log. No Spark here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore, Settings
from featurestore.errors import StorageError
from featurestore.operations.vectors.sync_here import fits_here
from featurestore.operations.vectors.sync_rows import SyncedFeature
from featurestore.stores import group_table
from featurestore.stores.group_table import GroupTable
from featurestore.stores.postgres.tables import VectorTable
from tests.conftest import Clock

NOW = datetime(2026, 3, 20, tzinfo=UTC)
GROUP = FeatureGroup(
    "docs",
    Entity("doc", join_keys={"source": "string", "number": "long"}),
    features=[Feature("text", "embedding(500)"), Feature("title", "string")],
)
# What a row takes in memory: 4 bytes a dim, 32 a text, 8 a number or an instant.
ROW_BYTES = 500 * 4 + 2 * 32 + 8 + 2 * 8


def open_store(folder: Path, **settings: Any) -> FeatureStore:
    return FeatureStore.open(Settings(warehouse=str(folder / "warehouse"), **settings), clock=Clock(NOW))


@pytest.fixture
def fs(tmp_path: Path) -> FeatureStore:
    fs = open_store(tmp_path)
    fs.apply([GROUP])
    return fs


@pytest.fixture
def store(fs: FeatureStore) -> OfflineStore:
    return fs.tenant("acme")


def write(store: OfflineStore, *numbers: int, day: int = 0) -> None:
    at = NOW - timedelta(days=day)
    # Vectors that a file compresses to nearly nothing.
    store.write_batch(
        "docs", [{"source": "a", "number": n, "text": [1.0] * 500, "event_timestamp": at} for n in numbers]
    )


def table(store: OfflineStore) -> GroupTable:
    return store._scope.table(GROUP)


def is_synced_here(store: OfflineStore) -> bool:
    feature = GROUP.feature("text")
    of = SyncedFeature(store._scope, GROUP, feature, VectorTable.of(GROUP, feature, "small"), NOW)
    return fits_here(of, table(store).values.version())


def test_rows_are_weighed_as_they_are_in_memory(store: OfflineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, *range(100))
    monkeypatch.setattr(group_table, "_MOST_LOCAL_BYTES", 100 * ROW_BYTES)
    fitting = is_synced_here(store)
    write(store, 100)

    assert (fitting, is_synced_here(store)) == (True, False)
    assert sum(file.bytes for file in table(store).files("acme")) < 10 * ROW_BYTES


def test_a_setting_limits_the_rows_of_the_tenant(store: OfflineStore, fs: FeatureStore, tmp_path: Path) -> None:
    write(store, 1, 2, 3)
    write(fs.tenant("other"), *range(50))

    limits = {most: open_store(tmp_path, local_batch_rows=most).tenant("acme") for most in (0, 2, 3)}

    assert {most: is_synced_here(limited) for most, limited in limits.items()} == {0: False, 2: False, 3: True}


def test_a_table_that_only_spark_reads_is_left_to_it(store: OfflineStore) -> None:
    write(store, 1)
    before = is_synced_here(store)
    delta(store).alter.set_table_properties({"delta.enableDeletionVectors": "true"})

    assert (before, is_synced_here(store)) == (True, False)


def delta(store: OfflineStore) -> deltalake.DeltaTable:
    return deltalake.DeltaTable(str(table(store).values))


def changed(store: OfflineStore, after: int, up_to: int) -> list[int]:
    keys = table(store).changed_keys("acme", after, up_to)
    assert set(keys["source"].to_pylist()) <= {"a"}
    numbers: list[int] = sorted(keys["number"].to_pylist())
    return numbers


def by_delta_rs(store: OfflineStore, after: int, up_to: int) -> list[int]:
    feed = delta(store).load_cdf(after + 1, up_to, columns=["number"], predicate="tenant_id = 'acme'")
    return sorted(set(pa.table(feed.read_all())["number"].to_pylist()))


def test_changed_keys_are_those_of_the_change_data_feed(store: OfflineStore, fs: FeatureStore) -> None:
    """Of rows that were added, of rows that a file lost, of whole files; not of files that were only rewritten."""
    first = table(store).values.version()
    write(store, 1, 2, 3)
    write(store, 3, 4, day=9)
    write(fs.tenant("other"), 5, 6)
    write(store, 7)
    delta(store).delete("number = 2")
    assert delta(store).optimize.compact()["numFilesRemoved"] == 2
    delta(store).delete("event_date = '2026-03-11'")
    last = table(store).values.version()

    by_version = [changed(store, version - 1, version) for version in range(first + 1, last + 1)]

    assert by_version == [[1, 2, 3], [3, 4], [], [7], [2], [], [3, 4]]
    assert by_version == [by_delta_rs(store, version - 1, version) for version in range(first + 1, last + 1)]
    assert changed(store, first, last) == by_delta_rs(store, first, last) == [1, 2, 3, 4, 7]


def remove_files(store: OfflineStore) -> None:
    for file in Path(str(table(store).values)).rglob("*/*.parquet"):
        file.unlink()


def stop_the_feed(store: OfflineStore) -> None:
    delta(store).alter.set_table_properties({"delta.enableChangeDataFeed": "false"})
    write(store, 2)
    delta(store).alter.set_table_properties({"delta.enableChangeDataFeed": "true"})


@pytest.mark.parametrize(
    ("loss", "message"),
    [(remove_files, "a file that the table's log names is not there"), (stop_the_feed, "no changes of version")],
)
def test_a_feed_that_is_lost_is_told(store: OfflineStore, loss: Callable[[OfflineStore], None], message: str) -> None:
    first = table(store).values.version()
    write(store, 1)
    loss(store)

    with pytest.raises(StorageError, match=message):
        table(store).changed_keys("acme", first, table(store).values.version())
