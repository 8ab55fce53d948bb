"""Optimize lets other readers open older tables, in which columns may be widened and never were."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import deltalake
import pytest

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore
from tests.conftest import Clock, OpenFeatureStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
USER = Entity("user", join_keys={"user_id": "string"})
IDLE, WIDENED = (FeatureGroup(name, USER, features=[Feature("visits", "int")]) for name in ("idle", "widened"))


def older(fs: FeatureStore, group: FeatureGroup) -> str:
    """The path of the group's table, as older versions of this package made it."""
    path = str(Path(fs.settings.warehouse, "groups", f"{group.name}_v1", "values"))
    fs.spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true')")
    return path


def visits(store: OfflineStore, group: FeatureGroup) -> int:
    value = store.get_feature_at_time(f"{group.name}:visits", {"user_id": "ann"}, NOON)
    assert value is not None
    return int(value.value)


@pytest.fixture(scope="module")
def fs(open_feature_store: OpenFeatureStore) -> FeatureStore:
    fs = open_feature_store(Clock(NOON))
    fs.apply([USER, IDLE, WIDENED])
    return fs


def test_a_table_without_widened_columns_is_opened_at_once_and_keeps_its_versions(fs: FeatureStore) -> None:
    path = older(fs, IDLE)
    store = fs.tenant("acme")
    store.write_batch("idle", [{"user_id": "ann", "event_timestamp": NOON, "visits": 1}])
    before = deltalake.DeltaTable(path).version()
    with pytest.raises(deltalake.exceptions.DeltaProtocolError, match="typeWidening"):
        deltalake.DeltaTable(path).to_pyarrow_table()

    store.optimize(["idle"], dry_run=True)
    assert deltalake.DeltaTable(path).version() == before
    store.optimize(["idle"])

    assert deltalake.DeltaTable(path).to_pyarrow_table(columns=["visits"]).to_pylist() == [{"visits": 1}]
    assert fs.spark.read.format("delta").option("versionAsOf", before).load(path).count() == 1
    opened = deltalake.DeltaTable(path).version()
    store.optimize(["idle"])
    assert deltalake.DeltaTable(path).version() == opened
    # Delta-rs does not write such a table, so Spark does; and a column can still be widened.
    store.write_batch("idle", [{"user_id": "ann", "event_timestamp": NOON, "visits": 2}])
    fs.apply([USER, FeatureGroup("idle", USER, features=[Feature("visits", "long"), Feature("seen", "boolean")])])
    store.write_batch("idle", [{"user_id": "ann", "event_timestamp": NOON, "visits": 1 << 40}])
    assert visits(store, IDLE) == 1 << 40


def test_a_table_with_widened_columns_stays_as_it_is(fs: FeatureStore) -> None:
    store = fs.tenant("acme")
    store.write_batch("widened", [{"user_id": "ann", "event_timestamp": NOON, "visits": 1}])
    fs.apply([USER, FeatureGroup("widened", USER, features=[Feature("visits", "long")])])
    path = str(Path(fs.settings.warehouse, "groups", "widened_v1", "values"))
    before = deltalake.DeltaTable(path).version()

    store.optimize(["widened"])

    assert deltalake.DeltaTable(path).version() == before
    assert visits(store, WIDENED) == 1
