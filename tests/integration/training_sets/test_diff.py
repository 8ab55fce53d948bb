"""Comparing two versions, and deleting versions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, TrainingSet
from featurestore.errors import InvalidArgumentError, NotFoundError
from featurestore.frames.training_sets.version_comparison import compared, most_frequent
from featurestore.operations.saved_sets.diff import FeatureSummary, TrainingSetDiff
from tests.conftest import Clock, OpenFeatureStore

START = datetime(2026, 1, 1, tzinfo=UTC)
STATS = FeatureGroup(
    "stats",
    Entity("user", join_keys={"user_id": "string"}),
    features=[Feature("score", "double"), Feature("plan", "string"), Feature("paid", "boolean")],
)


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore) -> FeatureStore:
    fs = open_feature_store(Clock(hours(100)))
    fs.apply([STATS])
    rows = [
        {"user_id": "ann", "event_timestamp": hours(0), "score": 1.0, "plan": "free", "paid": False},
        {"user_id": "bob", "event_timestamp": hours(0), "score": 2.0, "plan": "free"},
        {"user_id": "cid", "event_timestamp": hours(0), "score": 6.0, "plan": "gold", "paid": True},
    ]
    fs.tenant("acme").write_batch("stats", rows)
    return fs


@pytest.fixture(scope="module")
def loader(feature_store: FeatureStore) -> FeatureDataLoader:
    return FeatureDataLoader(feature_store.tenant("acme"))


def spine(*users: str) -> pd.DataFrame:
    return pd.DataFrame(
        {"user_id": users, "event_timestamp": [hours(1)] * len(users), "late": [user == "bob" for user in users]}
    )


@pytest.fixture(scope="module")
def diff(feature_store: FeatureStore, loader: FeatureDataLoader) -> TrainingSetDiff:
    """From the first version to a second with a corrected score, another feature, and other rows."""
    features = ["stats:score", "stats:plan"]
    loader.load_training_data(spine("ann", "ann", "bob", "cid"), features, label="late", name="compared")
    correction = {"user_id": "ann", "event_timestamp": hours(0.5), "score": 5.0, "plan": "free"}
    feature_store.tenant("acme").write_batch("stats", [correction])
    features = [*features, "stats:paid"]
    loader.load_training_data(spine("ann", "bob", "cid", "nobody", "nobody"), features, label="late", name="compared")
    return loader.diff("compared", 1, 2)


def test_a_diff_counts_rows(diff: TrainingSetDiff) -> None:
    assert (diff.rows_a, diff.rows_b) == (4, 5)
    assert (diff.only_a, diff.only_b, diff.both, diff.changed) == (1, 2, 3, 1)
    assert not diff.is_same


def test_a_diff_lists_features_added_and_removed(diff: TrainingSetDiff) -> None:
    assert (diff.features_removed, diff.features_added) == ((), ("paid (boolean)",))


def test_a_diff_summarizes_a_number_in_both_versions(diff: TrainingSetDiff) -> None:
    score, _ = diff.features

    assert (score.name, score.type, score.changed) == ("score", "double", 1)
    assert (score.a.missing, score.a.mean) == (0.0, 2.5)
    assert score.a.stddev == pytest.approx(2.3805, abs=1e-4)
    assert (score.b.missing, score.b.mean) == (0.4, pytest.approx(13 / 3))


def test_a_diff_summarizes_a_text_in_both_versions(diff: TrainingSetDiff) -> None:
    _, plan = diff.features

    assert plan.changed == 0
    assert plan.a == FeatureSummary(0.0, None, None, (("free", 0.75), ("gold", 0.25)))
    assert plan.b == FeatureSummary(0.4, None, None, (("free", 2 / 3), ("gold", 1 / 3)))


def test_a_diff_is_printed_as_text(diff: TrainingSetDiff) -> None:
    lines = str(diff).splitlines()

    assert lines[:4] == [
        "compared v1 -> v2",
        "rows: 4 -> 5; 3 in both, 1 only in v1, 2 only in v2",
        "of those in both, 1 have other feature values",
        "features added: paid (boolean)",
    ]
    assert "  v2: missing 40.0%, free 66.7%, gold 33.3%" in lines


@pytest.mark.usefixtures("diff")
def test_a_version_is_the_same_as_itself_and_a_missing_version_is_refused(loader: FeatureDataLoader) -> None:
    assert loader.diff("compared", 2, 2).is_same
    with pytest.raises(NotFoundError, match=r"has no version 3; it has \[1, 2\]"):
        loader.diff("compared", 1, 3)


A = [
    ("one", 1, "x"), ("one", 2, "x"),
    ("two", 1, None),
    ("gone", 1, "x"), ("gone", 1, "x"),
]  # fmt: skip
B = [
    ("one", 2, "x"), ("one", 3, "x"),
    ("two", None, None),
    ("gone", 1, "x"),
    ("new", 1, "x"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (A, B, {"only_a": 1, "only_b": 1, "both": 4, "changed": 2, "changed_0": 2, "changed_1": 0}),
        (B, A, {"only_a": 1, "only_b": 1, "both": 4, "changed": 2, "changed_0": 2, "changed_1": 0}),
        (A, A, {"only_a": 0, "only_b": 0, "both": 5, "changed": 0, "changed_0": 0, "changed_1": 0}),
        (A, [], {"only_a": 5, "only_b": 0, "both": 0, "changed": 0, "changed_0": 0, "changed_1": 0}),
    ],
)
def test_copies_are_paired_so_that_few_differ(
    spark: SparkSession, first: list[Any], second: list[Any], expected: dict[str, int]
) -> None:
    """Of key ``one``, the row with 2 is in both versions and 1 became 3; a null is a value; a copy of ``gone`` is gone."""
    a, b = (spark.createDataFrame(rows, "key string, n int, text string").repartition(3) for rows in (first, second))

    counts = compared(a, b, ["key"], ["n", "text"]).collect()[0]

    assert counts.asDict() == expected


def test_rows_without_a_common_column_are_never_paired(spark: SparkSession) -> None:
    a, b = spark.createDataFrame([(1,), (1,)], "a int"), spark.createDataFrame([(1,)], "b int")

    assert compared(a, b, [], []).collect()[0].asDict() == {"only_a": 2, "only_b": 1, "both": 0, "changed": 0}


def test_equally_frequent_values_are_in_the_order_of_the_values(spark: SparkSession) -> None:
    rows = spark.createDataFrame([("b", True), ("a", None), (None, True), ("c", False)], "plan string, paid boolean")

    frequent = [tuple(row) for row in most_frequent(rows, ["plan", "paid"], 2).collect()]

    assert frequent == [(0, "a", 1, 1), (0, "b", 1, 2), (1, "true", 2, 1), (1, "false", 1, 2)]


@pytest.fixture(scope="module")
def kept(loader: FeatureDataLoader, diff: TrainingSetDiff) -> TrainingSet:
    """Built after the correction that ``diff`` writes, so that ann's score is 5."""
    return loader.load_training_data(spine("ann"), ["stats:score"], name="kept")


def saved_as(built: TrainingSet, name: str, version: int) -> Path:
    """The same rows published under another name and version; gives their folder."""
    context = built.context
    table = context.training_sets.rows_table("acme", name, version)
    table.append(built.rows)
    changed = {"name": name, "version": version, "location": str(table)}
    context.training_sets.publish(built.manifest.model_copy(update=changed))
    return Path(str(table))


def test_deleted_versions_are_gone_and_their_numbers_are_not_used_again(
    loader: FeatureDataLoader, kept: TrainingSet
) -> None:
    store = kept.context.training_sets
    folders = [saved_as(kept, "deleted", version) for version in (1, 2)]
    with pytest.raises(InvalidArgumentError, match=r"has the versions \[1, 2\]; give version= or all_versions"):
        loader.delete("deleted")

    assert loader.delete("deleted", 2) == (2,)

    assert [folder.exists() for folder in folders] == [True, False]
    assert loader.get("deleted").version == 1
    with pytest.raises(NotFoundError, match=r"has no version 2; it has \[1\]"):
        loader.get("deleted", 2)
    assert store.next_version("acme", "deleted") == 3
    assert loader.delete("deleted", 2) == (2,)
    assert loader.delete("deleted") == (1,)
    assert not folders[0].exists()
    with pytest.raises(NotFoundError, match="was never built, or is deleted"):
        loader.get("deleted")
    assert store.next_version("acme", "deleted") == 3
    assert loader.get("kept").to_pandas().X["score"].tolist() == [5.0]


def test_all_versions_are_deleted_at_once(loader: FeatureDataLoader, kept: TrainingSet) -> None:
    folders = [saved_as(kept, "several", version) for version in (1, 2)]

    assert loader.delete("several", all_versions=True) == (1, 2)

    assert [folder.exists() for folder in folders] == [False, False]
    assert loader.list("several") == []


def test_a_deletion_that_stopped_half_way_is_finished_by_the_next(loader: FeatureDataLoader, kept: TrainingSet) -> None:
    """Unpublished, and its rows are still there: as after a crash between the two steps."""
    folder = saved_as(kept, "half", 1)
    kept.context.training_sets.unpublish("acme", "half", [1])
    assert loader.list("half") == []
    assert folder.exists()

    assert loader.delete("half") == (1,)

    assert not folder.exists()


def test_a_missing_version_cannot_be_deleted(
    feature_store: FeatureStore, loader: FeatureDataLoader, kept: TrainingSet
) -> None:
    with pytest.raises(NotFoundError, match=r"'kep' was never built. Did you mean 'kept'"):
        loader.delete("kep")
    with pytest.raises(NotFoundError, match=r"has no version 7; it has \[1\]"):
        loader.delete("kept", 7)
    with pytest.raises(InvalidArgumentError, match="not both"):
        loader.delete("kept", 1, all_versions=True)
    with pytest.raises(NotFoundError, match="'kept' was never built"):
        FeatureDataLoader(feature_store.tenant("other")).delete("kept")
    assert loader.get("kept").version == kept.version == 1
