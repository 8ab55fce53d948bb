"""A saved training set is loaded without Spark exactly as by Spark, whatever the types of its columns."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal
from pyspark.sql import SparkSession

from featurestore import (
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    Settings,
    TimeSplit,
    TrainingFrame,
    TrainingSet,
)
from featurestore.columnar.training_sets.version_comparison import ColumnSummary
from featurestore.errors import NotFoundError, ResultTooLargeError, SpineError
from featurestore.operations.saved_sets.saved_rows import LocalSavedRows, SparkSavedRows, saved_rows
from featurestore.operations.saved_sets.version_pair import LocalPair, SparkPair, version_pair
from tests.conftest import Clock

START = datetime(2026, 1, 1, tzinfo=UTC)
VALUES: dict[str, tuple[str, list[Any]]] = {
    "score": ("double", [0.1, -0.0, None]),
    "share": ("float", [0.5, 1.5, None]),
    "visits": ("long", [3, 2**53 + 1, None]),
    "days": ("int", [4, None, -4]),
    "paid": ("boolean", [True, False, None]),
    "plan": ("string", ["free", "", "geschäftlich, über eine lange Zeit"]),
    "about": ("json", ['{"a": 1}', None, "[]"]),
    "joined": ("timestamp", [datetime(2025, 3, 9, 6, 30, 0, 7, tzinfo=UTC), None, START]),
    "born": ("date", [date(1999, 12, 31), date(1, 1, 1), None]),
    "recent": ("array<double>", [[1.5, 2.5], [], None]),
    "labels": ("array<string>", [["b", "a"], [], None]),
    "emb": ("embedding(3)", [[0.25, 0.5, 0.75], None, [0.0, 0.0, 1.0]]),
}
GROUP = FeatureGroup(
    "stats",
    Entity("user", join_keys={"user_id": "string"}),
    features=[Feature(name, kind) for name, (kind, _) in VALUES.items()],
)
SPINE = (
    "user_id string, event_timestamp timestamp, bought string, tiny tinyint, small smallint, short decimal(10,2), "
    "long decimal(38,10), raw binary, day date, local timestamp_ntz"
)
PARTS = [None, "train", "validation", "test"]


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


def example(number: int) -> tuple[Any, ...]:
    if number % 4 == 3:
        return (f"u{number % 3}", hours(number), None, None, None, None, None, None, None, None)
    return (
        f"u{number % 5}",
        hours(number % 7),
        "yes" if number % 2 else "no",
        number - 5,
        -number,
        Decimal(number) / 4,
        Decimal(10**20 * (number - 4)) + Decimal("0.0000000001"),
        b"\x00\xff" * (number % 3),
        date(2026, 1, 1 + number),
        datetime.fromisoformat(f"1960-01-01T00:00:00.{number:06}"),
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(warehouse=str(tmp_path_factory.mktemp("local_sets") / "warehouse"))


@pytest.fixture(scope="module")
def feature_store(spark: SparkSession, settings: Settings) -> FeatureStore:
    fs = FeatureStore.open(settings, spark=spark, clock=Clock(START))
    fs.apply([GROUP])
    rows = [
        {name: values[number] for name, (_, values) in VALUES.items()} | {"user_id": f"u{number}"}
        for number in range(3)
    ]
    fs.tenant("acme").write_batch("stats", [{**row, "event_timestamp": hours(0)} for row in rows])
    loader = FeatureDataLoader(fs.tenant("acme"))
    references = [f"stats:{name}" for name in VALUES]
    split = TimeSplit(validation_from=hours(3), test_from=hours(5))
    spine = spark.createDataFrame([example(number) for number in range(24)], SPINE)
    loader.load_training_data(spine, references, label="bought", name="every_type", split=split)
    loader.load_training_data(spine.limit(0), references, name="empty")
    loader.load_training_data(spine.selectExpr("*", "array(1, null) AS numbers"), ["stats:score"], name="other_lists")
    naive = spine.selectExpr("user_id", "local AS event_timestamp")
    zoned = FeatureStore.open(settings.model_copy(update={"timestamp_zone": "Europe/Berlin"}), spark=spark)
    FeatureDataLoader(zoned.tenant("acme")).load_training_data(naive, ["stats:score"], name="naive")
    return fs


def without_spark(fs: FeatureStore, name: str) -> TrainingSet:
    return FeatureDataLoader(fs.tenant("acme")).get(name)


def by_spark(settings: Settings, spark: SparkSession, name: str, **changed: str) -> TrainingSet:
    only_spark = settings.model_copy(update={"small_tables": "spark", **changed})
    return FeatureDataLoader(FeatureStore.open(only_spark, spark=spark).tenant("acme")).get(name)


def assert_same_frames(ours: TrainingFrame, theirs: TrainingFrame) -> None:
    for name in ("X", "entity_ids", "spine"):
        assert_cells_are_the_same(getattr(ours, name), getattr(theirs, name))
    assert_series_equal(ours.timestamps, theirs.timestamps)
    assert_frame_equal(*(pd.DataFrame({"y": frame.y}, index=frame.X.index) for frame in (ours, theirs)))
    assert ours.feature_names == theirs.feature_names
    assert ours.metadata == theirs.metadata


def assert_cells_are_the_same(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    assert_frame_equal(ours, theirs, check_exact=True)
    for name in ours.columns:
        assert [type(value) for value in ours[name]] == [type(value) for value in theirs[name]], name


@pytest.mark.parametrize("split", PARTS)
@pytest.mark.parametrize("expanded", [False, True])
def test_pandas_is_the_same(
    feature_store: FeatureStore, settings: Settings, spark: SparkSession, split: str | None, expanded: bool
) -> None:
    local, sparks = without_spark(feature_store, "every_type"), by_spark(settings, spark, "every_type")

    assert isinstance(saved_rows(local.context, local.manifest, split), LocalSavedRows)
    assert isinstance(saved_rows(sparks.context, sparks.manifest, split), SparkSavedRows)
    assert_same_frames(
        local.to_pandas(split, expand_vectors=expanded), sparks.to_pandas(split, expand_vectors=expanded)
    )
    assert local.metadata(split) == sparks.metadata(split)


@pytest.mark.parametrize("name", ["empty", "other_lists"])
def test_sets_without_rows_and_with_types_that_only_spark_reads_are_the_same(
    feature_store: FeatureStore, settings: Settings, spark: SparkSession, name: str
) -> None:
    local, sparks = without_spark(feature_store, name), by_spark(settings, spark, name)

    assert_same_frames(local.to_pandas(), sparks.to_pandas())
    assert isinstance(saved_rows(local.context, local.manifest, None), SparkSavedRows) == (name == "other_lists")


def test_numpy_is_the_same(feature_store: FeatureStore, settings: Settings, spark: SparkSession) -> None:
    local, sparks = without_spark(feature_store, "naive"), by_spark(settings, spark, "naive", timestamp_zone="UTC")
    zoned = TrainingSet(sparks.context, local.manifest)
    zoned_locally = FeatureStore.open(settings.model_copy(update={"timestamp_zone": "UTC"}), spark=spark)
    ours, theirs = TrainingSet(zoned_locally._context, local.manifest).to_numpy(), zoned.to_numpy()

    np.testing.assert_array_equal(ours.X, theirs.X)
    assert ours.encoding == theirs.encoding
    assert_series_equal(ours.timestamps, theirs.timestamps)
    with pytest.raises(SpineError, match="'event_timestamp' is timestamp_ntz, not an instant"):
        local.to_numpy()


def test_what_would_be_too_large_is_refused_with_the_same_estimate(
    feature_store: FeatureStore, settings: Settings, spark: SparkSession
) -> None:
    messages = []
    for built in (without_spark(feature_store, "every_type"), by_spark(settings, spark, "every_type")):
        with pytest.raises(ResultTooLargeError) as error:
            built.to_pandas("train", max_bytes=100)
        messages.append(str(error.value))

    assert messages[0] == messages[1]


def test_a_part_that_the_set_does_not_have_is_refused(feature_store: FeatureStore) -> None:
    with pytest.raises(NotFoundError, match="has no part 'test'; possible: none, because it is not split"):
        without_spark(feature_store, "empty").to_pandas("test")


def assert_same_summaries(ours: list[ColumnSummary], theirs: list[ColumnSummary]) -> None:
    for our, their in zip(ours, theirs, strict=True):
        assert (our.missing, our.top) == (their.missing, their.top)
        for name in ("mean", "stddev"):
            expected = getattr(their, name)
            # Sums of doubles depend on their order.
            same = expected if expected is None else pytest.approx(expected, rel=1e-12, nan_ok=True)
            assert getattr(our, name) == same


def test_versions_are_compared_alike(feature_store: FeatureStore, settings: Settings, spark: SparkSession) -> None:
    """Rows come several times and with several values, so that it counts how they are paired."""
    loader = FeatureDataLoader(feature_store.tenant("acme"))
    references = [f"stats:{name}" for name in VALUES]
    made = [example(number) for number in range(12)] * 2
    for version in (0, 1):
        spine = spark.createDataFrame(
            [(*row[:2], *row[3:]) for row in made[version:]], SPINE.replace("bought string, ", "")
        )
        # The values hang on the version and the row's copy alone.
        shifted = spine.selectExpr("*", "monotonically_increasing_id() % 3 AS other")
        loader.load_training_data(shifted.drop("tiny", "raw"), references, label="other", name="compared")
    first, second = (loader.get("compared", version).manifest for version in (1, 2))
    only_spark = FeatureStore.open(settings.model_copy(update={"small_tables": "spark"}), spark=spark)
    local = version_pair(feature_store._context, first, second)
    sparks = version_pair(only_spark._context, first, second)

    assert isinstance(local, LocalPair)
    assert isinstance(sparks, SparkPair)
    assert local.words == sparks.words
    values = ["other", "score", "plan", "paid", "recent", "short"]
    for spine_columns in (["user_id"], ["user_id", "event_timestamp"], ["user_id", "day", "long"], []):
        counts = local.compared(spine_columns, values)
        assert counts == sparks.compared(spine_columns, values)
    for ours, theirs in zip(
        local.summaries(list(first.columns), 3), sparks.summaries(list(first.columns), 3), strict=True
    ):
        assert_same_summaries(ours, theirs)
    assert counts.both == 0
