"""What is measured of a training set's rows, on rows few enough to count by eye."""

from datetime import date, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from featurestore.frames.training_sets.profile import profile_days, profile_features
from featurestore.reports.training_set_numbers import PeriodNumbers, TrainingSetNumbers, merged

# at, temp, score, when the weather was observed, label, part
ROWS = """
    ('2026-11-01T12:00:00Z', 8.0, 0.5, '2026-11-01T11:00:00Z', true, 'train'),
    ('2026-11-01T13:00:00Z', 9.0, null, '2026-11-01T10:00:00Z', false, 'train'),
    ('2026-11-01T23:59:59Z', null, null, null, null, 'train'),
    ('2026-11-02T00:00:00Z', null, 0.7, '2026-11-01T23:59:59.5Z', true, 'test')
"""


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    return spark.sql(
        "SELECT to_timestamp(at) AS at, cast(temp AS double) AS temp, cast(score AS double) AS score, "
        f"to_timestamp(observed) AS observed, late, part FROM VALUES {ROWS} AS t(at, temp, score, observed, late, part)"
    )


def tuples(frame: DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in frame.collect()]


def test_a_feature_is_found_where_it_is_not_null_and_as_old_as_its_group(rows: DataFrame) -> None:
    profile = profile_features(rows, "at", {"temp": "observed", "score": None})

    assert profile.columns == ["position", "feature", "rows", "found", "age_low", "age_median", "age_high"]
    assert tuples(profile) == [
        (0, "temp", 4, 2, 0.5, 3600.0, 10800.0),
        (1, "score", 4, 2, None, None, None),
    ]


def test_a_feature_that_was_never_found_has_no_age(rows: DataFrame) -> None:
    profile = profile_features(rows.withColumn("temp", rows["temp"] + None), "at", {"temp": "observed"})

    assert tuples(profile) == [(0, "temp", 4, 0, None, None, None)]


def test_no_rows_have_no_shares_and_no_ages(rows: DataFrame) -> None:
    profile = profile_features(rows.limit(0), "at", {"temp": "observed"})

    assert tuples(profile) == [(0, "temp", 0, 0, None, None, None)]
    assert tuples(profile_days(rows.limit(0), "at", "late")) == []


def test_features_to_profile_are_needed(rows: DataFrame) -> None:
    with pytest.raises(ValueError, match="no features"):
        profile_features(rows, "at", {})


def test_days_are_of_utc_and_apart_by_split(rows: DataFrame) -> None:
    days = profile_days(rows, "at", "late", ["observed"], "part")

    assert days.columns == ["day", "split", "rows", "labelled", "label_sum", "matched"]
    assert tuples(days) == [
        (date(2026, 11, 1), "train", 3, 2, 1.0, [2]),
        (date(2026, 11, 2), "test", 1, 1, 1.0, [1]),
    ]


def test_days_without_a_label_a_split_or_lookups_count_rows(rows: DataFrame) -> None:
    assert tuples(profile_days(rows, "at", None)) == [
        (date(2026, 11, 1), None, 3, 0, None, []),
        (date(2026, 11, 2), None, 1, 0, None, []),
    ]


def test_a_label_of_text_is_counted_but_has_no_mean(rows: DataFrame) -> None:
    assert tuples(profile_days(rows, "at", "part")) == [
        (date(2026, 11, 1), None, 3, 3, None, []),
        (date(2026, 11, 2), None, 1, 1, None, []),
    ]


def test_columns_of_any_name_are_profiled(rows: DataFrame) -> None:
    odd = rows.withColumnsRenamed({"temp": "a.b `c`", "at": "it's at", "observed": "x.y"})

    assert tuples(profile_features(odd, "it's at", {"a.b `c`": "x.y"}))[0][:4] == (0, "a.b `c`", 4, 2)
    assert tuples(profile_days(odd, "it's at", "late", ["x.y"]))[0][-1] == [2]


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
