"""What the as-of join leaves out of its scans, shuffles and sorts, read from physical plans; and that answers stay."""

import re
from bisect import bisect_right
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Lookup, OfflineStore, Settings
from featurestore.frames.as_of.hot_keys import CHUNK, MOST_CHUNKS, HotKey, hot_keys, hot_table, in_chunks
from featurestore.frames.as_of.key_filter import with_bloom_filter
from featurestore.frames.as_of.key_sampling import KeySpread, key_spread
from featurestore.operations.as_of import shuffle_plan
from featurestore.operations.as_of.shuffle_plan import chunks_by_key, key_filter
from tests.physical_plans import plan_of

DAY = timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)
USER = Entity("user", join_keys={"user_id": "long"})
STATS = FeatureGroup(
    "stats",
    USER,
    features=[Feature("score", "double"), Feature("unasked", "double"), Feature("vector", "embedding(2)")],
    ttl=2 * DAY,
)
LEVELS = FeatureGroup("levels", USER, features=[Feature("level", "long")])
USERS, DAYS = 150, 6


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(warehouse=str(tmp_path_factory.mktemp("plans") / "warehouse"), as_of_host="by_shuffle")


@pytest.fixture(scope="module")
def acme(settings: Settings, spark: SparkSession) -> OfflineStore:
    """Every user has a value a day in both groups; day d of user u has score u + d / 10."""
    feature_store = FeatureStore.open(settings, spark=spark)
    feature_store.apply([STATS, LEVELS])
    feature_store._context.table(STATS).values.set_properties({"delta.enableRowTracking": "true"})
    written = [(user, day) for user in range(USERS) for day in range(DAYS)]
    rows = pa.table(
        {
            "user_id": [user for user, _ in written],
            "event_timestamp": pa.array([START + day * DAY for _, day in written], pa.timestamp("us", tz="UTC")),
            "score": [user + day / 10 for user, day in written],
            "vector": [[float(user), float(day)] for user, day in written],
            "level": [user * 10 + day for user, day in written],
        }
    )
    tenant = feature_store.tenant("acme")
    tenant.write_batch("stats", rows.drop_columns("level"))
    tenant.write_batch("levels", rows.select(["user_id", "event_timestamp", "level"]))
    return tenant


@pytest.fixture
def no_spine_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shuffle_plan, "_SMALL_SPINE", 0)


def spine_of(spark: SparkSession, users: int, days: range = range(3, 5), **more: str) -> DataFrame:
    """A row a user and day, at noon; ``more`` are SQL expressions of further columns."""
    at = F.timestamp_micros(
        F.lit(int(START.timestamp()) * 10**6) + (F.col("day").cast("bigint") * 24 + 12) * 3600 * 10**6
    )
    rows = spark.range(users).withColumnRenamed("id", "user_id")
    rows = rows.withColumn("day", F.explode(F.array(*(F.lit(day) for day in days)))).withColumn("event_timestamp", at)
    return rows.select("user_id", "event_timestamp", *(F.expr(sql).alias(name) for name, sql in more.items()))


def lines_of(plan: str, operator: str) -> list[str]:
    return [line for line in plan.splitlines() if re.match(rf"[\s:|+*()\d-]*{operator}\b", line)]


def scores(frame: DataFrame) -> list[tuple[int, float]]:
    return sorted((row["user_id"], row["score"]) for row in frame.select("user_id", "score").toArrow().to_pylist())


def scores_expected(users: int, days: range = range(3, 5)) -> list[tuple[int, float]]:
    return [(user, user + day / 10) for user in range(users) for day in days]


def test_a_scan_reads_the_tenants_partitions_of_the_spines_dates_and_the_requested_columns(
    spark: SparkSession, acme: OfflineStore
) -> None:
    result = acme.get_point_in_time(spine_of(spark, 120), ["stats:score"])
    (scan,) = lines_of(plan_of(result), "FileScan parquet")
    assert "(tenant_id" in scan
    assert "= acme" in scan
    # From the first day of the spine less the TTL to its last day.
    assert "2026-03-02" in re.search(r"event_date#\d+ >= (\S+)\)", scan)[1]
    assert "2026-03-05" in re.search(r"event_date#\d+ <= (\S+)\)", scan)[1]
    assert re.search(
        r"ReadSchema: struct<user_id:bigint,event_timestamp:timestamp,created_timestamp:timestamp,score:double>", scan
    )
    assert scores(result) == scores_expected(120)


def test_few_keys_are_named_in_the_plan(spark: SparkSession, acme: OfflineStore) -> None:
    result = acme.get_point_in_time(spine_of(spark, 3), ["stats:score"])
    (scan,) = lines_of(plan_of(result), "FileScan parquet")
    assert "In(user_id, [0,1,2])" in scan
    assert scores(result) == scores_expected(3)


def test_some_keys_are_broadcast(spark: SparkSession, acme: OfflineStore) -> None:
    result = acme.get_point_in_time(spine_of(spark, 120), ["stats:score"])
    assert "LeftSemi, BuildRight" in plan_of(result)
    assert scores(result) == scores_expected(120)


@pytest.mark.parametrize(("most_broadcast", "operator"), [(1000, "LeftSemi, BuildRight"), (0, "getbit")])
def test_many_keys_are_broadcast_or_in_a_bloom_filter_where_that_is_selective(
    spark: SparkSession,
    settings: Settings,
    acme: OfflineStore,
    no_spine_is_small: None,
    monkeypatch: pytest.MonkeyPatch,
    most_broadcast: int,
    operator: str,
) -> None:
    monkeypatch.setattr(shuffle_plan, "_KNOWN", 0)
    monkeypatch.setattr(shuffle_plan, "_BROADCAST", most_broadcast)
    # The sample that estimates the number of keys then has all rows.
    acme = FeatureStore.open(settings.model_copy(update={"hot_key_rows": 1000}), spark=spark).tenant("acme")
    selective = acme.get_point_in_time(spine_of(spark, 20), ["stats:score"])
    assert operator in plan_of(selective)
    assert scores(selective) == scores_expected(20)
    of_everyone = acme.get_point_in_time(spine_of(spark, USERS), ["stats:score"])
    assert operator not in plan_of(of_everyone)
    assert scores(of_everyone) == scores_expected(USERS)


def test_a_bloom_filter_keeps_every_requested_key_and_few_others(spark: SparkSession) -> None:
    values = spark.range(20_000).select(F.col("id").alias("a"), F.col("id").cast("string").alias("b"))
    keys = values.where("a % 40 = 0")
    passed = {row["a"] for row in with_bloom_filter(values, keys, 500).collect()}
    assert passed >= set(range(0, 20_000, 40))
    assert len(passed) < 500 + 19_500 // 8


def test_the_number_of_requested_and_stored_keys_chooses_the_key_filter() -> None:
    assert key_filter(spine_keys=50_000, value_keys=90_000) == "none"
    assert key_filter(spine_keys=50_000, value_keys=100_000) == "broadcast"
    assert key_filter(spine_keys=1_000_000, value_keys=9_000_000) == "bloom"
    assert key_filter(spine_keys=9_000_000, value_keys=90_000_000) == "none"


def test_a_sample_estimates_the_number_of_keys(spark: SparkSession) -> None:
    rows = spark.range(200_000).select(F.pmod(F.xxhash64("id"), F.lit(20_000)).alias("key"))
    spread = key_spread(rows, ["key"], hot_key_rows=100_000)
    assert spread.sampled_keys < 2_500
    assert 0.7 < spread.keys / 20_000 < 1.4
    assert 0.9 < spread.rows / 200_000 < 1.1


def test_a_key_is_hot_by_its_rows_in_all_frames_together() -> None:
    spreads = [
        KeySpread(10_000, {(1,): 600, (2,): 900, (3,): 2_000}, 0, 0, 0),
        KeySpread(10_000, {(1,): 500}, 0, 0, 0),
    ]
    assert chunks_by_key(spreads, hot_key_rows=1_000) == {(1,): 3, (3,): 4}


@pytest.mark.parametrize("number", [1, 2, 100, MOST_CHUNKS - 1])
def test_a_rows_chunk_is_the_number_of_starts_at_or_before_it(spark: SparkSession, number: int) -> None:
    starts = [20 * index for index in range(1, number + 1)]
    moments = [*range(-1, 20 * number + 40, 7), *starts, *(start - 1 for start in starts)]
    rows = spark.createDataFrame([(1, moment) for moment in moments] + [(2, 10**6), (1, None)], "key long, moment long")
    hot = spark.createDataFrame(hot_table([HotKey((1,), tuple(starts))], ["key"]))
    chunks = {(row["key"], row["moment"]): row[CHUNK] for row in in_chunks(rows, hot, "moment").collect()}
    expected = {(1, moment): bisect_right(starts, moment) for moment in moments}
    assert chunks == expected | {(2, 10**6): 0, (1, None): 0}


def test_hot_keys_are_cut_into_equal_parts_between_instants(spark: SparkSession) -> None:
    """Key 1 has 1,000 moments, spine rows (odd) among them; all rows of key 2 are of one instant."""
    rows = spark.range(2_000).select(
        (F.col("id") % 2 + 1).alias("key"), F.expr("if(id % 2 = 0, id, 8)").alias("moment")
    )
    keys = rows.select("key").distinct()
    cuts = hot_keys(rows, "moment", {(1,): 4, (2,): 4}, keys, sample_rate=1.0)
    (cut,) = cuts
    assert cut.key == (1,)
    assert all(start % 2 == 0 for start in cut.starts)
    assert [round(start / 500) for start in cut.starts] == [1, 2, 3]


def test_repeated_examples_are_looked_up_once(spark: SparkSession, acme: OfflineStore, no_spine_is_small: None) -> None:
    once = spine_of(spark, 30, label="user_id % 2")
    repeated = once.withColumn("copy", F.explode(F.array(F.lit(1), F.lit(2), F.lit(3))))
    result = acme.get_point_in_time(repeated, ["stats:score"])
    plan = plan_of(result)
    (sort,) = [line for line in lines_of(plan, "Sort") if "__moment" in line]
    below_window = plan[plan.index(lines_of(plan, "Window")[0]) :]
    assert "HashAggregate(keys=[__example_1" in below_window
    assert "copy" not in sort
    assert scores(result) == sorted(scores_expected(30) * 3)
    assert "__example_1" not in plan_of(acme.get_point_in_time(once, ["stats:score"]))


def test_wide_spine_columns_are_not_sorted(spark: SparkSession, acme: OfflineStore, no_spine_is_small: None) -> None:
    wide = spine_of(spark, 30, document="array_repeat(cast(user_id as string), 100)")
    result = acme.get_point_in_time(wide, ["stats:score", "levels:level"])
    plan = plan_of(result)
    below_windows = plan[plan.index(lines_of(plan, "Window")[0]) :]
    assert "document" in plan
    assert "document" not in below_windows.split("Exchange hashpartitioning(__example_1")[0]
    assert scores(result) == scores_expected(30)
    assert {len(row["document"]) for row in result.collect()} == {100}


def test_arrays_of_a_table_that_tracks_rows_are_not_sorted_but_joined_back(
    spark: SparkSession, acme: OfflineStore
) -> None:
    result = acme.get_point_in_time(spine_of(spark, 120), ["stats:vector"])
    plan = plan_of(result)
    assert "ShuffledHashJoin" in plan
    assert "BuildLeft" in plan
    (window,) = lines_of(plan, "Window")
    assert "vector" not in window
    (sort,) = lines_of(plan, "Sort")
    assert "vector" not in sort
    rows = {(row["user_id"], tuple(row["vector"])) for row in result.select("user_id", "vector").toArrow().to_pylist()}
    assert rows == {(user, (user, day)) for user in range(120) for day in range(3, 5)}


def test_lookups_by_one_key_shuffle_the_spine_once(spark: SparkSession, acme: OfflineStore) -> None:
    result = acme.get_point_in_time(spine_of(spark, 120, label="user_id + 1"), ["stats:score", "levels:level"])
    shuffles = lines_of(plan_of(result), "Exchange hashpartitioning")
    # The spine with the first group's values, and the second group's values.
    assert len(shuffles) == 2
    assert scores(result) == scores_expected(120)
    levels = {(row["user_id"], row["level"]) for row in result.select("user_id", "level").collect()}
    assert levels == {(user, user * 10 + day) for user in range(120) for day in range(3, 5)}


def test_hot_keys_are_cut_in_time(
    spark: SparkSession, acme: OfflineStore, settings: Settings, no_spine_is_small: None
) -> None:
    cutting = FeatureStore.open(settings.model_copy(update={"hot_key_rows": 6}), spark=spark).tenant("acme")
    features = ["stats:score", Lookup("levels", ["level"])]
    spine = spine_of(spark, 20, days=range(6))
    result = cutting.get_point_in_time(spine, features, with_timestamps=True)
    assert "__chunk" in lines_of(plan_of(result), "Sort")[0]
    whole = acme.get_point_in_time(spine, features, with_timestamps=True)
    assert "__chunk" not in plan_of(whole)
    of_both = [sorted(map(tuple, frame.collect())) for frame in (result, whole)]
    assert of_both[0] == of_both[1]
    assert [(row[0], row[2]) for row in of_both[0]] == scores_expected(20, range(6))
