"""A training set over time: a version is extended and built again after its features were widened, or is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, Settings, TrainingSet
from featurestore.errors import IncompatibleChangeError, LeakageError, RebuildError, SpineError
from featurestore.stores.small_tables.registry import Entry

USER = Entity("user", join_keys={"user_id": "string"})
NARROW = FeatureGroup(
    "g", USER, features=[Feature("f", "float"), Feature("i", "int"), Feature("j", "int"), Feature("y", "int")]
)
WIDE = FeatureGroup(
    "g", USER, features=[Feature("f", "double"), Feature("i", "long"), Feature("j", "double"), Feature("y", "long")]
)
FEATURES = ["g:f", "g:i", "g:j"]


def november(day: int) -> datetime:
    return datetime(2026, 11, day, tzinfo=UTC)


def spine(*users: str) -> pd.DataFrame:
    return pd.DataFrame({"user_id": list(users), "event_timestamp": [november(5)] * len(users), "n": [1] * len(users)})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(warehouse=str(tmp_path_factory.mktemp("types") / "warehouse"))


@pytest.fixture(scope="module")
def stale(spark: SparkSession, settings: Settings) -> FeatureStore:
    """Another process, which has read the definitions before the features were widened."""
    fs = FeatureStore.open(settings, spark=spark)
    fs.apply([NARROW])
    return fs


@pytest.fixture(scope="module")
def feature_store(spark: SparkSession, settings: Settings, stale: FeatureStore) -> FeatureStore:
    """``narrow`` v1 is saved while f is a float and i, j and y are ints; then all are widened, and wide values come."""
    loader = FeatureDataLoader(stale.tenant("acme"))
    stale.tenant("acme").write_batch("g", [row(1, f=0.1, i=7, j=3, y=1)])
    loader.load_training_data(spine("ann", "bob"), FEATURES, label="g:y", name="narrow", missing={"f": 0.1, "i": -1})
    fs = FeatureStore.open(settings, spark=spark)
    fs.apply([WIDE])
    fs.tenant("acme").write_batch("g", [row(2, f=0.1, i=2**53 + 1, j=0.5, y=2**40)])
    return fs


def row(day: int, **values: float) -> dict[str, object]:
    return {"user_id": "ann", "event_timestamp": november(day), **values}


@pytest.fixture
def loader(feature_store: FeatureStore) -> FeatureDataLoader:
    return FeatureDataLoader(feature_store.tenant("acme"))


def values(built: TrainingSet) -> list[tuple[object, ...]]:
    return sorted((tuple(row) for row in built.rows.select("user_id", "f", "i", "j", "y").collect()), key=repr)


def types(built: TrainingSet) -> dict[str, str]:
    return {name: kind for name, kind in built.rows.dtypes if name in ("f", "i", "j", "y")}


SINGLE = 0.10000000149011612
IN_NARROW = [("ann", SINGLE, 7, 3, 1), ("bob", SINGLE, -1, None, None)]


def test_a_version_is_extended_in_the_types_of_now_and_built_again_in_those_of_then(loader: FeatureDataLoader) -> None:
    again = loader.rebuild("narrow", 1)
    extended = loader.extend("narrow", spine("ann", "bob"), version=1)
    twice = loader.extend("narrow", spine("ann"), version=extended.version)

    assert (types(again), values(again)) == ({"f": "float", "i": "int", "j": "int", "y": "int"}, IN_NARROW)
    assert types(extended) == {"f": "double", "i": "bigint", "j": "double", "y": "bigint"}
    wide = [("ann", 0.1, 2**53 + 1, 0.5, 2**40), ("bob", 0.1, -1, None, None)]
    assert values(extended) == sorted([*IN_NARROW, *wide], key=repr)
    assert values(twice) == sorted([*IN_NARROW, *wide, wide[0]], key=repr)
    assert [part.groups[0].group.feature("f").type for part in twice.manifest.parts] == ["float", "double", "double"]
    for built in (extended, twice):
        assert loader.rebuild("narrow", built.version).manifest.content_hash == built.manifest.content_hash
    difference = loader.diff("narrow", 1, extended.version)
    assert (difference.both, difference.only_b) == (2, 2)
    assert "f (float)" in difference.features_removed
    assert "f (double)" in difference.features_added


def test_a_process_that_knows_only_the_narrow_types_narrows_nothing(
    stale: FeatureStore, feature_store: FeatureStore
) -> None:
    store = stale.tenant("acme")

    built = FeatureDataLoader(store).load_training_data(spine("ann"), FEATURES, name="by_the_stale")

    assert [tuple(row) for row in built.rows.select("f", "i", "j").collect()] == [(0.1, 2**53 + 1, 0.5)]
    assert FeatureDataLoader(store).rebuild("by_the_stale").manifest.content_hash == built.manifest.content_hash
    for name, value in {"f": 0.1, "i": 2**53 + 1, "j": 0.5}.items():
        found = store.get_feature_at_time(f"g:{name}", {"user_id": "ann"}, november(5))
        assert found is not None
        assert found.value == value


def test_a_spine_of_other_types_is_refused(loader: FeatureDataLoader) -> None:
    for column, message in (([0.5], "'n' is double and was bigint"), (["a"], "'n' is string and was bigint")):
        with pytest.raises(SpineError, match=message):
            loader.extend("narrow", spine("ann").assign(n=column), version=1)


@pytest.fixture
def redefined(feature_store: FeatureStore) -> Iterator[None]:
    """The registry says that i is a string and that j is gone, as no apply would."""
    other = FeatureGroup("g", USER, features=[Feature("f", "double"), Feature("i", "string"), Feature("y", "long")])
    registry = feature_store._context.registry
    entries = [Entry("feature_group", "g", 1, revision, group.to_json()) for revision, group in ((8, other), (9, WIDE))]
    registry.record(entries[:1], november(9), "1")
    yield
    registry.record(entries[1:], november(9), "1")
    feature_store._context.refresh()


@pytest.mark.usefixtures("redefined")
def test_a_feature_that_its_saved_values_do_not_fit_is_refused(loader: FeatureDataLoader) -> None:
    with pytest.raises(
        IncompatibleChangeError, match="'g:i', which was int, is string now, which cannot hold all values of int"
    ):
        loader.extend("narrow", spine("ann"), version=1)


def test_rows_that_failed_their_check_are_never_visible(
    feature_store: FeatureStore, loader: FeatureDataLoader, settings: Settings
) -> None:
    built = loader.load_training_data(spine("ann"), FEATURES, name="checked")
    context = feature_store._context
    wrong = built.manifest.model_copy(update={"content_hash": "0" * 64})
    context.training_sets.replace_manifest(wrong)

    with pytest.raises(RebuildError, match=r"is [0-9a-f]{12}\.\.\. and was 000000000000\.\.\., so it is not published"):
        loader.rebuild("checked")
    with pytest.raises(Exception, match="version 2 is not published"):
        loader.extend("checked", spine("ann"))
    with pytest.raises(LeakageError, match="version 2 is not published"):
        loader.load_training_data(spine("ann", "ann"), FEATURES, name="checked", label="n", strict=True)

    assert [saved.version for saved in loader.list("checked")] == [1]
    assert loader.get("checked").version == 1
    assert [folder.name for folder in Path(settings.warehouse, "training_sets/acme/checked").iterdir()] == ["v1"]


def test_rows_that_a_crash_left_behind_are_seen_by_nobody_and_their_number_is_passed_over(
    feature_store: FeatureStore, loader: FeatureDataLoader, settings: Settings
) -> None:
    loader.load_training_data(spine("ann"), FEATURES, name="crashed")
    context = feature_store._context

    def die(done: str) -> None:
        if done == "training_set.written":
            raise KeyboardInterrupt

    context.step = die
    with pytest.raises(KeyboardInterrupt):
        loader.rebuild("crashed")
    context.step = lambda done: None

    assert Path(settings.warehouse, "training_sets/acme/crashed/v2").is_dir()
    assert [saved.version for saved in loader.list("crashed")] == [1]
    assert loader.get("crashed").version == 1
    assert (loader.rebuild("crashed").version, loader.diff("crashed", 1, 3).is_same) == (3, True)
