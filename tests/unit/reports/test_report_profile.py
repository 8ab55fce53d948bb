"""What is measured of a training set's rows, on rows few enough to count by eye."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from featurestore.columnar.training_sets.set_profile import CountedRows, DayProfile, SetProfile
from featurestore.frames.training_sets.profile import profile_rows
from featurestore.reports.training_set_numbers import PeriodNumbers, TrainingSetNumbers, merged

FIRST, SECOND = date(2026, 11, 1), date(2026, 11, 2)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")
# Two features and when the first of them was observed; labels; parts.
ROWS = pa.table(
    {
        "at": pa.array([NOON, NOON + timedelta(hours=1), MIDNIGHT - timedelta(seconds=1), MIDNIGHT], INSTANT),
        "temp": pa.array([8.0, 9.0, None, None]),
        "score": pa.array([0.5, float("nan"), None, 0.7]),
        "never": pa.nulls(4, pa.list_(pa.float32())),
        "observed": pa.array(
            [NOON - timedelta(hours=1), NOON - timedelta(hours=2), None, MIDNIGHT - timedelta(seconds=0.5)], INSTANT
        ),
        "late": pa.array([True, False, None, True]),
        "minutes": pa.array([Decimal("2.5"), Decimal("-1.5"), None, None], pa.decimal128(4, 1)),
        "part": pa.array(["train", "train", "train", "test"]),
    }
)
FEATURES = ["temp", "score", "never"]


def profile(
    rows: pa.Table, label: str | None = "late", part: str | None = "part", events: tuple[str, ...] = ("observed",)
) -> SetProfile:
    """Of the rows in pieces of two."""
    counted = CountedRows(FEATURES, events)
    for first in range(0, max(1, len(rows)), 2):
        piece = rows.slice(first, 2)
        counted.add(
            piece.column("at").combine_chunks(),
            None if part is None else piece.column(part),
            None if label is None else piece.column(label),
            {name: piece.column(name) for name in events},
        )
        for name in FEATURES:
            counted.add_feature(name, piece.column(name))
    return counted.profile()


def test_a_feature_is_found_where_it_is_not_null_and_as_old_as_its_group() -> None:
    measured = profile(ROWS)

    assert measured.rows == 4
    assert measured.found == {"temp": 2, "score": 3, "never": 0}
    assert measured.ages == {"observed": (0.5, 3600.0, 10800.0)}


def test_days_are_of_utc_and_apart_by_split() -> None:
    assert profile(ROWS).days == (
        DayProfile(FIRST, "train", 3, 2, 1.0, (2,)),
        DayProfile(SECOND, "test", 1, 1, 1.0, (1,)),
    )


def test_days_before_1970_are_whole_days_too() -> None:
    early = ROWS.set_column(
        0, "at", pa.array([datetime(1969, 12, 31, hour, tzinfo=UTC) for hour in (0, 1, 2, 23)], INSTANT)
    )

    assert [(day.day, day.rows) for day in profile(early, part=None).days] == [(date(1969, 12, 31), 4)]


def test_days_without_a_label_a_split_or_lookups_count_rows() -> None:
    assert profile(ROWS, label=None, part=None, events=()).days == (
        DayProfile(FIRST, None, 3, 0, None, ()),
        DayProfile(SECOND, None, 1, 0, None, ()),
    )


def test_a_label_of_text_is_counted_but_has_no_mean_and_one_of_numbers_has() -> None:
    assert [(day.labelled, day.label_sum) for day in profile(ROWS, label="part").days] == [(3, None), (1, None)]
    assert [(day.labelled, day.label_sum) for day in profile(ROWS, label="minutes").days] == [(2, 1.0), (0, None)]


def test_no_rows_have_no_ages_and_no_days() -> None:
    assert profile(ROWS.slice(0, 0)) == SetProfile(0, dict.fromkeys(FEATURES, 0), {"observed": None}, ())


def test_a_row_without_a_timestamp_counts_but_has_no_day_and_no_age() -> None:
    untimed = ROWS.set_column(0, "at", pa.array([None, None, None, MIDNIGHT], INSTANT))

    measured = profile(untimed)

    assert (measured.rows, measured.ages) == (4, {"observed": (0.5, 0.5, 0.5)})
    assert measured.days == (DayProfile(SECOND, "test", 1, 1, 1.0, (1,)),)


@pytest.mark.parametrize("label", [None, "late", "minutes", "part"])
def test_spark_finds_the_same(spark: SparkSession, label: str | None) -> None:
    odd = {"temp": "a.b `c`", "at": "it's at", "observed": "x.y"}
    rows = spark.createDataFrame(ROWS).withColumnsRenamed(odd)
    untimed = spark.createDataFrame(ROWS.set_column(0, "at", pa.nulls(4, INSTANT))).withColumnsRenamed(odd)

    measured = [
        profile_rows(frame, "it's at", ["a.b `c`", "score", "never"], ["x.y"], label, "part")
        for frame in (rows, rows.limit(0), untimed)
    ]

    here = [profile(table, label) for table in (ROWS, ROWS.slice(0, 0), ROWS.set_column(0, "at", pa.nulls(4, INSTANT)))]
    assert [(one.rows, one.days, [*one.found.values()], [*one.ages.values()]) for one in measured] == [
        (one.rows, one.days, [*one.found.values()], [*one.ages.values()]) for one in here
    ]


def day(number: int, split: str = "train", rows: int = 2, label_sum: float | None = 1.0) -> PeriodNumbers:
    moment = date(2026, 1, 1) + timedelta(days=number)
    return PeriodNumbers(moment, moment, split, rows, rows, label_sum, (rows,))


def test_parts_come_in_the_order_of_the_split() -> None:
    numbers = TrainingSetNumbers((), (day(0, "test"), day(1, "train"), day(2, "train", rows=6, label_sum=1.0)), ("w",))

    assert [(part.split, part.rows, part.label_rate) for part in numbers.parts()] == [
        ("train", 8, 0.25),
        ("test", 2, 0.5),
    ]
    assert numbers.total == PeriodNumbers(date(2026, 1, 1), date(2026, 1, 3), None, 10, 10, 3.0, (10,))


def test_few_days_are_drawn_as_days_and_many_as_weeks_from_monday() -> None:
    few = TrainingSetNumbers((), tuple(day(number) for number in range(5)), ("w",))
    many = TrainingSetNumbers((), tuple(day(number) for number in range(365)), ("w",))

    assert [period.rows for period in few.periods()] == [2] * 5
    # 2026 begins on a Thursday.
    assert [period.rows for period in many.periods()] == [8, *[14] * 51, 8]
    assert sum(period.rows for period in many.periods()) == 730


def test_a_mean_is_over_labelled_rows_of_a_label_that_has_one() -> None:
    assert merged([day(0, label_sum=None), day(1, label_sum=None)], None).label_rate is None
    assert merged([day(0), day(1, rows=0, label_sum=None)], None).label_rate == 0.5
    assert TrainingSetNumbers((), (), ()).total is None
    assert TrainingSetNumbers((), (), ()).periods() == []
