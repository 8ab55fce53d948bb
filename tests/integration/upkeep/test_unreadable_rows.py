"""The store's own tables: what cannot be read back is never written, and a row that cannot be read stops nobody else."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import deltalake
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, OfflineStore, Settings
from featurestore.cli.doctor import _own_tables
from featurestore.errors import InvalidArgumentError, InvariantError, StorageError
from featurestore.operations.context import Scope
from featurestore.operations.job_run import recorded_run
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.delta.which_rows import equal
from featurestore.stores.small_tables.erasures import Erasure
from featurestore.stores.small_tables.registry import Entry
from featurestore.stores.small_tables.rows import UnreadableRowWarning
from featurestore.stores.writer_lock import WriterLock

USER = Entity("user", join_keys={"user_id": "string"})
DEVICE = Entity("device", join_keys={"device_id": "string"})
STATS = FeatureGroup("stats", USER, features=[Feature("score", "double")])
OTHER = FeatureGroup("other", DEVICE, features=[Feature("score", "double")])
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def feature_store(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    settings = Settings(warehouse=str(tmp_path_factory.mktemp("unreadable") / "warehouse"))
    environ = {"FEATURESTORE_SUPPRESSION_SECRET": "a secret of these tests"}
    fs = FeatureStore.open(settings, spark=spark, environ=environ)
    fs.apply([STATS, OTHER])
    return fs


@pytest.fixture(scope="module")
def acme(feature_store: FeatureStore) -> OfflineStore:
    """Two training sets, ``good`` and ``bad``; the manifest of the second is what NaN was once stored as."""
    store = feature_store.tenant("acme")
    store.write_batch("stats", [{"user_id": user, "event_timestamp": NOON, "score": 0.5} for user in ("ann", "bob")])
    for name in ("good", "bad"):
        FeatureDataLoader(store).load_training_data(spine(), "stats:score", name=name, missing={"score": 0.25})
    edit(feature_store, "training_sets", "bad", "manifest", '"missing":{"score":0.25}', '"missing":null')
    return store


@pytest.fixture
def loader(acme: OfflineStore) -> FeatureDataLoader:
    return FeatureDataLoader(acme)


def spine() -> pd.DataFrame:
    return pd.DataFrame({"user_id": ["ann", "bob"], "event_timestamp": [NOON, NOON]})


def edit(fs: FeatureStore, table: str, name: str, column: str, before: str, after: str) -> None:
    """Replace a part of the text of the one row with this name."""
    path = Path(fs.settings.warehouse, "_store", table)
    native = NativeTable(str(path), WriterLock(Path(f"{fs.settings.warehouse}.lock"), 30.0))
    [text] = native.read(equal(name=name), [column]).column(column).to_pylist()
    assert before in text
    native.update(equal(name=name), {column: text.replace(before, after)})


def test_an_unreadable_manifest_fails_only_reads_that_need_it(
    feature_store: FeatureStore, acme: OfflineStore, loader: FeatureDataLoader
) -> None:
    message = (
        r"the manifest of training set 'bad' v1 of tenant 'acme' cannot be read: .*To mend it, delete that version"
    )

    with pytest.warns(UnreadableRowWarning, match=message):
        listed = loader.list()
    with pytest.warns(UnreadableRowWarning, match=message):
        feature_store.vacuum(older_than="7d", dry_run=True)
    with pytest.warns(UnreadableRowWarning, match=message):
        catalogue = acme.catalog()
    for needs_it in (loader.get, loader.rebuild, loader.audit, lambda name: loader.extend(name, spine())):
        with pytest.raises(StorageError, match=message):
            needs_it("bad")

    assert [(saved.name, saved.version) for saved in listed] == [("good", 1)]
    assert "'bad' v1" in str(listed.display())
    assert [(saved.name, len(saved.versions)) for saved in catalogue.training_sets] == [("good", 1)]
    assert loader.get("good").to_pandas().X["score"].tolist() == [0.5, 0.5]
    assert loader.rebuild("good").version == 2
    check = _own_tables(feature_store.settings, {})
    assert not check.ok
    assert "'bad' v1" in check.found


def test_an_erasure_ends_and_names_the_set_that_it_could_not_search(
    feature_store: FeatureStore, acme: OfflineStore, loader: FeatureDataLoader
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreadableRowWarning)
        first = acme.erase("user", {"user_id": "bob"})
        rows = deltalake.DeltaTable(f"{feature_store.settings.warehouse}/training_sets/acme/bad/v1")
        assert rows.to_pyarrow_table().num_rows == 2
        loader.delete("bad", version=1)
        second = acme.erase("user", {"user_id": "bob"})

    assert [("'bad' v1" in left) for left in first.left] == [True]
    assert (first.rows, second.left) == (3, ())
    assert loader.get("good", 1).manifest.row_count == 1


def test_an_unreadable_definition_stops_only_its_own_group(feature_store: FeatureStore) -> None:
    store = feature_store.tenant("other")
    edit(feature_store, "registry", "other", "definition", '"double"', '"complex"')
    feature_store._context.refresh()
    try:
        message = r"the definition of feature group 'other' v1 cannot be read: .*'complex'.*apply its definition again"
        with pytest.warns(UnreadableRowWarning, match=message):
            groups = feature_store.feature_groups()
        with pytest.raises(StorageError, match=message):
            store.write_batch("other", [{"device_id": "d", "event_timestamp": NOON, "score": 0.5}])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnreadableRowWarning)
            written = store.write_batch("stats", [{"user_id": "zoe", "event_timestamp": NOON, "score": 0.5}]).written
            left = store.erase("user", {"user_id": "zoe"}).left
    finally:
        with pytest.warns(UnreadableRowWarning):
            plan = feature_store.apply([OTHER])

    assert ([group.name for group in groups], written) == (["stats"], 1)
    assert [("feature group 'other' v1" in problem) for problem in left] == [True]
    assert "the stored definition cannot be read" in str(plan)
    assert [group.name for group in feature_store.feature_groups()] == ["other", "stats"]


def test_a_value_that_could_not_be_read_back_is_never_written(
    feature_store: FeatureStore, acme: OfflineStore, loader: FeatureDataLoader
) -> None:
    context = feature_store._context
    manifest = loader.get("good", 1).manifest
    log = context.erasures
    erasure = Erasure("acme", "an id", "user", ())
    entry = Entry("feature_group", "stats", 1, 9, STATS.to_json().replace("double", "complex"))

    def tell_of_nan() -> None:
        with recorded_run(Scope(context, "acme"), "measured") as job:
            job.report({"psi": math.nan})

    writes: list[Callable[[], Any]] = [
        lambda: context.training_sets.publish(manifest.model_copy(update={"missing": math.nan})),
        lambda: context.training_sets.replace_manifest(manifest.model_copy(update={"missing": {"score": math.inf}})),
        lambda: context.training_sets.publish(manifest.model_copy(update={"description": "\ud800"})),
        lambda: context.registry.record([entry], NOON, "1"),
        lambda: log.record(erasure, "certified", {"rows": math.nan}, NOON),
        tell_of_nan,
    ]
    for write in writes:
        with pytest.raises(InvariantError, match="so it is not written"):
            write()

    assert loader.get("good", 1).manifest == manifest
    assert acme.erasures()[-1].entity == "user"
    assert feature_store.feature_group("stats") == STATS


def test_values_that_json_lacks_are_refused_before_anything_is_built(loader: FeatureDataLoader) -> None:
    requests: list[dict[str, Any]] = [
        {"missing": math.nan}, {"missing": math.inf}, {"missing": {"score": -math.inf}}, {"description": "\ud800"},
        {"description": None},
    ]  # fmt: skip
    for options in requests:
        with pytest.raises(InvalidArgumentError, match=next(iter(options))):
            loader.load_training_data(spine(), "stats:score", name="refused", **options)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreadableRowWarning)
        assert loader.list("refused") == []


def test_an_error_with_half_a_surrogate_pair_is_recorded(acme: OfflineStore) -> None:
    with pytest.raises(ValueError, match="there"), recorded_run(Scope(acme._scope.context, "acme"), "quoting"):
        raise ValueError("\ud800 was there")

    [row] = [row for row in acme.runs(to="arrow").to_pylist() if row["job"] == "quoting"]
    assert (row["state"], row["error"]) == ("failed", r"ValueError: \ud800 was there")


def test_a_certificate_that_cannot_be_read_is_passed_over(feature_store: FeatureStore, acme: OfflineStore) -> None:
    before = len(acme.erasures())
    context = feature_store._context
    detail = json.dumps({"rows": 1})
    log = context.erasures
    log.record(Erasure("acme", "torn", "user", ()), "certified", json.loads(detail), NOON)

    with pytest.warns(UnreadableRowWarning, match="the certificate of erasure torn of tenant 'acme' cannot be read"):
        assert len(acme.erasures()) == before
