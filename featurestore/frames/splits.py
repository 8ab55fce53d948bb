"""Train, validation and test."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from featurestore.definitions.time_window import from_micros
from featurestore.definitions.training_set import TimeSplit
from featurestore.errors import SpineError
from featurestore.frames.columns import column
from featurestore.frames.timestamps import instant

SPLIT = "split"


def time_boundaries(frame: DataFrame, timestamp_column: str, split: TimeSplit) -> tuple[datetime | None, datetime]:
    """The first instants of validation (none: no such part) and of test.

    Given as instants they are returned; given as shares they are exact quantiles of the timestamps (runs one job).
    Raises SpineError for a frame without timestamps.
    """
    if split.test_from is not None:
        return split.validation_from, split.test_from
    assert split.test is not None
    validation = split.validation or 0.0
    shares = [1 - split.test - validation, 1 - split.test]
    found = frame.agg(F.percentile(F.unix_micros(column(timestamp_column)), shares).alias("cuts")).collect()[0]["cuts"]
    if found is None:
        raise SpineError("the spine has no timestamps to split by")
    cuts = [from_micros(round(cut)) for cut in found]
    return (cuts[0] if validation else None), cuts[1]


def split_by_time(
    frame: DataFrame, timestamp_column: str, validation_from: datetime | None, test_from: datetime
) -> DataFrame:
    """The frame with a column ``split``: train, validation or test; null for a row without a timestamp."""
    time = column(timestamp_column)
    part = F.when(time >= instant(test_from), F.lit("test"))
    if validation_from is not None:
        part = part.when(time >= instant(validation_from), F.lit("validation"))
    return frame.withColumn(SPLIT, part.when(time.isNotNull(), F.lit("train")))
