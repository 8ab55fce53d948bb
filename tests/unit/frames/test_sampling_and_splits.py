"""Which rows a sample and a part have: exact in number, by content and seed alone, whatever the partitioning."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.columnar.training_sets.missing import check_missing
from featurestore.columnar.training_sets.sampling import largest_remainders
from featurestore.definitions.training_set import EntitySplit, Missing, RandomSplit
from featurestore.errors import DefinitionError, InvalidArgumentError, SpineError
from featurestore.frames.training_sets.missing import with_missing
from featurestore.frames.training_sets.sampling import sample_rows
from featurestore.frames.training_sets.splits import hash_cuts, split_by_hash, split_by_time

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    """A thousand rows of 100 users; ``label`` is true for 7 in 100, and null for 1 in 100."""
    ids = F.col("id")
    label = F.when(ids % 100 == 99, F.lit(None)).otherwise(ids % 100 < 7)
    return spark.range(1000).select(ids, F.concat(F.lit("u"), ids % 100).alias("user"), label.alias("label")).cache()


def permuted(frame: DataFrame) -> list[DataFrame]:
    return [frame, frame.repartition(5), frame.orderBy(F.desc("id")).coalesce(1)]


@given(
    counts=st.dictionaries(st.integers(), st.integers(min_value=1, max_value=10_000), max_size=30),
    size=st.integers(min_value=1, max_value=20_000),
)
def test_largest_remainders_are_exact_and_within_one_of_each_share(counts: dict[int, int], size: int) -> None:
    quotas = largest_remainders(counts, size)

    total = sum(counts.values())
    assert sum(quotas.values()) == min(size, total)
    for key, quota in quotas.items():
        assert quota <= counts[key]
        assert abs(quota - min(size, total) * counts[key] / total) < 1


@pytest.mark.parametrize("size", [1, 10, 100, 333, 1000, 5000])
def test_a_stratified_sample_keeps_the_shares_and_is_exact(rows: DataFrame, size: int) -> None:
    sampled = Counter(row.label for row in sample_rows(rows, size, 3, ["label"]).collect())

    assert sum(sampled.values()) == min(size, 1000)
    for label, count in {True: 70, False: 920, None: 10}.items():
        assert abs(sampled[label] - min(size, 1000) * count / 1000) < 1


def test_a_sample_is_the_same_on_any_partitioning_and_another_for_another_seed(rows: DataFrame) -> None:
    samples = [
        sorted(row.id for row in sample_rows(frame, 100, seed, ["label"]).collect())
        for seed in (0, 1)
        for frame in permuted(rows)
    ]

    assert samples[0] == samples[1] == samples[2]
    assert samples[3] == samples[4] == samples[5]
    assert samples[0] != samples[3]
    assert len(set(samples[0])) == 100


def test_a_sample_of_equal_rows_has_as_many_as_asked(spark: SparkSession) -> None:
    same = spark.range(50).select(F.lit("a").alias("x"))

    assert sample_rows(same, 20, 0).count() == 20
    assert sample_rows(same.limit(0), 20, 0).count() == 0


def test_strata_that_are_identities_are_refused(spark: SparkSession) -> None:
    with pytest.raises(SpineError, match="more than 1000 strata"):
        sample_rows(spark.range(1001), 10, 0, ["id"])


def parts(frame: DataFrame) -> dict[str, set[Any]]:
    ids_by_part: dict[str, set[Any]] = {}
    for row in frame.collect():
        ids_by_part.setdefault(row.split, set()).add(row.id)
    return ids_by_part


def test_a_random_split_is_exact_and_of_content_alone(rows: DataFrame) -> None:
    split = RandomSplit(validation=0.1, test=0.255)
    splits = []
    for frame in permuted(rows):
        cuts = hash_cuts(frame, ["id", "user"], split, 7)
        splits.append(parts(split_by_hash(frame, ["id", "user"], 7, *cuts)))

    assert splits[0] == splits[1] == splits[2]
    assert {part: len(ids) for part, ids in splits[0].items()} == {"train": 645, "validation": 100, "test": 255}
    other_cuts = hash_cuts(rows, ["id", "user"], split, 8)
    assert parts(split_by_hash(rows, ["id", "user"], 8, *other_cuts)) != splits[0]


def test_an_entity_is_on_one_side_and_entities_are_counted_exactly(rows: DataFrame) -> None:
    cuts = hash_cuts(rows, ["user"], EntitySplit(validation=0.2, test=0.3), 1)
    divided = split_by_hash(rows, ["user"], 1, *cuts)

    users = divided.groupBy("user").agg(F.collect_set("split").alias("parts")).collect()
    assert {len(row.parts) for row in users} == {1}
    assert Counter(row.parts[0] for row in users) == {"train": 50, "validation": 20, "test": 30}


def test_no_validation_and_a_share_of_nothing_leave_those_parts_empty(rows: DataFrame) -> None:
    assert set(parts(split_by_hash(rows, ["id"], 0, *hash_cuts(rows, ["id"], RandomSplit(test=0.5), 0)))) == {
        "train",
        "test",
    }
    assert hash_cuts(rows.limit(1), ["id"], RandomSplit(test=0.1), 0) == (None, None)


def test_an_embargo_leaves_a_gap_before_each_later_part(spark: SparkSession) -> None:
    micros = F.lit(int(START.timestamp()) * 10**6) + F.col("id") * 3_600_000_000
    hours = spark.range(10).select("id", F.timestamp_micros(micros).alias("at"))

    divided = split_by_time(hours, "at", START + timedelta(hours=4), START + timedelta(hours=8), timedelta(hours=2))

    assert [row.split for row in divided.orderBy("id").collect()] == [
        "train", "train", "train", "embargo", "validation", "validation", "validation", "embargo", "test", "test",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomSplit(test=0.5, validation=0.5), "nothing to train on"),
        (lambda: RandomSplit(test=1.5), "less than 1"),
        (lambda: EntitySplit(validation=0.2), "test: missing"),
    ],
)
def test_a_split_that_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        make()


def test_missing_values_are_kept_dropped_or_filled(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(1, None, "a"), (2, 0.5, None), (3, 0.5, "a")], "id int, score double, plan string")

    def rows_with(missing: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in with_missing(frame, ["score", "plan"], missing).orderBy("id").collect()]

    assert rows_with("keep") == [(1, None, "a"), (2, 0.5, None), (3, 0.5, "a")]
    assert rows_with("drop") == [(3, 0.5, "a")]
    assert rows_with({"score": -1, "plan": "none"}) == [(1, -1.0, "a"), (2, 0.5, "none"), (3, 0.5, "a")]
    assert rows_with({"plan": "none"}) == [(1, None, "a"), (2, 0.5, "none"), (3, 0.5, "a")]


FEATURE_TYPES = {
    "score": "double",
    "ratio": "float",
    "visits": "bigint",
    "age": "int",
    "plan": "string",
    "born": "date",
}


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (0, "does not fit feature 'plan'"),
        ("none", "does not fit feature 'score'"),
        ({"visits": 0.5}, "does not fit feature 'visits'"),
        ({"scor": 0}, "Did you mean 'score'"),
        ({3: 0}, r"names \[3\]"),
        ({"score": True}, "does not fit"),
        ({"score": None}, "missing=None does not fit feature 'score' .*a number is needed"),
        ({"score": math.nan}, "missing=nan does not fit feature 'score' .*not a finite number"),
        ({"ratio": math.inf}, "not a finite number"),
        ({"ratio": 1e39}, "beyond the range of float"),
        ({"ratio": 2**24 + 1}, "16777217 is not exact as float; the nearest that it holds is 16777216"),
        ({"score": 2**53 + 1}, "not exact as double"),
        ({"score": 10**400}, "beyond the range of double"),
        ({"visits": 10**20}, "the type holds -9223372036854775808 to 9223372036854775807"),
        ({"visits": 2.0**63}, "the type holds"),
        ({"age": 2**31}, "the type holds -2147483648 to 2147483647"),
        ({"visits": math.nan}, "not a finite number"),
        ({"plan": "\ud800"}, "half a surrogate pair"),
        ({"plan": pd.NA}, "a text is needed"),
        (pd.NA, "does not fit feature 'score'"),
        ({"born": "2026-11-01"}, "cannot be filled"),
    ],
)
def test_a_filling_that_no_feature_can_hold_is_refused(missing: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        check_missing(missing, FEATURE_TYPES)


def test_a_filling_is_the_value_that_the_type_holds(spark: SparkSession) -> None:
    types = {"score": "double", "ratio": "float", "visits": "bigint", "age": "int", "plan": "string"}
    frame = spark.createDataFrame([(None,) * 5], ", ".join(f"{name} {kind}" for name, kind in types.items()))
    missing: dict[str, Any] = {"score": 2**53, "ratio": 0.5, "visits": 2**53 + 1, "age": 7.0, "plan": "keep"}

    check_missing(missing, FEATURE_TYPES)
    [row] = with_missing(frame, list(types), missing).collect()

    assert tuple(row) == (2.0**53, 0.5, 2**53 + 1, 7, "keep")


@pytest.mark.parametrize("missing", ["keep", True, 2**53 + 1, -1, 0.5, "none", {"a": 2**62 + 1, "b": True, "c": "0"}])
def test_a_filling_is_read_back_from_json_as_it_was(missing: Any) -> None:
    kinds: TypeAdapter[Any] = TypeAdapter(Missing)

    back = kinds.validate_json(kinds.dump_json(kinds.validate_python(missing)))

    assert (back, type(back)) == (missing, type(missing))
