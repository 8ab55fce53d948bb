"""Calendar buckets, checked against a walk through the time line, minute by minute, with Python's own time zones."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.errors import InvalidArgumentError
from featurestore.frames.statistics.calendar import EVERY, Every, bucket_end, bucket_start, check_zone
from tests.conftest import spark_setting

MINUTE = timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def session_zone(spark: SparkSession) -> Iterator[None]:
    """A zone that has nothing to do with those asked for, half an hour off and with clock changes of its own."""
    with spark_setting(spark, "spark.sql.session.timeZone", "Australia/Adelaide"):
        yield


def instants(spark: SparkSession, moments: list[datetime]) -> DataFrame:
    return spark.createDataFrame(pa.table({"at": pa.array(moments, pa.timestamp("us", tz="UTC"))}))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Zone, bucket, an instant, and the bucket it is in; all instants in UTC.
EXAMPLES: list[tuple[str, Every, str, str, str]] = [
    # Summer time begins on 8 March, 2:00, and ends on 1 November, 2:00.
    ("America/New_York", "day", "2026-03-08 12:00", "2026-03-08 05:00", "2026-03-09 04:00"),
    ("America/New_York", "day", "2026-11-01 12:00", "2026-11-01 04:00", "2026-11-02 05:00"),
    ("America/New_York", "hour", "2026-11-01 05:59:59.999999", "2026-11-01 05:00", "2026-11-01 06:00"),
    ("America/New_York", "hour", "2026-11-01 06:00", "2026-11-01 06:00", "2026-11-01 07:00"),
    ("America/New_York", "week", "2026-11-02 04:59:59.999999", "2026-10-26 04:00", "2026-11-02 05:00"),
    ("America/New_York", "month", "2026-11-30 12:00", "2026-11-01 04:00", "2026-12-01 05:00"),
    ("America/New_York", "month", "1969-12-31 23:59:59.999999", "1969-12-01 05:00", "1970-01-01 05:00"),
    # ISO weeks begin on Mondays, in whichever year.
    ("UTC", "week", "2027-01-03 23:59:59.999999", "2026-12-28 00:00", "2027-01-04 00:00"),
    ("UTC", "week", "0001-01-01 00:00", "0001-01-01 00:00", "0001-01-08 00:00"),
    ("UTC", "month", "9998-12-31 23:59:59.999999", "9998-12-01 00:00", "9999-01-01 00:00"),
    ("Asia/Kolkata", "hour", "2026-05-01 12:29:59.999999", "2026-05-01 11:30", "2026-05-01 12:30"),
    # Midnight does not exist: the day begins at 1:00.
    ("America/Sao_Paulo", "day", "2018-11-04 03:00", "2018-11-04 03:00", "2018-11-05 02:00"),
    ("Africa/Cairo", "day", "2026-04-24 12:00", "2026-04-23 22:00", "2026-04-24 21:00"),
    # From 23:30 to 0:30: the day begins at 0:30.
    ("America/Toronto", "day", "1919-03-31 05:00", "1919-03-31 04:30", "1919-04-01 04:00"),
    # A clock set on and back by half an hour, and one set on at 2:45: the hours beside are shorter.
    ("Australia/Lord_Howe", "hour", "2026-10-03 15:45", "2026-10-03 15:30", "2026-10-03 16:00"),
    ("Australia/Lord_Howe", "hour", "2026-04-04 15:10", "2026-04-04 15:00", "2026-04-04 15:30"),
    ("Pacific/Chatham", "hour", "2026-09-26 13:30", "2026-09-26 13:15", "2026-09-26 14:00"),
    ("Pacific/Chatham", "hour", "2026-09-26 14:10", "2026-09-26 14:00", "2026-09-26 14:15"),
    # 30 December 2011 was left out in Samoa.
    ("Pacific/Apia", "day", "2011-12-30 09:59", "2011-12-29 10:00", "2011-12-30 10:00"),
    ("Pacific/Apia", "day", "2011-12-30 10:00", "2011-12-30 10:00", "2011-12-31 10:00"),
    # At 0:01 back to 23:01: the day that has begun goes on.
    ("America/St_Johns", "day", "1990-10-28 02:45", "1990-10-28 02:30", "1990-10-29 03:30"),
]


def test_the_buckets_of_instants(spark: SparkSession) -> None:
    parts = []
    for zone, every, at, _, _ in EXAMPLES:
        started = instants(spark, [utc(at)]).select("at", bucket_start(F.col("at"), every, zone).alias("start"))
        parts.append(started.withColumn("end", bucket_end(F.col("start"), every, zone)).withColumn("zone", F.lit(zone)))
    rows = reduce(DataFrame.unionAll, parts).toArrow().to_pylist()

    buckets = [(row["zone"], *(row[name].astimezone(UTC) for name in ("at", "start", "end"))) for row in rows]
    assert buckets == [(zone, utc(at), utc(start), utc(end)) for zone, _, at, start, end in EXAMPLES]


@dataclass
class Walk:
    """What somebody notes who looks at the zone's clock each minute: when a bucket begins."""

    zone: str
    year: int
    month: int

    @property
    def first(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC) - timedelta(days=45)

    def begins(self) -> dict[str, list[datetime]]:
        zone = ZoneInfo(self.zone)
        noted: dict[str, list[datetime]] = {every: [] for every in EVERY}
        newest: dict[str, Any] = {}
        offset = None
        for minute in range(120 * 24 * 60):
            at = self.first + minute * MINUTE
            local = at.astimezone(zone)
            if local.minute == 0 or local.utcoffset() != offset:
                noted["hour"].append(at)
                offset = local.utcoffset()
            date = local.date()
            labels = {"day": date, "week": date.isocalendar()[:2], "month": (date.year, date.month)}
            for every, label in labels.items():
                if every not in newest or label > newest[every]:
                    noted[every].append(at)
                    newest[every] = label
        return noted

    def moments(self, begins: dict[str, list[datetime]]) -> list[datetime]:
        """All around each beginning of a day, some of the hours, and at random; within the 30 days in the middle."""
        random = Random(f"{self.zone} {self.year}")
        low, high = self.first + timedelta(days=40), self.first + timedelta(days=80)
        chosen = begins["day"] + random.sample(begins["hour"], 200)
        moments = [at + shift * MICROSECOND for at in chosen for shift in (-1, 0, 1)]
        moments += [low + random.random() * (high - low) for _ in range(300)]
        return sorted({moment for moment in moments if low <= moment < high})


@pytest.mark.parametrize(
    "walk",
    [
        Walk("UTC", 2026, 3),
        Walk("America/New_York", 2026, 3),
        Walk("America/New_York", 2026, 11),
        Walk("America/New_York", 1967, 4),
        Walk("Europe/London", 1968, 2),
        Walk("America/Sao_Paulo", 2018, 11),
        Walk("America/Sao_Paulo", 2018, 2),
        Walk("Africa/Cairo", 2026, 4),
        Walk("America/Havana", 2026, 11),
        Walk("Asia/Kolkata", 2026, 3),
        Walk("Asia/Kathmandu", 1986, 1),
        Walk("Australia/Lord_Howe", 2026, 4),
        Walk("Australia/Lord_Howe", 2026, 10),
        Walk("Pacific/Chatham", 2026, 9),
        Walk("America/St_Johns", 1990, 10),
        Walk("America/Toronto", 1919, 4),
        Walk("Pacific/Apia", 2012, 1),
    ],
    ids=lambda walk: f"{walk.zone} {walk.year}-{walk.month:02}",
)
def test_buckets_are_those_of_a_walk_with_the_clock(spark: SparkSession, walk: Walk) -> None:
    begins = walk.begins()
    moments = walk.moments(begins)
    every_start = [bucket_start(F.col("at"), every, walk.zone).alias(every) for every in EVERY]
    started = instants(spark, moments).select("at", *every_start)
    ends = [bucket_end(F.col(every), every, walk.zone).alias(f"{every}_end") for every in EVERY]
    buckets = started.select("*", *ends).toArrow().to_pylist()

    def expected(at: datetime) -> dict[str, datetime]:
        row = {"at": at}
        for every in EVERY:
            after = bisect_right(begins[every], at)
            row |= {every: begins[every][after - 1], f"{every}_end": begins[every][after]}
        return row

    assert len(buckets) > 300
    in_utc = [{name: moment.astimezone(UTC) for name, moment in row.items()} for row in buckets]
    assert [row for row in in_utc if row != expected(row["at"])] == []


def test_no_instant_has_no_bucket(spark: SparkSession) -> None:
    for every in EVERY:
        rows = spark.range(1).select(bucket_start(F.lit(None).cast("timestamp"), every, "America/New_York"))
        assert rows.collect()[0][0] is None


def test_an_unknown_zone_is_an_error_that_names_the_nearest() -> None:
    assert check_zone("Europe/Berlin") == "Europe/Berlin"
    with pytest.raises(InvalidArgumentError, match="'America/New_York'"):
        check_zone("America/NewYork")
    with pytest.raises(InvalidArgumentError, match="time_zone None is not known"):
        check_zone(None)
