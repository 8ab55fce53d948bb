"""Train, validation and test: by time, at random, or by entity."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from featurestore.columnar.training_sets.splits import EMBARGO, SPLIT, no_timestamps, shares_of
from featurestore.definitions.training_set import EntitySplit, RandomSplit, TimeSplit
from featurestore.definitions.values.durations import microseconds
from featurestore.definitions.values.time_window import from_micros, to_micros
from featurestore.frames.columns import column
from featurestore.frames.hash_order import count_ranges, cuts, hash_of
from featurestore.frames.timestamps import instant
from featurestore.late_spark import Column, DataFrame, F


def time_boundaries(frame: DataFrame, timestamp_column: str, split: TimeSplit) -> tuple[datetime | None, datetime]:
    """The first instants of validation (None if there is no such part) and of test.

    Instants are returned as they are; for shares, they are exact quantiles of the timestamps (runs one job). Raises
    SpineError for a frame without timestamps.
    """
    if split.test_from is not None:
        return split.validation_from, split.test_from
    quantiles = F.percentile(F.unix_micros(column(timestamp_column)), shares_of(split)).alias("micros")
    micros = frame.agg(quantiles).collect()[0]["micros"]
    if micros is None:
        raise no_timestamps()
    instants = [from_micros(round(cut)) for cut in micros]
    return (instants[0] if split.validation else None), instants[1]


def split_by_time(
    frame: DataFrame,
    timestamp_column: str,
    validation_from: datetime | None,
    test_from: datetime,
    embargo: timedelta | None = None,
) -> DataFrame:
    """The frame with a column ``split``: train, validation or test; null for a row without a timestamp.

    ``embargo``: a row less than this long before the first instant of validation or test is in the gap, ``embargo``.
    """
    time = column(timestamp_column)
    part = F.when(time >= instant(test_from), F.lit("test"))
    if embargo is not None:
        part = part.when(_shortly_before(time, test_from, embargo), F.lit(EMBARGO))
    if validation_from is not None:
        part = part.when(time >= instant(validation_from), F.lit("validation"))
        if embargo is not None:
            part = part.when(_shortly_before(time, validation_from, embargo), F.lit(EMBARGO))
    return frame.withColumn(SPLIT, part.when(time.isNotNull(), F.lit("train")))


def _shortly_before(time: Column, start: datetime, gap: timedelta) -> Column:
    return F.unix_micros(time) > F.lit(to_micros(start) - microseconds(gap))


def hash_cuts(
    frame: DataFrame, columns: Sequence[str], split: RandomSplit | EntitySplit, seed: int
) -> tuple[int | None, int | None]:
    """The cuts of the hash of these columns: test up to the first, validation up to the second, train beyond.

    A random split cuts the rows, an entity split the distinct hashes of the columns, each at the exact number, rounded
    to the nearest. None means no such part. Runs two jobs.
    """
    hashes, distinct = frame.select(hash_of(columns, seed).alias("hash")), isinstance(split, EntitySplit)
    ranges = count_ranges(hashes, distinct=distinct)
    number = sum(count for _, count in ranges)
    test = round(number * split.test)
    validation = round(number * split.validation)
    until_test, until_validation = cuts(hashes, ranges, [test, test + validation], distinct=distinct)
    return until_test, (until_validation if validation else None)


def split_by_hash(
    frame: DataFrame, columns: Sequence[str], seed: int, until_test: int | None, until_validation: int | None
) -> DataFrame:
    """The frame with a column ``split``, by the hash of each row; rows that are equal in the columns share a part."""
    hashed = hash_of(columns, seed)
    part = F.when(F.lit(False), F.lit("test")) if until_test is None else F.when(hashed <= F.lit(until_test), "test")
    if until_validation is not None:
        part = part.when(hashed <= F.lit(until_validation), "validation")
    return frame.withColumn(SPLIT, part.otherwise(F.lit("train")))
