"""A saved training set in memory: parts stay aligned, nothing is ragged, and what would be too large is refused before."""

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, TimeSplit, TrainingSet
from featurestore.errors import InvalidArgumentError, ResultTooLargeError
from featurestore.reports.training_set_numbers import TrainingSetNumbers
from tests.conftest import Clock, OpenFeatureStore

START = datetime(2026, 1, 1, tzinfo=UTC)
TYPES = {
    "score": "double",
    "share": "float",
    "visits": "long",
    "days": "int",
    "paid": "boolean",
    "plan": "string",
    "about": "json",
    "joined": "timestamp",
    "born": "date",
    "recent": "array<double>",
    "labels": "array<string>",
    "emb": "embedding(3)",
}
GROUP = FeatureGroup(
    "stats", Entity("user", join_keys={"user_id": "string"}), features=[Feature(n, t) for n, t in TYPES.items()]
)
FULL = {
    "score": 0.1,
    "share": 0.5,
    "visits": 3,
    "days": 4,
    "paid": True,
    "plan": "free",
    "about": '{"a": 1}',
    "joined": datetime(2025, 3, 9, 6, 30, 0, 7, tzinfo=UTC),
    "born": date(1999, 12, 31),
    "recent": [1.5, 2.5],
    "labels": ["b", "a"],
    "emb": [0.25, 0.5, 0.75],
}
OTHER = {"plan": "paid", "paid": False, "recent": [], "labels": [], "visits": 7, "born": date(2000, 1, 1)}


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


@pytest.fixture(scope="module")
def loader(open_feature_store: OpenFeatureStore) -> FeatureDataLoader:
    fs = open_feature_store(Clock(hours(0)))
    fs.apply([GROUP])
    store = fs.tenant("acme")
    rows = [{"user_id": "u0", **FULL}, {"user_id": "u1", **OTHER}, {"user_id": "u2", **FULL, "plan": "trial"}]
    store.write_batch("stats", [{**row, "event_timestamp": hours(0)} for row in rows])
    return FeatureDataLoader(store)


@pytest.fixture(scope="module")
def spine() -> pd.DataFrame:
    """Users with all values, some values, and no values; each twice; the rows of the last hours are the test part."""
    return pd.DataFrame(
        {
            "user_id": ["u0", "u1", "nobody", "u0", "u1", "u2", "u1"],
            "event_timestamp": [hours(h) for h in (1, 2, 2, 3, 4, 5, 2)],
            "bought": ["yes", "no", "no", None, "yes", "perhaps", "no"],
            "row": [0, 1, 2, 3, 4, 5, 6],
        }
    )


@pytest.fixture(scope="module")
def built(loader: FeatureDataLoader, spine: pd.DataFrame) -> TrainingSet:
    references = [f"stats:{name}" for name in TYPES]
    split = TimeSplit(test_from=hours(4.5))
    return loader.load_training_data(spine, references, label="bought", name="frames", split=split)


def test_pandas_has_a_readable_column_for_every_type(built: TrainingSet) -> None:
    features = built.to_pandas("test").X

    assert {name: str(dtype) for name, dtype in features.dtypes.items()} == {
        "score": "float64",
        "share": "float32",
        "visits": "int64",
        "days": "int32",
        "paid": "bool",
        "plan": "object",
        "about": "object",
        "joined": "datetime64[us, UTC]",
        "born": "object",
        "recent": "object",
        "labels": "object",
        "emb": "object",
    }
    row = features.iloc[0]
    assert (row["plan"], row["about"], row["born"], row["labels"]) == ("trial", '{"a": 1}', FULL["born"], ("b", "a"))
    assert row["joined"] == pd.Timestamp(FULL["joined"])
    np.testing.assert_array_equal(row["recent"], [1.5, 2.5])
    np.testing.assert_array_equal(row["emb"], np.array([0.25, 0.5, 0.75], dtype=np.float32))


def test_missing_values_stay_missing_and_vectors_have_equal_lengths(built: TrainingSet) -> None:
    frame = built.to_pandas("train")

    users = frame.entity_ids["user_id"].tolist()
    assert sorted(users) == ["nobody", "u0", "u0", "u1", "u1", "u1"]
    nobody, of_u1 = frame.X.iloc[users.index("nobody")], frame.X.iloc[users.index("u1")]
    assert [name for name in TYPES if not pd.isna(nobody[name])] == []
    assert (of_u1["visits"], of_u1["paid"], of_u1["labels"]) == (7.0, False, ())
    assert {str(frame.X[name].dtype) for name in ("visits", "days")} == {"float64"}
    assert str(frame.X["paid"].dtype) == "boolean"
    np.testing.assert_array_equal(of_u1["recent"], [math.nan, math.nan])
    assert frame.metadata["missing_values"]["emb"] == 4
    assert frame.feature_names == list(TYPES)


def test_vectors_become_the_same_columns_in_every_part_on_request(built: TrainingSet) -> None:
    train, test = (built.to_pandas(part, expand_vectors=True) for part in ("train", "test"))

    scalars = [name for name in TYPES if name not in ("recent", "emb")]
    assert [name for name in train.X.columns if name in scalars] == scalars
    assert [name for name in train.X.columns if name not in scalars] == [
        "recent_0", "recent_1", "recent__length", "emb_0", "emb_1", "emb_2",
    ]  # fmt: skip
    assert train.feature_names == test.feature_names == list(test.X.columns)
    assert test.X[["recent_0", "recent__length", "emb_2"]].values.tolist() == [[1.5, 2.0, 0.75]]


def test_the_matrix_gives_the_frame_back(built: TrainingSet) -> None:
    frame, matrix = built.to_pandas(), built.to_numpy()

    assert matrix.X.dtype == np.float64
    assert matrix.X.shape == (7, len(matrix.columns))
    assert matrix.unseen == {}
    assert_frame_equal(matrix.encoding.decode(matrix.X), frame.X, check_exact=True)
    assert frame.y is not None
    assert matrix.y is not None
    assert_series_equal(matrix.encoding.decode_label(matrix.y), frame.y)
    assert_frame_equal(matrix.entity_ids, frame.entity_ids)
    assert_series_equal(matrix.timestamps, frame.timestamps)
    assert_frame_equal(matrix.spine, frame.spine)
    assert matrix.metadata == frame.metadata


def test_an_encoding_of_the_train_part_is_applied_to_the_test_part(built: TrainingSet) -> None:
    train = built.to_numpy("train")
    test = built.to_numpy("test", encoding=train.encoding)

    assert test.columns == train.columns
    assert test.unseen == {"plan": 1, "bought": 1}
    assert test.y is not None
    assert math.isnan(test.y[0])
    assert math.isnan(test.X[0, test.columns.index("plan")])
    assert test.X[0, test.columns.index("score")] == 0.1


def test_all_parts_have_the_same_rows_in_the_same_order_however_the_spine_was_cut(
    spark: SparkSession, loader: FeatureDataLoader, spine: pd.DataFrame
) -> None:
    rows = spark.createDataFrame(spine)
    features = [f"stats:{name}" for name in TYPES]
    permuted = [
        loader.load_training_data(shuffled, features, label="bought", name="permuted")
        for shuffled in (rows.repartition(5, "row"), rows.orderBy(F.desc("row")).repartition(2))
    ]

    first, other = (training_set.to_pandas() for training_set in permuted)
    assert first.y is not None
    assert other.y is not None
    assert_frame_equal(other.X, first.X)
    assert_series_equal(other.y, first.y)
    assert_frame_equal(other.entity_ids, first.entity_ids)
    assert_series_equal(other.timestamps, first.timestamps)
    assert_frame_equal(other.spine, first.spine)
    expected = spine.set_index("row").loc[first.spine["row"]]
    assert first.entity_ids["user_id"].tolist() == expected["user_id"].tolist()
    assert first.timestamps.tolist() == expected["event_timestamp"].tolist()
    assert first.y.tolist() == expected["bought"].tolist()


def test_a_result_that_is_too_large_is_refused_before_it_is_loaded(built: TrainingSet) -> None:
    with pytest.raises(
        ResultTooLargeError, match=r"'frames' v1: to_pandas\(\) would take about .* KiB for 7 rows"
    ) as raised:
        built.to_pandas(max_bytes=1000)
    assert "sample_size=" in str(raised.value)
    with pytest.raises(ResultTooLargeError, match=r"to_numpy\(\) would take about .* for 1 rows"):
        built.to_numpy("test", max_bytes=100)
    with pytest.raises(InvalidArgumentError, match="max_bytes is -1"):
        built.to_pandas(max_bytes=-1)

    assert len(built.to_pandas(max_bytes=None).X) == 7
    assert len(built.to_pandas(max_bytes=1_000_000).X) == 7


def test_the_reported_size_is_the_real_size(spark: SparkSession, loader: FeatureDataLoader) -> None:
    """Bytes a row: two texts of 8 + 49 and their own, two arrays' 8 + 112 and their numbers, numbers and instants of 8."""
    spine = spark.range(0, 1000, 1, 1).selectExpr(
        "'u0' AS user_id",
        "timestamp_seconds(id) AS event_timestamp",
        "id AS row",
        "repeat('a', 1000) AS text",
        "array_repeat(1.0D, 100) AS numbers",
    )
    size = 1000 * ((57 + 2) + 8 + 8 + (57 + 1000) + (120 + 800) + 8)

    built = loader.load_training_data(spine, ["stats:visits"], name="sized")

    with pytest.raises(ResultTooLargeError, match="1,000 rows"):
        built.to_pandas(max_bytes=size - 1)
    loaded = built.to_pandas(max_bytes=size)
    assert [len(value) for value in loaded.spine.iloc[0][["text", "numbers"]]] == [1000, 100]


@pytest.mark.parametrize("backend", ["native", "spark"])
def test_naive_timestamps_are_in_the_time_zone_of_the_settings(
    open_feature_store: OpenFeatureStore, backend: str
) -> None:
    fs = open_feature_store(Clock(hours(0)), timestamp_zone="Europe/Berlin", small_tables=backend)
    fs.apply([GROUP])
    store, late = fs.tenant("acme"), datetime(2026, 6, 30, 22, 30, tzinfo=UTC)
    store.write_batch("stats", [{"user_id": "u0", "event_timestamp": late - timedelta(hours=1), "score": 0.5}])
    naive = pd.DataFrame({"user_id": ["u0"], "event_timestamp": [pd.Timestamp("2026-07-01 00:30")]})

    built = FeatureDataLoader(store).load_training_data(naive, ["stats:score"], name="naive")

    assert built.metadata()["time_range"] == (late, late)
    assert built.to_pandas().timestamps.tolist() == [pd.Timestamp(late)]
    numbers = TrainingSetNumbers.of(built)
    assert [(day.first_day, day.rows, day.matched) for day in numbers.days] == [(late.date(), 1, (1,))]
    assert [(feature.values, feature.age_median) for feature in numbers.features] == [(1, 3600.0)]
