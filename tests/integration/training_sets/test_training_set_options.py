"""Options of a training set: labels that are features, splits, samples, missing values, examples of a time range."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import (
    Entity,
    EntitySplit,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    RandomSplit,
    Source,
    TimeSplit,
)
from featurestore.errors import (
    DefinitionError,
    InvalidArgumentError,
    LeakageError,
    NotFoundError,
    SpineError,
)
from tests.conftest import Clock, OpenFeatureStore

USER = Entity("user", join_keys={"user_id": "string"})
START = datetime(2026, 11, 1, tzinfo=UTC)
STATS = FeatureGroup("stats", USER, features=[Feature("score", "double"), Feature("plan", "string")])
OUTCOME = FeatureGroup(
    "outcome",
    USER,
    features=[Feature("churned", "boolean"), Feature("spent", "double")],
    ttl=timedelta(days=3),
    sources={"events": Source(path="{landing}/{tenant_id}/events", format="parquet")},
    transformation="SELECT user_id, true AS churned, 1.0 AS spent FROM events",
)


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    landing = tmp_path_factory.mktemp("landing")
    (landing / "acme" / "events").mkdir(parents=True)
    events = [
        {"user_id": "u1", "customer": "c1", "at": hours(1)},
        {"user_id": "u1", "customer": "c1", "at": hours(1)},
        {"user_id": "u2", "customer": "c2", "at": hours(2)},
        {"user_id": None, "customer": "c3", "at": hours(3)},
        {"user_id": "u4", "customer": "c4", "at": None},
        {"user_id": "u5", "customer": "c5", "at": hours(30)},
    ]
    pq.write_table(pa.Table.from_pylist(events), landing / "acme" / "events" / "part.parquet")
    fs = open_feature_store(Clock(START - timedelta(days=1)), landing=str(landing))
    fs.apply([STATS, OUTCOME])
    store = fs.tenant("acme")
    store.write_batch(
        "stats",
        [
            {"user_id": f"u{user}", "event_timestamp": hours(hour), "score": user + hour / 100,
             "plan": "paid" if hour > 5 else None}
            for user in range(4) for hour in range(0, 10, 3)
        ],
    )  # fmt: skip
    store.write_batch(
        "outcome",
        [
            {"user_id": "u0", "event_timestamp": hours(2), "churned": False, "spent": 1.0},
            {"user_id": "u0", "event_timestamp": hours(50), "churned": True, "spent": 2.0},
            {"user_id": "u1", "event_timestamp": hours(26), "churned": True, "spent": 3.0},
        ],
    )
    return fs


@pytest.fixture
def loader(feature_store: FeatureStore) -> FeatureDataLoader:
    return FeatureDataLoader(feature_store.tenant("acme"))


@pytest.fixture
def spine() -> pd.DataFrame:
    """Forty examples of four users, an hour apart for ten hours."""
    rows = [(f"u{user}", hours(hour + 0.5), user % 2 == 0) for user in range(4) for hour in range(10)]
    return pd.DataFrame(rows, columns=["user_id", "event_timestamp", "late"])


def test_a_label_is_a_feature_looked_up_later_and_never_among_the_features(loader: FeatureDataLoader) -> None:
    spine = pd.DataFrame({"user_id": ["u0", "u0", "u1", "u2"], "event_timestamp": [hours(h) for h in (1, 3, 3, 3)]})

    built = loader.load_training_data(spine, ["stats:score"], label="outcome:churned", name="later", label_offset="2d")

    assert built.manifest.columns == ("user_id", "event_timestamp", "score", "stats__event_timestamp", "churned")
    frame = built.to_pandas()
    assert frame.y is not None
    assert [None if pd.isna(value) else bool(value) for value in frame.y] == [False, True, True, None]
    assert frame.X.columns.tolist() == ["score"]
    assert frame.X["score"].tolist() == [0.0, 0.03, 1.03, 2.03]
    assert frame.spine.columns.tolist() == []
    again = loader.rebuild("later")
    assert again.manifest.content_hash == built.manifest.content_hash
    assert (again.manifest.label, again.manifest.label_offset) == ("churned", timedelta(days=2))


def test_without_an_offset_a_label_is_joined_as_of_the_row(loader: FeatureDataLoader) -> None:
    spine = pd.DataFrame({"user_id": ["u0", "u0"], "event_timestamp": [hours(1), hours(2)]})

    built = loader.load_training_data(spine, ["stats:score"], label="outcome:spent", name="at_once")

    assert built.to_pandas().y is not None
    assert [None if pd.isna(value) else value for value in built.to_pandas().y] == [None, 1.0]


def test_a_feature_may_be_its_own_label_later(loader: FeatureDataLoader) -> None:
    spine = pd.DataFrame({"user_id": ["u1"], "event_timestamp": [hours(1)]})

    built = loader.load_training_data(spine, ["stats:score"], label="stats:score", name="itself", label_offset="6h")

    [row] = built.rows.select("score", "label__score").collect()
    assert tuple(row) == (1.0, 1.06)
    with pytest.raises(DefinitionError, match="is the label and among the features"):
        loader.load_training_data(spine, ["stats:score"], label="stats:score", name="itself")


@pytest.mark.parametrize(
    ("split", "sizes"),
    [
        (RandomSplit(validation=0.1, test=0.25), {"train": 26, "validation": 4, "test": 10}),
        (EntitySplit(test=0.25), {"train": 30, "test": 10}),
        (
            TimeSplit(validation_from=hours(4), test_from=hours(8), embargo=timedelta(hours=1)),
            {"train": 12, "validation": 12, "test": 8, "embargo": 8},
        ),
    ],
)
def test_a_split_is_exact_saved_and_kept_when_rebuilt_and_extended(
    loader: FeatureDataLoader, spine: pd.DataFrame, split: Any, sizes: dict[str, int]
) -> None:
    name = f"split_{split.kind}"
    built = loader.load_training_data(spine, ["stats:score"], label="late", name=name, split=split, seed=5)

    counts = Counter(row.split for row in built.rows.collect())
    assert counts == sizes
    assert built.manifest.split is not None
    assert built.manifest.split.kind == split.kind
    assert loader.rebuild(name).manifest.content_hash == built.manifest.content_hash
    if split.kind == "entity":
        [held_out] = built.part("test").select("user_id").distinct().collect()
        more = loader.extend(name, spine.assign(event_timestamp=spine["event_timestamp"] + pd.Timedelta(days=1)))
        assert more.part("test").select("user_id").distinct().collect() == [held_out]
        assert more.part("test").count() == 20


def test_a_stratified_sample_is_exact_and_the_same_from_any_partitioning(
    feature_store: FeatureStore, loader: FeatureDataLoader, spine: pd.DataFrame
) -> None:
    rows = feature_store.spark.createDataFrame(spine)
    built = [
        loader.load_training_data(
            frame, ["stats:score"], label="late", name="sampled", sample_size=11, stratify_by="user_id", seed=2
        )
        for frame in (rows, rows.repartition(5), rows.coalesce(1).orderBy("late"))
    ]

    assert len({training_set.manifest.content_hash for training_set in built}) == 1
    counts = Counter(built[0].to_pandas().entity_ids["user_id"])
    assert sorted(counts.values()) == [2, 3, 3, 3]
    assert (built[0].manifest.stratify_by, built[0].manifest.spine_rows_before_sampling) == (("user_id",), 40)
    frames = [training_set.to_pandas() for training_set in built]
    for frame in frames:
        expected = frames[0]
        pd.testing.assert_frame_equal(frame.X, expected.X)
        pd.testing.assert_frame_equal(frame.entity_ids, expected.entity_ids)
        pd.testing.assert_series_equal(frame.timestamps, expected.timestamps)
        assert frame.y is not None
        assert frame.y.tolist() == [user in ("u0", "u2") for user in frame.entity_ids["user_id"]]


def test_rows_that_miss_a_feature_are_dropped_and_counted(loader: FeatureDataLoader, spine: pd.DataFrame) -> None:
    dropped = loader.load_training_data(
        spine, ["stats:score", "stats:plan"], label="late", name="whole", missing="drop"
    )

    assert (dropped.manifest.row_count, dropped.manifest.rows_dropped) == (16, 24)
    assert dropped.metadata()["missing_values"] == {"score": 0, "plan": 0}
    for pairs in (None, spine):
        again = loader.rebuild("whole", 1, spine=pairs)
        assert again.manifest.content_hash == dropped.manifest.content_hash


def test_missing_values_are_filled_by_feature(loader: FeatureDataLoader, spine: pd.DataFrame) -> None:
    filled = loader.load_training_data(
        spine, ["stats:score", "stats:plan"], label="late", name="filled", missing={"plan": "none"}
    )

    assert Counter(filled.to_pandas().X["plan"]) == {"none": 24, "paid": 16}
    assert loader.rebuild("filled").manifest.content_hash == filled.manifest.content_hash


def test_examples_of_a_time_range_are_when_the_label_or_the_features_were_written(loader: FeatureDataLoader) -> None:
    by_label = loader.load_training_data(
        features=["stats:score"], label="outcome:churned", name="by_label", time_range=(hours(0), hours(50))
    )
    by_features = loader.load_training_data(
        features=["stats:plan"], name="by_features", time_range=(hours(0), hours(7)), entities=[{"user_id": "u2"}]
    )

    frame = by_label.to_pandas()
    assert list(zip(frame.entity_ids["user_id"], frame.timestamps, strict=True)) == [
        ("u0", hours(2)),
        ("u1", hours(26)),
    ]
    assert by_features.to_pandas().timestamps.tolist() == [hours(6)]


def test_a_time_range_of_a_spine_takes_its_rows_within(loader: FeatureDataLoader, spine: pd.DataFrame) -> None:
    built = loader.load_training_data(
        spine, ["stats:score"], label="late", name="ranged", time_range=(hours(2.5), hours(4.5))
    )

    assert Counter(built.to_pandas().timestamps) == {hours(2.5): 4, hours(3.5): 4}


def test_a_strict_build_publishes_nothing_that_the_audit_faults(loader: FeatureDataLoader, spine: pd.DataFrame) -> None:
    doubled = pd.concat([spine, spine[:1]])

    lenient = loader.load_training_data(doubled, ["stats:score"], label="late", name="lenient")
    with pytest.raises(LeakageError, match="with strict=True version 1 is not published"):
        loader.load_training_data(doubled, ["stats:score"], label="late", name="strict", strict=True)

    assert "doubled_rows" in {finding.check for finding in lenient.manifest.audit}
    assert loader.list("strict") == []


def test_entity_timestamps_are_distinct_pairs_of_a_declared_source(loader: FeatureDataLoader) -> None:
    pairs = loader.get_entity_timestamps("events", "user", timestamp_column="at")
    of_a_day = loader.get_entity_timestamps(
        "outcome.events", USER, (hours(0), hours(24)), timestamp_column="at", on={"user_id": "customer"}
    )

    assert pairs.columns == ["user_id", "event_timestamp"]
    examples = sorted((row["user_id"], row["event_timestamp"].astimezone(UTC)) for row in pairs.toArrow().to_pylist())
    assert examples == [("u1", hours(1)), ("u2", hours(2)), ("u5", hours(30))]
    assert sorted(row["user_id"] for row in of_a_day.collect()) == ["c1", "c2", "c3"]
    joined = loader.load_training_data(pairs, ["stats:score"], name="from_events")
    assert joined.manifest.row_count == 3


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda one, s: one.load_training_data(s, ["stats:score"], label="outcom:churned"), NotFoundError, "'outcome'"),
        (lambda one, s: one.load_training_data(s, ["stats:score"], label="outcome:churn"), NotFoundError, "'churned'"),
        (
            lambda one, s: one.load_training_data(s, ["stats:score"], label="late", label_offset="1d"),
            InvalidArgumentError,
            "is for a label that is a feature",
        ),
        (
            lambda one, s: one.load_training_data(s, ["stats:score"], label="outcome:spent", label_offset="-1d"),
            InvalidArgumentError,
            "label_offset",
        ),
        (lambda one, s: one.load_training_data(s, ["stats:score"], label="lat"), SpineError, "Did you mean 'late'"),
        (
            lambda one, s: one.load_training_data(s, ["stats:score"], stratify_by="late"),
            InvalidArgumentError,
            "give sample_size",
        ),
        (
            lambda one, s: one.load_training_data(s, ["stats:score"], sample_size=5, stratify_by="lat"),
            SpineError,
            "Did you mean 'late'",
        ),
        (
            lambda one, s: one.load_training_data(s, ["stats:score"], split=EntitySplit(test=0.5, by=["user"])),
            SpineError,
            "Did you mean 'user_id'",
        ),
        (lambda one, s: one.load_training_data(features=["stats:score"]), InvalidArgumentError, "give a spine, or"),
        (
            lambda one, s: one.load_training_data(s, ["stats:score"], entities=[{"user_id": "u1"}]),
            InvalidArgumentError,
            "in place of a spine",
        ),
        (
            lambda one, s: one.load_training_data(s, ["stats:score"], time_range=(hours(2), hours(1))),
            InvalidArgumentError,
            "not before its end",
        ),
        (
            lambda one, s: one.load_training_data(s, ["stats:score"], time_range="November"),
            InvalidArgumentError,
            "give a pair",
        ),
        (lambda one, s: one.load_training_data(s), DefinitionError, "no features were requested"),
        (lambda one, s: one.load_training_data(s, ["stats:score"], missing=True), InvalidArgumentError, "does not fit"),
        (lambda one, s: one.get_entity_timestamps("event", "user"), NotFoundError, "Did you mean 'events'"),
        (lambda one, s: one.get_entity_timestamps("events", "usr"), NotFoundError, "Did you mean 'user'"),
        (lambda one, s: one.get_entity_timestamps("events", "user"), SpineError, "timestamp_column="),
        (
            lambda one, s: one.get_entity_timestamps(
                "events", "user", timestamp_column="at", on={"user_id": "custmer"}
            ),
            SpineError,
            r"^source 'events': it has no column 'custmer', by which 'user' is looked up; say which column holds the key with "
            r"on=\{'user_id': <column>\}\. Did you mean 'customer'",
        ),
        (
            lambda one, s: one.get_entity_timestamps("events", "user", timestamp_column="at", on={"user": "customer"}),
            InvalidArgumentError,
            "the join keys of 'user' are",
        ),
    ],
)
def test_an_error_explains_a_wrong_request(
    loader: FeatureDataLoader,
    spine: pd.DataFrame,
    ask: Callable[[FeatureDataLoader, pd.DataFrame], Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        ask(loader, spine)
