"""Statistics of features, date by date: against DuckDB on the same rows, and only where rows changed."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureGroup, FeatureStatistics, FeatureStore, OfflineStore
from featurestore.errors import InvalidArgumentError, NotFoundError
from featurestore.frames.statistics.feature_profile import lines as feature_lines
from featurestore.frames.statistics.feature_profile import merged_lines
from featurestore.operations.context import Scope
from featurestore.operations.statistics.profile import profile
from featurestore.stores.group_table import GroupTable
from featurestore.stores.layout import Layout
from tests.conftest import Clock, OpenFeatureStore

USER = Entity("user", join_keys={"user_id": "string"})
# More features than are profiled at once.
MANY = [Feature(f"extra_{number}", "int") for number in range(5)]
STATS = FeatureGroup(
    "stats",
    USER,
    features=[
        Feature("score", "double"),
        Feature("level", "float"),
        Feature("visits", "long"),
        Feature("age", "int"),
        Feature("active", "boolean"),
        Feature("plan", "string"),
        Feature("seen", "timestamp"),
        Feature("born", "date"),
        Feature("sizes", "array<double>"),
        Feature("tags", "array<string>"),
        Feature("raw", "json"),
        Feature("text", "embedding(2)"),
        *MANY,
    ],
)
ORDERS = FeatureGroup("orders", USER, features=[Feature("amount", "double"), Feature("shop", "string")])
BILLS = FeatureGroup("bills", USER, features=[Feature("amount", "double")], partition_by="month", nulls="keep")
NOW = datetime(2026, 12, 1, tzinfo=UTC)
DAYS = [date(2026, 11, day) for day in (1, 2, 3)]
USERS = 90


def at(day: date, minute: int) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minute)


def row(day: date, number: int, **changed: Any) -> dict[str, Any]:
    """A user's row, with a null in every eleventh score; all of it follows from the day and the number."""
    seed = (day.day * 1009 + number * 7919) % 1000
    return {
        "user_id": f"u{number}",
        "event_timestamp": at(day, 10 * number),
        "score": None if number % 11 == 0 else seed / 7 - 40,
        "level": seed / 8,
        "visits": seed % 13 - 2**20,
        "age": seed % 70,
        "active": seed % 3 == 0,
        "plan": ["free", "plus", "pro", "größe"][seed % 7 % 4],
        "seen": at(day, seed) + timedelta(microseconds=seed),
        "born": date(1970, 1, 1) + timedelta(days=seed - 300),
        "sizes": [0.5] * (seed % 4),
        "tags": ["x"] * (seed % 3),
        "raw": '{"a": 1}' if seed % 2 else None,
        "text": [3.0 * (seed % 2 + 1), 4.0 * (seed % 2 + 1)],
        **{feature.name: seed % (index + 2) for index, feature in enumerate(MANY)},
    } | changed


def rows_of(day: date) -> list[dict[str, Any]]:
    return [row(day, number) for number in range(USERS)]


# Later writes of the same users and moments; what is null in them was not written.
CORRECTIONS = [
    {"user_id": "u1", "event_timestamp": at(DAYS[0], 10), "score": 1000.0, "plan": "corrected"},
    {"user_id": "u2", "event_timestamp": at(DAYS[0], 20), "visits": 5},
]


def corrected(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """What counts, by a plain loop."""
    latest: dict[Any, dict[str, Any]] = {}
    for correction in rows:
        known = latest.setdefault((correction["user_id"], correction["event_timestamp"]), {})
        known |= {name: value for name, value in correction.items() if value is not None or name not in known}
    return pd.DataFrame(list(latest.values()))


def orders_of(day: date, users: int = 5) -> list[dict[str, Any]]:
    return [
        {
            "user_id": f"u{number}",
            "event_timestamp": at(day, number),
            "amount": day.day + number / 4,
            "shop": f"s{number % 2}",
        }
        for number in range(users)
    ]


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore) -> FeatureStore:
    fs = open_feature_store(Clock(NOW))
    fs.apply([STATS, ORDERS, BILLS])
    store = fs.tenant("acme")
    store.write_batch("stats", [row for day in DAYS for row in rows_of(day)])
    store.write_batch("stats", [row | {"created_timestamp": NOW + timedelta(days=1)} for row in CORRECTIONS])
    fs.tenant("other").write_batch("stats", [row(DAYS[0], 1, user_id="somebody else")])
    store.write_batch("orders", [row for day in DAYS for row in orders_of(day)])
    return fs


@pytest.fixture(scope="module")
def store(feature_store: FeatureStore) -> OfflineStore:
    return feature_store.tenant("acme")


@pytest.fixture(scope="module")
def written() -> pd.DataFrame:
    frame = corrected([*(row for day in DAYS for row in rows_of(day)), *CORRECTIONS])
    return frame.assign(day=[moment.date() for moment in frame["event_timestamp"]])


MEASURED = {
    "score": "score", "level": "level", "visits": "visits", "age": "age", "active": "active::int",
    "plan": "length(plan)", "seen": "epoch_us(seen)", "born": "born - DATE '1970-01-01'", "sizes": "len(sizes)",
    "tags": "len(tags)", "text": "sqrt(list_sum(list_transform(text, lambda x: x * x)))", "extra_4": "extra_4",
}  # fmt: skip


@pytest.fixture(scope="module")
def by_duckdb(written: pd.DataFrame) -> dict[tuple[date | None, str], dict[str, Any]]:
    """Measures of each date and, under None, of all of them, and each feature."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("written", written)
        lines = [
            f"SELECT day, '{feature}' AS feature, count(*) AS rows, count(*) - count({feature}) AS nulls, "
            f"min({number})::DOUBLE AS minimum, max({number})::DOUBLE AS maximum, avg({number}) AS mean, "
            f"stddev_samp({number}) AS stddev, count(DISTINCT {feature}) AS distinct "
            "FROM written GROUP BY GROUPING SETS ((day), ())"
            for feature, number in MEASURED.items()
        ]
        measured = connection.sql(" UNION ALL ".join(lines)).to_arrow_table().to_pylist()
    return {(line.pop("day"), line.pop("feature")): line for line in measured}


def check(statistics: FeatureStatistics, wanted: dict[str, Any]) -> None:
    exact = {
        "rows": statistics.rows,
        "nulls": statistics.nulls,
        "minimum": statistics.minimum,
        "maximum": statistics.maximum,
    }
    assert {name: float(value) for name, value in exact.items() if value is not None} == {
        name: float(wanted[name]) for name in exact
    }
    assert (statistics.mean, statistics.stddev) == pytest.approx((wanted["mean"], wanted["stddev"]), rel=1e-9)
    # The sketch of distinct values has a standard error of 1.6 %.
    assert statistics.distinct == pytest.approx(wanted["distinct"], rel=0.05)


def test_every_date_and_all_of_them_are_as_duckdb_counts_them(
    store: OfflineStore, by_duckdb: dict[tuple[date | None, str], dict[str, Any]]
) -> None:
    result = store.profile("stats")

    assert [(group.group, group.dates, group.rows) for group in result.groups] == [("stats", 3, 3 * USERS)]
    by_date = {
        (statistics.date, statistics.feature): statistics for statistics in store.get_statistics("stats", by_date=True)
    }
    assert len(by_date) == len(DAYS) * len(STATS.features)
    for feature in MEASURED:
        for day in DAYS:
            check(by_date[day, feature], by_duckdb[day, feature])
    whole = store.get_statistics("stats")
    assert [statistics.feature for statistics in whole] == STATS.feature_names
    for statistics in whole:
        if statistics.feature in MEASURED:
            check(statistics, by_duckdb[None, statistics.feature])


def test_the_same_rows_have_the_same_statistics_in_any_order_and_partitioning(spark: SparkSession) -> None:
    """More rows than a line stores, more texts than it counts exactly, vectors with norms that differ as doubles."""
    drawn = random.Random(7)
    vectors = [[drawn.uniform(-1, 1) for _ in range(50)] for _ in range(20)]
    rows = [
        (drawn.gauss(0, 1) if number % 9 else None, 2**60 + number, f"t{number % 1500}", vectors[number % 20], None)
        for number in range(9_000)
    ]
    types = [pa.float64(), pa.int64(), pa.string(), pa.list_(pa.float32()), pa.float64()]
    kinds = {"score": "double", "visits": "long", "plan": "string", "text": "embedding(50)", "never": "double"}

    def table_of(rows: list[tuple[Any, ...]]) -> pa.Table:
        columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)]
        return pa.table(columns, names=list(kinds))

    def statistics_of(frame: DataFrame) -> dict[str, FeatureStatistics]:
        merged = merged_lines(feature_lines(frame, kinds)).collect()
        return {line["feature"]: FeatureStatistics.of(line.asDict(recursive=True)) for line in merged}

    once = statistics_of(spark.createDataFrame(table_of(rows)).coalesce(1))
    drawn.shuffle(rows)
    again = statistics_of(spark.createDataFrame(table_of(rows)).repartition(5))

    assert once == again
    assert {name: statistics.distribution for name, statistics in once.items()} == {
        name: statistics.distribution for name, statistics in again.items()
    }
    scores = sorted(row[0] for row in rows if row[0] is not None)
    grid = once["score"].distribution
    assert grid is not None
    for step, number in enumerate(grid.grid):
        below, up_to = bisect_left(scores, number) / len(scores), bisect_right(scores, number) / len(scores)
        assert below - 0.003 <= step / 1_000 <= up_to + 0.003
    norms = [float(np.sqrt(sum(np.float64(np.float32(part)) ** 2 for part in vector))) for vector in vectors]
    assert (once["text"].minimum, once["text"].maximum) == (min(norms), max(norms))
    assert (once["text"].distinct, once["never"].distinct, once["never"].distribution) == (20, 0, None)


def test_few_numbers_are_exact(spark: SparkSession) -> None:
    drawn = random.Random(7)
    numbers = sorted(drawn.gauss(0, 1) for _ in range(500))
    values = {
        "three": [number if place in (0, 200, 400) else None for place, number in enumerate(numbers)],
        "many": numbers,
    }
    frame = spark.createDataFrame(pa.table(values))
    below, above = (
        feature_lines(frame.where(part), dict.fromkeys(values, "double")) for part in ("many < 0", "many >= 0")
    )

    grids = {line["feature"]: line["grid"] for line in merged_lines(below.unionByName(above)).collect()}

    for name, column in values.items():
        kept = [number for number in column if number is not None]
        assert grids[name] == [kept[max(1, math.ceil(step * len(kept) / 1_000)) - 1] for step in range(1_001)]


def test_lines_of_an_earlier_version_are_computed_again(open_feature_store: OpenFeatureStore) -> None:
    fs = open_feature_store(Clock(NOW))
    fs.apply([ORDERS])
    store = fs.tenant("acme")
    store.write_batch("orders", orders_of(DAYS[0]))
    store.profile("orders")
    table = store._scope.context.layout.statistics
    old = table.read().drop("points").withColumn("quantile_sketch", F.lit(b"old"))
    old = old.withColumn("contents", F.regexp_replace("contents", '"format": \\d+', '"format": 1'))
    old.localCheckpoint().write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(
        str(table.path)
    )

    assert list(store.get_statistics("orders")) == []
    assert [group.dates for group in store.profile("orders").groups] == [1]
    assert [statistics.quantiles[0.5] for statistics in store.get_statistics("orders")] == [1.5, 2.0]


def test_quantiles_are_within_their_error(store: OfflineStore, written: pd.DataFrame) -> None:
    for statistics in store.get_statistics("stats"):
        if statistics.feature in ("score", "age", "visits"):
            values = sorted(written[statistics.feature].dropna())
            for share, number in statistics.quantiles.items():
                below, up_to = (
                    sum(test(value) for value in values) / len(values) for test in (number.__gt__, number.__ge__)
                )
                assert below - 0.001 <= share <= up_to + 0.001, (statistics.feature, share)


def test_top_values_are_counted_and_types_have_their_own_measure(store: OfflineStore, written: pd.DataFrame) -> None:
    by_feature = {statistics.feature: statistics for statistics in store.get_statistics("stats")}

    counts = written["plan"].value_counts().to_dict()
    assert dict(by_feature["plan"].top) == counts
    assert [count for _, count in by_feature["plan"].top] == sorted(counts.values(), reverse=True)
    assert dict(by_feature["active"].top) == {
        "true": int(written["active"].sum()),
        "false": int((~written["active"]).sum()),
    }
    assert {name: by_feature[name].measure for name in ("score", "active", "plan", "seen", "born", "tags", "text", "raw")} == {
        "score": "value", "active": "truth", "plan": "length", "seen": "microseconds", "born": "days", "tags": "length",
        "text": "norm", "raw": "none",
    }  # fmt: skip
    raw = by_feature["raw"]
    assert (raw.nulls, raw.distinct, raw.minimum, raw.mean, raw.quantiles) == (
        int(written["raw"].isna().sum()), None, None, None, {},
    )  # fmt: skip


def lines(store: OfflineStore, group: str = "orders") -> dict[date | None, tuple[int, datetime, int]]:
    """By date: number of lines, when they were computed, and the table version; the mark is under None."""
    context = store._scope.context
    statistics = context.layout.statistics.read()
    rows = statistics.where(f"tenant_id = 'acme' AND feature_group = '{group}'").toArrow().to_pylist()
    by_date = {}
    for day in {row["event_date"] for row in rows}:
        of_day = [row for row in rows if row["event_date"] == day]
        [computed] = {(line["computed_at"].astimezone(UTC), line["table_version"]) for line in of_day}
        by_date[day] = (len(of_day), *computed)
    return by_date


def of_day(tenant: str, day: date) -> Any:
    return (F.col("tenant_id") == tenant) & (F.col("event_date") == F.lit(day.isoformat()).cast("date"))


def test_only_dates_whose_rows_changed_are_profiled_again(feature_store: FeatureStore, store: OfflineStore) -> None:
    context, values = store._scope.context, store._scope.context.table(ORDERS).values
    store.profile("orders")
    before = lines(store)
    assert {day: line[0] for day, line in before.items()} == {**dict.fromkeys(DAYS, 2), None: 1}

    # The first day is deleted, the second gets a row, the third is only written anew; another tenant's rows change.
    values.delete(of_day("acme", DAYS[0]))
    store.write_batch("orders", [{"user_id": "new", "event_timestamp": at(DAYS[1], 1), "amount": 1.0}])
    third = values.read().where(of_day("acme", DAYS[2]))
    writer = third.write.format("delta").mode("overwrite").option("dataChange", "false")
    writer.option("replaceWhere", f"tenant_id = 'acme' AND event_date = DATE '{DAYS[2]}'").save(values.path)
    feature_store.tenant("other").write_batch("orders", orders_of(DAYS[2]))
    later = replace(context, clock=Clock(NOW + timedelta(hours=1)))
    result = profile(Scope(later, "acme"), ["orders"], start=None, end=None, full=False)

    after, version = lines(store), values.version()
    assert [(group.dates, group.rows, group.table_version) for group in result.groups] == [(1, 6, version)]
    assert after == {
        DAYS[1]: (2, NOW + timedelta(hours=1), version),
        DAYS[2]: before[DAYS[2]],
        None: (1, NOW + timedelta(hours=1), version),
    }


@pytest.mark.parametrize("adaptive", ["true", "false"])
def test_a_profile_is_one_file_with_and_without_adaptive_execution(
    feature_store: FeatureStore, spark: SparkSession, adaptive: str
) -> None:
    session = spark.newSession()
    session.conf.set("spark.sql.adaptive.enabled", adaptive)
    tenant = f"adaptive-{adaptive}"
    store = FeatureStore.open(feature_store.settings, spark=session, clock=Clock(NOW)).tenant(tenant)
    store.write_batch("orders", [row for day in DAYS for row in orders_of(day)])
    store.profile("orders")

    written = store._scope.context.layout.statistics.within(session).read().where(f"tenant_id = '{tenant}'")
    assert written.count() == 2 * len(DAYS) + 1
    assert written.select("_metadata.file_path").distinct().count() == 1


def stopping_at(step: str) -> Callable[[str], None]:
    def stop(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt(name)

    return stop


def test_a_profile_that_was_stopped_is_run_again_to_the_same_lines(store: OfflineStore) -> None:
    store.write_batch("orders", [*orders_of(DAYS[2], users=9), *orders_of(date(2026, 11, 4))])
    stopped = Scope(replace(store._scope.context, step=stopping_at("profile.computed")), "acme")
    with pytest.raises(KeyboardInterrupt):
        profile(stopped, ["orders"], start=None, end=None, full=False)
    store.profile("orders")
    resumed = store.get_statistics("orders", by_date=True)

    store.profile("orders", full=True)

    assert resumed == store.get_statistics("orders", by_date=True)
    assert [(line.date.day, line.feature, line.rows) for line in resumed if line.date] == [
        (2, "amount", 6), (2, "shop", 6), (3, "amount", 9), (3, "shop", 9), (4, "amount", 5), (4, "shop", 5),
    ]  # fmt: skip


def test_the_log_knows_the_changed_dates_where_the_feed_of_changes_is_gone(
    feature_store: FeatureStore, spark: SparkSession, store: OfflineStore
) -> None:
    values = store._scope.context.table(ORDERS).values
    before = values.version()
    values.delete(of_day("acme", date(2026, 11, 4)))
    # As a vacuum does.
    for file in Path(str(values.path)).glob("tenant_id=acme/event_date=2026-11-04/*.parquet"):
        file.unlink()

    [profiled] = store.profile("orders").groups

    assert (profiled.dates, profiled.rows) == (0, 0)
    assert set(lines(store)) == {DAYS[1], DAYS[2], None}
    # Only Spark's own reader needs the feed, and says that every date may have changed.
    by_spark = GroupTable.of(Layout.of(feature_store.settings, lambda: spark, is_native=False), ORDERS)
    assert by_spark.changed_dates("acme", before, values.version()) is None


def test_months_and_a_period_of_their_own(store: OfflineStore) -> None:
    def bill(month: int, day: int, amount: float | None) -> dict[str, Any]:
        return {"user_id": "u1", "event_timestamp": datetime(2026, month, day, tzinfo=UTC), "amount": amount}

    store.write_batch("bills", [bill(9, 5, 90.0), bill(10, 5, 100.0), bill(11, 5, 110.0), bill(11, 6, 120.0)])
    store.write_batch("bills", [bill(11, 6, None) | {"created_timestamp": NOW + timedelta(days=1)}])

    [profiled] = store.profile("bills", datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)).groups
    assert (profiled.dates, profiled.rows) == (1, 2)
    assert set(lines(store, "bills")) == {date(2026, 11, 1)}
    [whole] = store.profile("bills").groups
    assert (whole.dates, whole.rows) == (3, 4)

    # The correction took a value away, as nulls are values in this group.
    [statistics] = store.get_statistics("bills", datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert (statistics.rows, statistics.nulls, statistics.minimum, statistics.maximum, statistics.mean) == (
        3,
        1,
        100.0,
        110.0,
        105.0,
    )
    assert statistics.stddev == pytest.approx(math.sqrt(50))


def test_a_group_that_gains_a_feature_is_profiled_again(feature_store: FeatureStore, store: OfflineStore) -> None:
    feature_store.apply([BILLS.model_copy(update={"features": (*BILLS.features, Feature("items", "long"))})])

    [profiled] = store.profile("bills").groups

    assert (profiled.dates, profiled.rows) == (3, 4)
    assert [
        (statistics.feature, statistics.rows, statistics.nulls) for statistics in store.get_statistics("bills")
    ] == [
        ("amount", 4, 1),
        ("items", 4, 4),
    ]


def test_every_run_is_in_the_ledger_and_errors_name_wrong_arguments(store: OfflineStore) -> None:
    states = {row["state"] for row in store.runs().where("job = 'profile'").collect()}
    assert {"succeeded", "failed"} <= states

    with pytest.raises(NotFoundError, match="Did you mean 'stats'"):
        store.profile(["stat"])
    with pytest.raises(InvalidArgumentError, match="both start and end"):
        store.profile("stats", start=NOW)
    with pytest.raises(InvalidArgumentError, match="not before its end"):
        store.profile("stats", NOW, NOW)
