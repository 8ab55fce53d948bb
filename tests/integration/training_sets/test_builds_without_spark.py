"""A training set that is built without Spark is the same as one that Spark builds: rows, manifest, hashes, findings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, StringType

from featurestore import (
    EntitySplit,
    FeatureDataLoader,
    FeatureStore,
    RandomSplit,
    Settings,
    TimeSplit,
    TrainingSet,
)
from featurestore.errors import InvariantError, SpineError, TableBusyError
from featurestore.operations.as_of.join import LocalSpine
from featurestore.stores.arrow import to_spark
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.training_sets.store import TrainingSetStore
from tests.conftest import Clock, spark_setting
from tests.inputs.rows_of_every_type import FEATURES, ROWS, hours, loader_in_tasks, spine, write_values
from tests.processes.spark_jobs import Jobs


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(warehouse=str(tmp_path_factory.mktemp("routes") / "warehouse"))


@pytest.fixture(scope="module")
def feature_store(spark: SparkSession, settings: Settings) -> FeatureStore:
    fs = FeatureStore.open(settings, spark=spark, clock=Clock(hours(1000)))
    write_values(fs)
    return fs


@pytest.fixture(scope="module")
def loader(feature_store: FeatureStore) -> FeatureDataLoader:
    """Builds without Spark."""
    return FeatureDataLoader(feature_store.tenant("acme"))


@pytest.fixture(scope="module")
def by_spark(spark: SparkSession, settings: Settings, feature_store: FeatureStore) -> FeatureDataLoader:
    return loader_in_tasks(spark, settings)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "a label of the spine, parts by time": {"label": "bought", "split": TimeSplit(test=0.21, validation=0.13)},
    "a label that is a feature, with a gap": {
        "label": "outcome:won",
        "label_offset": "1h",
        "split": TimeSplit(test_from=hours(200), validation_from=hours(130), embargo="5h"),
    },
    "only complete rows, parts by chance": {"missing": "drop", "split": RandomSplit(test=0.3, validation=0.2)},
    "filled, parts by entity": {
        "missing": {"score": 0.1, "share": 0.1, "visits": 7, "days": -1, "paid": False, "plan": "none"},
        "split": EntitySplit(test=0.3, validation=0.2),
    },
    "parts by columns of the spine": {"split": EntitySplit(by=("bought", "single"), test=0.4), "seed": 3},
    "a sample": {"sample_size": 57, "seed": 5, "known_at": hours(150)},
    "a sample of each class": {"sample_size": 101, "stratify_by": ["bought", "number"], "known_at": "event"},
    "more than there are": {"sample_size": 10_000, "full_feature_names": True},
}
# What differs between any two versions.
_OWN = {"name", "version", "created_at", "location"}


def facts(built: TrainingSet) -> dict[str, Any]:
    return {name: fact for name, fact in built.manifest.model_dump().items() if name not in _OWN}


@pytest.mark.parametrize("what", OPTIONS)
def test_the_manifest_and_the_rows_are_those_of_spark(
    loader: FeatureDataLoader, by_spark: FeatureDataLoader, spark: SparkSession, what: str
) -> None:
    jobs = Jobs(spark)

    built: list[TrainingSet] = []
    assert jobs.of(lambda: built.append(loader.load_training_data(spine(), FEATURES, **OPTIONS[what]))) == 0
    expected = by_spark.load_training_data(spine(), FEATURES, **OPTIONS[what])

    assert facts(built[0]) == facts(expected)
    assert built[0].rows.exceptAll(expected.rows).isEmpty()
    assert built[0].rows.schema == expected.rows.schema


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_small_frame_of_spark_gives_the_set_of_its_rows(
    loader: FeatureDataLoader, spark: SparkSession, zone: str
) -> None:
    options = {"label": "bought", "split": TimeSplit(test=0.2, validation=0.1)}
    expected = loader.load_training_data(spine(), FEATURES, **options)

    with spark_setting(spark, "spark.sql.session.timeZone", zone):
        built = loader.load_training_data(to_spark(spark, spine()), FEATURES, **options)
        sample = loader.load_training_data(to_spark(spark, spine()), FEATURES, sample_size=50, stratify_by="bought")

    assert facts(built) == facts(expected)
    of_rows = loader.load_training_data(spine(), FEATURES, sample_size=50, stratify_by="bought")
    assert facts(sample) == facts(of_rows)


def test_columns_of_a_saved_set_may_hold_nulls_whatever_its_spine_says(
    loader: FeatureDataLoader, by_spark: FeatureDataLoader, spark: SparkSession
) -> None:
    rows = spark.range(5).selectExpr(
        "concat('u', id) AS user_id", "timestamp'2026-01-05 00:00:00' AS event_timestamp", "array(id) IS NULL AS no",
        "array('a') AS `of.list`",
    )  # fmt: skip

    schemas = [each.load_training_data(rows, "stats:score").rows.schema for each in (loader, by_spark)]

    assert schemas[0] == schemas[1]
    assert all(field.nullable for field in schemas[0])
    assert schemas[0]["of.list"].dataType == ArrayType(StringType(), containsNull=True)


def test_rows_that_change_on_their_way_from_spark_are_never_published(
    loader: FeatureDataLoader, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = to_spark(spark, spine())
    fetched = type(rows).toArrow
    monkeypatch.setattr(type(rows), "toArrow", lambda frame: fetched(frame).slice(1))

    with pytest.raises(InvariantError, match="version 1 is not published"):
        loader.load_training_data(rows, FEATURES, name="fetched")

    assert loader.list("fetched") == []


def test_a_spine_without_rows(loader: FeatureDataLoader, by_spark: FeatureDataLoader) -> None:
    built = [each.load_training_data(spine(0), FEATURES, label="bought") for each in (loader, by_spark)]

    assert facts(built[0]) == facts(built[1])
    assert (built[0].manifest.row_count, built[0].rows.count()) == (0, 0)
    with pytest.raises(SpineError, match="no timestamps to split by"):
        loader.load_training_data(spine(0), FEATURES, split=TimeSplit(test=0.5))


def test_a_set_is_extended_and_built_again_whoever_built_it(
    loader: FeatureDataLoader, by_spark: FeatureDataLoader
) -> None:
    first = loader.load_training_data(spine(), FEATURES, label="bought", split=TimeSplit(test=0.2), name="grown")

    assert by_spark.rebuild("grown").manifest.content_hash == first.manifest.content_hash
    assert by_spark.extend("grown", spine(30)).manifest.row_count == ROWS + 30


@pytest.mark.parametrize(
    "broken",
    [
        lambda rows: rows.slice(1),
        lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]),
        lambda rows: rows.set_column(5, "tiny", pa.nulls(len(rows), pa.int8())),
        lambda rows: pa.concat_tables([rows.slice(1), rows.slice(1, 1)]),
    ],
    ids=["a row lost", "a row doubled", "a column changed", "one lost and one doubled"],
)
@pytest.mark.parametrize("missing", ["keep", "drop"])
def test_a_spine_row_lost_doubled_or_changed_by_the_join_is_never_published(
    loader: FeatureDataLoader, monkeypatch: pytest.MonkeyPatch, broken: Any, missing: Any
) -> None:
    joined = LocalSpine.joined
    monkeypatch.setattr(LocalSpine, "joined", lambda local: broken(joined(local)))

    with pytest.raises(InvariantError, match="version 1 is not published"):
        loader.load_training_data(spine(), FEATURES, missing=missing, name="broken")

    assert loader.list("broken") == []


def test_rows_that_are_not_what_was_to_be_written_are_never_published(
    loader: FeatureDataLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = NativeTable.read_data

    def damaged(table: NativeTable, *arguments: Any, **options: Any) -> pa.Table:
        rows = read(table, *arguments, **options)
        return rows.slice(1) if "training_sets/acme" in table.path else rows

    monkeypatch.setattr(NativeTable, "read_data", damaged)
    with pytest.raises(InvariantError, match="version 1 is not published"):
        loader.load_training_data(spine(), FEATURES, name="damaged")

    assert loader.list("damaged") == []


def test_a_version_that_another_build_wrote_meanwhile_stays_as_it_is(
    loader: FeatureDataLoader, by_spark: FeatureDataLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = loader.load_training_data(spine(), FEATURES, name="twice")
    folder = Path(first.manifest.location)
    files = sorted(folder.rglob("*"))
    monkeypatch.setattr(TrainingSetStore, "next_version", lambda *of_set: 1)

    for each in (loader, by_spark):
        with pytest.raises(TableBusyError, match="another writer has created it meanwhile"):
            each.load_training_data(spine(10), FEATURES, name="twice")

    assert sorted(folder.rglob("*")) == files
    assert first.rows.count() == ROWS
