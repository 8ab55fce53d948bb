"""Aggregates over calendar buckets: what DuckDB says of the same rows, across both clock changes of New York."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import reduce
from random import Random
from typing import Any, get_args

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore
from featurestore.errors import InvalidArgumentError, NotFoundError, SpineError
from featurestore.frames.statistics.aggregation import FUNCTIONS, Function, aggregate_buckets
from featurestore.frames.statistics.calendar import EVERY, Every
from tests.conftest import Clock, OpenFeatureStore, spark_setting

SENSOR = Entity("sensor", join_keys={"site": "string", "unit": "long"})
FEATURES = [
    Feature("level", "double"),
    Feature("hits", "long"),
    Feature("small", "int"),
    Feature("ratio", "float"),
    Feature("name", "string"),
    Feature("tags", "array<string>"),
    Feature("vector", "embedding(2)"),
]
SKIP = FeatureGroup("skipping", SENSOR, features=FEATURES, partition_by="month")
KEEP = FeatureGroup("keeping", SENSOR, features=FEATURES[:2], nulls="keep", partition_by="month")
DAILY = FeatureGroup("daily", SENSOR, features=FEATURES)
COINS = FeatureGroup("coins", Entity("coin", join_keys={"value": "long"}), features=[Feature("flips", "long")])
NEW_YORK = "America/New_York"
SPRING, AUTUMN = datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
START, END = datetime(2026, 3, 4, 7, 30, tzinfo=UTC), datetime(2026, 11, 4, 7, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
MAY: dict[str, Any] = {"start": "2026-05-01T00:00:00Z", "end": "2026-06-01T00:00:00Z"}


def written_rows(seed: int) -> pa.Table:
    """Values around both clock changes, half of them in the night itself, some missing; many are corrected, some by a null."""
    random = Random(seed)
    rows: list[dict[str, Any]] = []
    for change in (SPRING, AUTUMN):
        for _ in range(250):
            at = change + timedelta(microseconds=random.randrange(-6 * 24 * 3600 * 10**6, 6 * 24 * 3600 * 10**6))
            if random.random() < 0.5:
                at = change + timedelta(minutes=random.randrange(3 * 60, 9 * 60))
            key = {"site": random.choice("ab"), "unit": random.randrange(2), "event_timestamp": at}
            for version in range(random.choice([1, 1, 2, 3])):
                created = at + timedelta(hours=random.randrange(24), microseconds=len(rows))
                level = random.choice([None, random.uniform(-5, 5) * 10**version])
                hits = random.choice([None, random.randrange(-(10**12), 10**12)])
                rows.append(key | {"created_timestamp": created, "level": level, "hits": hits})
    return pa.Table.from_pylist(rows)


ROWS = written_rows(seed=6)


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore) -> FeatureStore:
    fs = open_feature_store(Clock(datetime(2026, 12, 1, tzinfo=UTC)))
    fs.apply([SKIP, KEEP, DAILY, COINS])
    fs.tenant("acme").write_batch("skipping", ROWS)
    fs.tenant("acme").write_batch("keeping", ROWS)
    fs.tenant("other").write_batch(
        "skipping", ROWS.set_column(0, "site", pa.array(["z"] * ROWS.num_rows)).slice(0, 100)
    )
    return fs


@pytest.fixture(scope="module")
def acme(feature_store: FeatureStore) -> OfflineStore:
    return feature_store.tenant("acme")


@pytest.fixture
def session_zone(spark: SparkSession) -> Iterator[None]:
    with spark_setting(spark, "spark.sql.session.timeZone", "Australia/Lord_Howe"):
        yield


@pytest.fixture
def no_ansi(spark: SparkSession) -> Iterator[None]:
    with spark_setting(spark, "spark.sql.ansi.enabled", "false"):
        yield


# The rows that count, by null policy.
RESOLVED = {
    "skip": """SELECT site, unit, event_timestamp, arg_max({0}, created_timestamp) AS value
               FROM rows WHERE {0} IS NOT NULL GROUP BY ALL""",
    "keep": """SELECT site, unit, event_timestamp, {0} AS value FROM rows
               QUALIFY row_number() OVER (PARTITION BY site, unit, event_timestamp ORDER BY created_timestamp DESC) = 1""",
}
IN_DUCKDB = {
    "sum": "sum(value)",
    "avg": "avg(value)",
    "count": "count(value)",
    "min": "min(value)",
    "max": "max(value)",
    "stddev": "stddev_samp(value)",
    "approx_percentile": "quantile_disc(value, 0.3)",
}


def expected(feature: str, nulls: str, every: str, keys: str = "") -> list[dict[str, Any]]:
    # DuckDB's date_trunc gives both of the hours that come twice the start of the second. In New York hours are UTC's.
    start = (
        "time_bucket(INTERVAL 1 hour, event_timestamp)"
        if every == "hour"
        else f"date_trunc('{every}', event_timestamp)"
    )
    values = ", ".join(f"CAST({sql} AS DOUBLE) AS {name}" for name, sql in IN_DUCKDB.items())
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = '{NEW_YORK}'")
        connection.register("rows", ROWS)
        result = connection.sql(
            f"""WITH resolved AS ({RESOLVED[nulls].format(feature)})
                SELECT {keys} {start} AS bucket_start, bucket_start + INTERVAL 1 {every} AS bucket_end, {values}
                FROM resolved
                WHERE value IS NOT NULL AND event_timestamp >= '{START.isoformat()}' AND event_timestamp < '{END.isoformat()}'
                GROUP BY ALL""",
        )
        return in_order(result.to_arrow_table().to_pylist())


def aggregated(store: OfflineStore, feature: str, every: str, by_entity: bool = False) -> list[dict[str, Any]]:
    """By the store: one row per bucket, with one column per function."""
    options = {"every": every, "start": START, "end": END, "time_zone": NEW_YORK, "by_entity": by_entity}
    frames = {
        function: store.aggregate_feature(feature, function, percentile=share_of(function), **options)
        for function in FUNCTIONS
    }
    return by_bucket(frames)


def share_of(function: str) -> float:
    return 0.3 if function == "approx_percentile" else 0.5


def by_bucket(frames: dict[str, DataFrame]) -> list[dict[str, Any]]:
    """The answers of several functions, read in one job: one row per bucket, with one column per function."""
    named = [
        frame.withColumn("value", F.col("value").cast("double")).withColumn("function", F.lit(function))
        for function, frame in frames.items()
    ]
    buckets: dict[Any, dict[str, Any]] = {}
    for row in reduce(DataFrame.unionByName, named).toArrow().to_pylist():
        function, value = row.pop("function"), row.pop("value")
        bucket = buckets.setdefault(tuple(row.values()), row)
        assert function not in bucket
        bucket[function] = value
    return in_order(list(buckets.values()))


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
    return sorted(plain, key=lambda row: [str(row.get(name)) for name in ("site", "unit", "bucket_start")])


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value


@pytest.fixture(scope="module")
def resolved(spark: SparkSession) -> DataFrame:
    """The levels that count, in memory; in one partition, so that nothing is shuffled."""
    with duckdb.connect() as connection:
        connection.register("rows", ROWS)
        values = connection.sql(RESOLVED["skip"].format("level")).to_arrow_table().rename_columns({"value": "level"})
    moments = pc.field("event_timestamp")
    within = values.filter((moments >= pa.scalar(START)) & (moments < pa.scalar(END)))
    return spark.createDataFrame(within).coalesce(1)


@pytest.mark.parametrize("every", EVERY)
def test_every_function_in_every_bucket_agrees_with_duckdb(resolved: DataFrame, every: Every) -> None:
    result = by_bucket({
        function: aggregate_buckets(resolved, [], "level", function, every, NEW_YORK, share_of(function))
        for function in get_args(Function)
    })  # fmt: skip

    assert len(result) > {"hour": 100, "day": 18, "week": 3, "month": 2}[every]
    assert result == expected("level", "skip", every)


def test_nulls_kept_as_values_correct_older_values_and_are_not_counted(acme: OfflineStore, session_zone: None) -> None:
    result = aggregated(acme, "keeping:hits", "day")

    assert result == expected("hits", "keep", "day")
    assert result != expected("hits", "skip", "day")


def test_by_entity_there_is_a_row_per_bucket_and_entity(acme: OfflineStore, session_zone: None) -> None:
    result = aggregated(acme, "skipping:hits", "week", by_entity=True)

    assert list(result[0])[:4] == ["site", "unit", "bucket_start", "bucket_end"]
    assert result == expected("hits", "skip", "week", "site, unit,")


def test_days_of_clock_changes_have_23_and_25_hours_and_a_repeated_hour_is_two_buckets(
    acme: OfflineStore,
) -> None:
    options: dict[str, Any] = {"start": START, "end": END, "time_zone": NEW_YORK}
    days = acme.aggregate_feature("skipping:level", "count", every="day", **options).toArrow().to_pylist()
    lengths = {row["bucket_start"].astimezone(UTC): row["bucket_end"] - row["bucket_start"] for row in days}
    assert lengths[datetime(2026, 3, 8, 5, tzinfo=UTC)] == 23 * HOUR
    assert lengths[datetime(2026, 11, 1, 4, tzinfo=UTC)] == 25 * HOUR
    assert sorted(set(lengths.values())) == [23 * HOUR, 24 * HOUR, 25 * HOUR]

    hours = acme.aggregate_feature("skipping:level", "count", every="hour", **options).toArrow().to_pylist()
    in_the_night = {
        row["bucket_start"].astimezone(UTC).hour for row in hours if row["bucket_start"].date() == AUTUMN.date()
    }
    assert {4, 5, 6, 7} <= in_the_night
    assert {row["bucket_end"] - row["bucket_start"] for row in hours} == {HOUR}


@pytest.fixture(scope="module")
def few(feature_store: FeatureStore) -> OfflineStore:
    """The values of a tenant of its own, one of them corrected: enough to see each rule."""
    store = feature_store.tenant("few")
    at = datetime(2026, 5, 1, tzinfo=UTC)
    a, b = {"site": "a", "unit": 1}, {"site": "b", "unit": 1}
    everything = {"name": "x", "tags": ["t"], "vector": [1.0, 2.0], "small": 2**31 - 1, "ratio": 0.5}
    store.write_batch(
        "skipping",
        [
            {**a, "event_timestamp": at, "hits": 2**62, **everything},
            {**a, "event_timestamp": at + HOUR, "hits": 2**62, **everything},
            {**b, "event_timestamp": at + 2 * HOUR, "hits": -1, **everything},
            {**b, "event_timestamp": at + 24 * HOUR, "hits": 7, "name": "y"},
            {**a, "event_timestamp": "1969-12-31T23:59:59.999999Z", "level": 1.0},
            {**a, "event_timestamp": "1970-01-01T00:00:00Z", "level": 1.0},
            {**a, "event_timestamp": "1883-11-18T12:00:00.000001Z", "level": 1.0},
        ],
    )
    later = datetime(2026, 12, 2, tzinfo=UTC)
    store.write_batch("skipping", [{**b, "event_timestamp": at + 24 * HOUR, "hits": 8, "created_timestamp": later}])
    return store


def daily_values(store: OfflineStore, feature: str, function: str, **more: Any) -> list[Any]:
    """The values of the days of May 2026, in order. Sorted here, since Spark runs a job more to sort."""
    days = store.aggregate_feature(feature, function, **MAY | more).collect()
    return [day["value"] for day in sorted(days, key=lambda day: day["bucket_start"])]


def test_sums_of_whole_numbers_are_exact_in_any_order_or_an_error(few: OfflineStore, no_ansi: None) -> None:
    # 2^62 + 2^62 does not fit, and together with -1 it does.
    assert daily_values(few, "skipping:hits", "sum") == [2**63 - 1, 8]
    with pytest.raises(Exception, match="the sum of hits in a bucket is 9223372036854775808, beyond a long"):
        daily_values(few, "skipping:hits", "sum", entities={"site": "a", "unit": 1})
    assert daily_values(few, "skipping:small", "sum") == [3 * (2**31 - 1)]


@pytest.mark.parametrize(
    ("feature", "function", "kind"),
    [
        ("hits", "sum", "bigint"),
        ("small", "sum", "bigint"),
        ("ratio", "sum", "double"),
        ("hits", "avg", "double"),
        ("ratio", "count", "bigint"),
        ("small", "max", "int"),
        ("ratio", "approx_percentile", "float"),
        ("hits", "stddev", "double"),
    ],
)
def test_the_types_of_values(few: OfflineStore, feature: str, function: str, kind: str) -> None:
    aggregate = few.aggregate_feature(f"skipping:{feature}", function, start=START, end=END)

    assert aggregate.schema["value"].dataType.simpleString() == kind


def test_whole_numbers_beyond_2_to_53_stay_values_of_the_feature(spark: SparkSession) -> None:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    values = [2**53 + 1, 2**53 + 3, 2**60 + 1, 2**62 + 1, 2**63 - 3, 2**63 - 2, 2**63 - 1]
    times = [at + number * HOUR for number in range(len(values))]
    rows = spark.createDataFrame(pa.table({"event_timestamp": times, "hits": values})).coalesce(1)

    def daily(frame: DataFrame, function: Function, share: float = 0.5) -> DataFrame:
        return aggregate_buckets(frame, [], "hits", function, "day", "UTC", share).select("value")

    ranks = [(0, 1), (1 / 7, 1), (0.3, 3), (0.5, 4), (4 / 7, 4), (0.9, 7), (1, 7), (1e-300, 1)]
    wanted = [(str(share), values[rank - 1]) for share, rank in ranks] + [("min", 2**53 + 1), ("max", 2**63 - 1)]
    answers = [daily(rows, "approx_percentile", share) for share, _ in ranks] + [daily(rows, "min"), daily(rows, "max")]
    named = [answer.withColumn("what", F.lit(what)) for answer, (what, _) in zip(answers, wanted, strict=True)]

    found = {row["what"]: row["value"] for row in reduce(DataFrame.union, named).collect()}

    assert found == dict(wanted)
    [average] = daily(rows.where(F.col("event_timestamp") >= F.lit(at + 4 * HOUR)), "avg").collect()
    assert average["value"] == (3 * 2**63 - 6) / 3


def test_a_spread_needs_two_values(few: OfflineStore) -> None:
    assert daily_values(few, "skipping:hits", "stddev", entities={"site": "b", "unit": 1}) == [None, None]
    assert daily_values(few, "skipping:hits", "stddev", every="month", entities={"site": "b", "unit": 1}) == [
        pytest.approx(81**0.5 / 2**0.5)
    ]


@pytest.mark.parametrize("feature", ["name", "tags", "vector", "ratio"])
def test_values_of_every_type_are_counted(few: OfflineStore, feature: str) -> None:
    assert daily_values(few, f"skipping:{feature}", "count") == ([3, 1] if feature == "name" else [3])


def test_the_start_is_in_and_the_end_is_not(few: OfflineStore) -> None:
    def counted(start: str, end: str) -> list[Any]:
        return daily_values(few, "skipping:hits", "count", start=f"2026-05-01T{start}Z", end=f"2026-05-01T{end}Z")

    assert counted("00:00:00", "02:00:00") == [2]
    assert counted("00:00:00.000001", "02:00:00.000001") == [2]
    assert counted("00:00:00.000001", "02:00:00") == [1]
    assert counted("03:00:00", "04:00:00") == []


def test_a_bucket_that_the_window_cuts_keeps_its_bounds(few: OfflineStore) -> None:
    window = {"start": "2026-05-01T00:30:00Z", "end": "2026-05-01T01:30:00Z"}
    [row] = few.aggregate_feature("skipping:hits", "count", every="month", **window).toArrow().to_pylist()

    assert row["bucket_start"].astimezone(UTC) == datetime(2026, 5, 1, tzinfo=UTC)
    assert row["bucket_end"].astimezone(UTC) == datetime(2026, 6, 1, tzinfo=UTC)
    assert row["value"] == 1


def test_only_values_of_the_requested_entities_count(few: OfflineStore) -> None:
    named = pd.DataFrame({"site": ["a", "zzz"], "unit": [1, 1]})

    assert daily_values(few, "skipping:name", "count", entities=named) == [2]
    assert daily_values(few, "skipping:name", "count", entities=[]) == []
    with pytest.raises(SpineError, match="'unit'"):
        daily_values(few, "skipping:name", "count", entities=named[["site"]])


def test_before_1970(few: OfflineStore) -> None:
    result = few.aggregate_feature("skipping:level", "sum", every="day", start="1800-01-01T00:00:00Z", end=END)

    rows = sorted(
        (row["bucket_start"].astimezone(UTC).isoformat(), row["value"]) for row in result.toArrow().to_pylist()
    )
    assert rows == [
        ("1883-11-18T00:00:00+00:00", 1.0),
        ("1969-12-31T00:00:00+00:00", 1.0),
        ("1970-01-01T00:00:00+00:00", 1.0),
    ]


def test_a_scan_reads_only_the_window_s_partitions_and_the_needed_columns(
    acme: OfflineStore, spark: SparkSession
) -> None:
    def scan(feature: str, function: str, entities: Any = None) -> str:
        result = acme.aggregate_feature(
            feature, function, start="2026-03-08T12:00:00Z", end="2026-03-10T00:00:00Z", entities=entities
        )
        spark.conf.set("spark.sql.maxMetadataStringLength", "100000")
        plan = str(result._jdf.queryExecution().executedPlan().toString())
        spark.conf.unset("spark.sql.maxMetadataStringLength")
        [line] = re.findall("FileScan parquet.*", plan)
        return line

    daily = scan("daily:level", "avg", {"site": "a", "unit": 1})
    assert re.search(r"tenant_id#\d+ = acme", daily)
    assert re.search(r"event_date#\d+ >= 2026-03-08", daily)
    assert re.search(r"event_date#\d+ <= 2026-03-09", daily)
    assert "EqualTo(site,a)" in daily
    assert daily.endswith(
        "ReadSchema: struct<site:string,unit:bigint,event_timestamp:timestamp,created_timestamp:timestamp,level:double>"
    )
    assert re.search(r"event_date#\d+ >= 2026-03-01", scan("keeping:hits", "sum"))
    # The count of an embedding reads the model version next to it.
    counted = scan("skipping:vector", "count")
    assert "vector__model_version:string" in counted
    assert "vector:array" not in counted


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"function": "average"}, "function is 'average'; possible: sum, avg, count, min, max, stddev, approx_percentile"),
        ({"function": "maxx"}, "Did you mean 'max'"),
        ({"function": None}, "function is None"),
        ({"every": "weeks"}, "every is 'weeks'; possible: hour, day, week, month. Did you mean 'week'"),
        ({"time_zone": "America/Newyork"}, "Did you mean 'America/New_York'"),
        ({"time_zone": ""}, "time_zone '' is not known"),
        ({"feature": "skipping:name"}, "'skipping:name' is string, and avg needs a number .*; possible for string: count"),
        ({"feature": "skipping:tags", "function": "min"}, r"is array<string>, and min needs a number"),
        ({"feature": "skipping:vector", "function": "sum"}, r"is embedding\(2\), and sum needs a number"),
        ({"start": END, "end": START}, "is not before its end"),
        ({"end": START}, "is not before its end"),
        ({"start": "2026-01-01"}, "start: .* give an instant with its offset"),
        ({"percentile": 1.5, "function": "approx_percentile"}, "percentile is 1.5; give a share from 0 to 1"),
        ({"percentile": float("nan"), "function": "approx_percentile"}, "percentile is nan"),
        ({"percentile": True, "function": "approx_percentile"}, "percentile is True"),
        ({"percentile": 0.9}, "percentile is for the function approx_percentile, and avg was asked"),
        ({"entities": "a"}, "give a mapping of the join keys of 'sensor'"),
        ({"entities": {"site": "a"}}, r"join keys \['unit'\] of 'sensor' are missing"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_explained(acme: OfflineStore, changed: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"feature": "skipping:level", "function": "avg", "start": START, "end": END}
    with pytest.raises(InvalidArgumentError, match=message):
        acme.aggregate_feature(**(options | changed))


def test_unknown_names_offer_the_nearest(acme: OfflineStore) -> None:
    with pytest.raises(NotFoundError, match="'skipping'"):
        acme.aggregate_feature("skiping:level", "avg", start=START, end=END)
    with pytest.raises(NotFoundError, match="'level'"):
        acme.aggregate_feature("skipping:levl", "avg", start=START, end=END)


def test_a_join_key_named_like_a_column_of_the_answer(acme: OfflineStore) -> None:
    options: dict[str, Any] = {"start": START, "end": END}
    with pytest.raises(InvalidArgumentError, match="ask without by_entity"):
        acme.aggregate_feature("coins:flips", "sum", by_entity=True, **options)
    assert acme.aggregate_feature("coins:flips", "sum", **options).columns == ["bucket_start", "bucket_end", "value"]
