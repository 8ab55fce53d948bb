"""Groups in place, without Spark: what apply checks, what reads find, what writes say, and what training sets pin."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import (
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    InPlace,
    OfflineStore,
    Settings,
    Source,
)
from featurestore.errors import InvalidArgumentError, NotFoundError, RebuildError, SchemaError, StorageError
from featurestore.operations.training_sets.sources import check_sources
from featurestore.stores.outside.pins import SourcePin
from tests.conftest import Clock

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
INSTANT = pa.timestamp("us", "UTC")
USER = Entity("user", join_keys={"user_id": "string"})
ANN = {"user_id": "ann"}


def table(**columns: Any) -> pa.Table:
    ats = pa.array([START + 2 * DAY, START, START + DAY], INSTANT)
    rows = {"uid": ["ann", "ann", "bob"], "at": ats, "score": [3.0, 1.0, 2.0]}
    return pa.table(rows | columns)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """The user's table, in a folder for each tenant."""
    (tmp_path / "lake" / "acme").mkdir(parents=True)
    pq.write_table(table(), tmp_path / "lake" / "acme" / "a.parquet")
    return tmp_path / "lake"


@pytest.fixture
def fs(tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(Settings(warehouse=str(tmp_path / "warehouse")), clock=Clock(START + 30 * DAY))


SCORE = (Feature("score", "double"),)


def group(source: Source, features: Any = SCORE, **given: Any) -> FeatureGroup:
    columns = {"user_id": "uid"} | given.pop("columns", {})
    in_place = InPlace(source, event_timestamp=given.pop("event_timestamp", "at"), columns=columns)
    return FeatureGroup("stats", USER, features=features, in_place=in_place, **given)


def by_folder(lake: Path, format: Any = "parquet") -> Source:
    return Source(path=str(lake / "{tenant_id}"), format=format)


def applied(fs: FeatureStore, *definitions: FeatureGroup) -> OfflineStore:
    fs.apply([USER, *definitions])
    return fs.tenant("acme")


# What apply checks.


def test_apply_names_every_column_that_does_not_fit(fs: FeatureStore, lake: Path) -> None:
    features = [Feature("score", "long"), Feature("visits", "long")]

    with pytest.raises(SchemaError) as caught:
        applied(fs, group(by_folder(lake), features, columns={"user_id": "user"}, event_timestamp="score"))

    assert str(caught.value) == (
        f"source 'stats': {lake / 'acme'}: there is no column 'user'. Known: at, score, uid.; column 'score' (for "
        "'event_timestamp'): double is not read as timestamp[us, tz=UTC] without loss; cast it in the table, or mend "
        "the definition; column 'score': double is not read as int64 without loss; cast it in the table, or mend the "
        "definition; there is no column 'visits'. Known: at, score, uid."
    )
    # Nothing was applied.
    with pytest.raises(NotFoundError, match="stats"):
        fs.tenant("acme").get_feature_at_time("stats:score", ANN, START)


def test_apply_waits_for_a_table_that_is_not_there_yet(fs: FeatureStore, tmp_path: Path) -> None:
    store = applied(fs, group(by_folder(tmp_path / "later")))

    with pytest.raises(NotFoundError, match=r"source 'stats': there is no file of Parquet at .*/later/acme"):
        store.get_feature_at_time("stats:score", ANN, START)
    assert [(each.group, each.rows, each.files) for each in store.get_stats()] == [("stats", 0, 0)]
    (tmp_path / "later" / "acme").mkdir(parents=True)
    pq.write_table(table(score=["a text"] * 3), tmp_path / "later" / "acme" / "a.parquet")
    with pytest.raises(SchemaError, match="column 'score': string is not read as double without loss"):
        store.get_feature_at_time("stats:score", ANN, START)
    # The next change of the definition is checked against the tenant that is there.
    with pytest.raises(SchemaError, match="column 'score'"):
        applied(fs, group(by_folder(tmp_path / "later"), description="changed"))


def test_timestamps_without_a_zone_are_read_in_the_zone_of_the_settings(lake: Path, tmp_path: Path) -> None:
    naive = table().set_column(1, "at", table()["at"].cast(pa.timestamp("us")))
    pq.write_table(naive, lake / "acme" / "a.parquet")
    settings = Settings(warehouse=str(tmp_path / "warehouse"))

    with pytest.raises(SchemaError, match=r"'at'.*has no time zone; name the zone in which"):
        applied(FeatureStore.open(settings), group(by_folder(lake)))
    berlin = FeatureStore.open(settings.model_copy(update={"timestamp_zone": "Europe/Berlin"}))
    value = applied(berlin, group(by_folder(lake))).get_feature_at_time("stats:score", ANN, "2026-03-01T12:00:00+00:00")

    assert value is not None
    assert (value.value, value.event_timestamp) == (1.0, START - timedelta(hours=1))


# What reads find.


def test_a_value_counts_as_created_at_its_event_timestamp(fs: FeatureStore, lake: Path) -> None:
    value = applied(fs, group(by_folder(lake))).get_feature_at_time("stats:score", ANN, START + DAY, known_at=START)

    assert value is not None
    assert (value.value, value.event_timestamp, value.created_timestamp) == (1.0, START, START)


def test_a_source_that_changed_its_schema_is_an_error_of_the_read(fs: FeatureStore, lake: Path) -> None:
    store = applied(fs, group(by_folder(lake)))
    pq.write_table(table().rename_columns(["uid", "at", "points"]), lake / "acme" / "a.parquet")

    with pytest.raises(SchemaError, match=r"source 'stats': .*there is no column 'score'. Known: at, points, uid"):
        store.get_point_in_time(pa.table({"user_id": ["ann"], "event_timestamp": [START]}), ["stats:score"])


def test_vectors_have_the_declared_dims_and_a_model_version(fs: FeatureStore, lake: Path) -> None:
    features = [Feature("emb", "embedding(2)", model_version="m-2")]
    pq.write_table(table(emb=[[1.0, 2.0], None, [0.5, 0.5]]), lake / "acme" / "a.parquet")
    store = applied(fs, group(by_folder(lake), features))

    value = store.get_feature_at_time("stats:emb", ANN, START + 9 * DAY)
    assert value is not None
    assert (list(value.value), value.model_version) == ([1.0, 2.0], "m-2")
    models = table(emb=[[1.0, 2.0], None, [0.5]], emb__model_version=["m-1", None, None])
    pq.write_table(models.slice(0, 2), lake / "acme" / "a.parquet")
    value = store.get_feature_at_time("stats:emb", ANN, START + 9 * DAY)
    assert value is not None
    assert value.model_version == "m-1"
    pq.write_table(models, lake / "acme" / "a.parquet")
    with pytest.raises(StorageError, match="column 'emb' has lists of 1 to 2 elements, and each must have 2"):
        store.get_feature_at_time("stats:emb", ANN, START + 9 * DAY)


def test_a_delta_table_of_another_writer_is_read_by_its_own_partitions(fs: FeatureStore, tmp_path: Path) -> None:
    place = tmp_path / "delta"
    rows = table(org=["acme", "acme", "zeta"], day=["2026-03-03", "2026-03-01", "2026-03-02"])
    deltalake.write_deltalake(str(place), rows, partition_by=["org", "day"])
    store = applied(fs, group(Source(path=str(place), tenant_column="org")))
    spine = pa.table({"user_id": ["ann", "bob"], "event_timestamp": pa.array([START + 9 * DAY] * 2, INSTANT)})

    assert store.get_point_in_time(spine, ["stats:score"])["score"].to_pylist() == [3.0, None]
    explained = store.explain_point_in_time(spine, ["stats:score"])
    assert explained.host == "in_process"
    assert (explained.reads[0].all_files, explained.reads[0].rows) == (2, 2)
    [stats] = store.get_stats()
    assert (stats.rows, stats.entities, stats.oldest, stats.newest) == (2, 1, START, START + 2 * DAY)


def test_a_table_with_features_that_only_spark_reads_says_so(fs: FeatureStore, tmp_path: Path) -> None:
    deltalake.write_deltalake(str(tmp_path / "delta"), table())
    deltalake.DeltaTable(str(tmp_path / "delta")).alter.set_table_properties({"delta.enableDeletionVectors": "true"})
    definition = group(Source(path=str(tmp_path / "delta"), shared=True))
    obstacle = fs.tenant("acme")._scope.context.in_place(definition).partitions("acme", ["score"])

    assert str(obstacle).startswith(f"{tmp_path / 'delta'}, the table of group 'stats', is read by Spark alone: table ")


def test_the_catalogue_shows_the_source_and_the_rows(fs: FeatureStore, lake: Path) -> None:
    catalog = applied(fs, group(by_folder(lake))).catalog()

    [entry] = catalog.groups
    assert entry.numbers is not None
    assert entry.numbers.rows == 3


# What writes say.


WRITES: dict[str, Callable[[OfflineStore], Any]] = {
    "write_batch": lambda store: store.write_batch("stats", [{**ANN, "event_timestamp": START, "score": 1.0}]),
    "write_feature_value": lambda store: store.write_feature_value("stats:score", ANN, 1.0, START),
    "write_embedding": lambda store: store.write_embedding("stats:emb", ANN, [0.5, 0.5], START),
    "ingest": lambda store: store.ingest("stats", "rows.csv"),
    "rejected": lambda store: store.rejected("stats", to="arrow"),
    "retry_rejected": lambda store: store.retry_rejected("stats"),
    "materialize": lambda store: store.materialize_feature("stats", START, START + DAY),
    "plan_backfill": lambda store: store.plan_backfill("stats", START, START + DAY),
    "backfill": lambda store: store.backfill("stats", START, START + DAY),
    "cleanup": lambda store: store.cleanup(groups=["stats"], retention_days=1),
    "optimize": lambda store: store.optimize(["stats"]),
    "sync_embeddings": lambda store: store.sync_embeddings("stats:emb"),
    "embed_texts": lambda store: store.embed_texts("stats:emb", pa.table({"t": ["x"]}), text="t", hash_feature="h", model=lambda texts: [[0.5, 0.5]]),
}  # fmt: skip


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_would_change_the_table_says_that_it_is_not_ours(
    write: Callable[[OfflineStore], Any], fs: FeatureStore, lake: Path
) -> None:
    features = [Feature("score", "double"), Feature("emb", "embedding(2)")]
    pq.write_table(table(emb=[[0.5, 0.5]] * 3), lake / "acme" / "a.parquet")
    store = applied(fs, group(by_folder(lake), features))

    with pytest.raises(InvalidArgumentError, match=r"'stats' is in place: .*/lake/\{tenant_id\}, a table that is not"):
        write(store)
    assert pq.read_table(lake / "acme" / "a.parquet").num_rows == 3


def test_upkeep_of_all_groups_leaves_it_out(fs: FeatureStore, lake: Path) -> None:
    store = applied(fs, group(by_folder(lake)))

    assert len(store.cleanup(retention_days=1)) == 0
    assert len(store.optimize()) == 0
    assert len(store.materialize_all(START, START + DAY)) == 0
    assert not [each.table for each in fs.vacuum(dry_run=True) if "stats" in each.table]


# What training sets pin.


def spine() -> pa.Table:
    return pa.table(
        {"user_id": ["ann", "bob"], "event_timestamp": pa.array([START + 9 * DAY] * 2, INSTANT), "y": [0, 1]}
    )


def load(store: OfflineStore) -> Any:
    return FeatureDataLoader(store).load_training_data(spine(), ["stats:score"], name="churn", label="y")


def test_a_training_set_pins_the_version_of_a_delta_table(fs: FeatureStore, tmp_path: Path) -> None:
    place = str(tmp_path / "delta")
    deltalake.write_deltalake(place, table())
    store = applied(fs, group(Source(path=place, shared=True)))

    first = load(store)
    again = load(store)
    deltalake.write_deltalake(place, table(score=[30.0, 10.0, 20.0]).slice(0, 1), mode="append")
    changed = load(store)

    assert [each.manifest.version for each in (first, again, changed)] == [1, 1, 2]
    pins = [each.manifest.groups[0].pin for each in (first, changed)]
    assert [(pin.kind, pin.version) for pin in pins if pin is not None] == [("delta", 0), ("delta", 1)]
    assert f"stats v1 (version 0 of {place})" in str(dict(first.manifest.display().facts)["made from"])


def test_a_training_set_pins_the_files_of_a_folder(fs: FeatureStore, lake: Path) -> None:
    store = applied(fs, group(by_folder(lake)))

    first = load(store)
    again = load(store)
    os.utime(lake / "acme" / "a.parquet", ns=(5, 5))
    changed = load(store)

    assert [each.manifest.version for each in (first, again, changed)] == [1, 1, 2]
    pin = changed.manifest.groups[0].pin
    assert pin is not None
    assert [(file.path, file.modified) for file in pin.files] == [("a.parquet", 5)]
    assert not [finding for finding in first.manifest.audit if finding.severity == "error"]


def test_a_set_is_not_built_again_from_another_state(fs: FeatureStore, lake: Path) -> None:
    store = applied(fs, group(by_folder(lake)))
    manifest = load(store).manifest
    check_sources(store._scope, manifest)

    pq.write_table(table(), lake / "acme" / "newer.parquet")
    check_sources(store._scope, manifest)
    pq.write_table(table().slice(1), lake / "acme" / "a.parquet")
    with pytest.raises(RebuildError, match=r"'stats' reads .*cannot be read again: changed: a\.parquet\. Its saved"):
        check_sources(store._scope, manifest)
    shutil.rmtree(lake / "acme")
    with pytest.raises(RebuildError, match=r"'stats' reads .*there is no file of Parquet at"):
        check_sources(store._scope, manifest)
    unknown = SourcePin(kind="table", place="main.users")
    of_catalog = manifest.groups[0].model_copy(update={"pin": unknown})
    with pytest.raises(
        RebuildError, match=r"the state of main\.users, a table of a catalog that is not Delta, is not known"
    ):
        check_sources(store._scope, manifest.model_copy(update={"groups": (of_catalog,)}))


def test_rows_of_other_tenants_stay_theirs(fs: FeatureStore, lake: Path) -> None:
    shutil.copytree(lake / "acme", lake / "zeta")
    pq.write_table(table(score=[300.0, 100.0, 200.0]), lake / "zeta" / "a.parquet")
    store = applied(fs, group(by_folder(lake)))

    values = [each.get_feature_at_time("stats:score", ANN, START + 9 * DAY) for each in (store, fs.tenant("zeta"))]

    assert [value.value for value in values if value is not None] == [3.0, 300.0]
