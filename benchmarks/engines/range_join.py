"""The way of Feast's offline stores: join by key and ``event_timestamp <= T``, number each spine row's matches, keep the newest.

Feast's Spark template, written again as DataFrame code and without what only costs it time here: the spine's (key, time)
pairs are made distinct and joined back by themselves, not by a string put together from them, and the newest row keeps
its columns, where the template finds it first and then joins for them once more. As in the template, values beyond the
spine's range of time are filtered out before.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from benchmarks.answers import Answers
from benchmarks.dataset import TIME, Dataset, GroupFiles
from benchmarks.spark import consume, read_spine, read_values

_ASKED, _VALUE, _NUMBER = "asked_micros", "value_micros", "row_number"


def run(dataset: Dataset, spark: SparkSession) -> Answers:
    joined = read_spine(spark, dataset).withColumn(_ASKED, F.unix_micros(TIME))
    asked = joined.select(*dataset.keys, _ASKED).distinct()
    first, last = joined.agg(F.min(_ASKED), F.max(_ASKED)).collect()[0]
    for group in dataset.groups:
        values = _values(spark, dataset, group).where(_in_reach(F.lit(first), F.lit(last), dataset))
        newest = _newest(asked, values, dataset)
        joined = joined.join(newest, [*dataset.keys, _ASKED], "left")
    return consume(joined, dataset.options.output_columns)


def _values(spark: SparkSession, dataset: Dataset, group: GroupFiles) -> DataFrame:
    return read_values(spark, dataset, group).withColumn(_VALUE, F.unix_micros(TIME)).drop(TIME)


def _in_reach(earliest: Column, latest: Column, dataset: Dataset) -> Column:
    """The values that count for some moment between the two."""
    lifetime = dataset.options.ttl_microseconds
    reached = F.col(_VALUE) <= latest
    return reached if lifetime is None else reached & (F.col(_VALUE) >= earliest - lifetime)


def _newest(asked: DataFrame, values: DataFrame, dataset: Dataset) -> DataFrame:
    matched = asked.join(values, dataset.keys).where(_in_reach(F.col(_ASKED), F.col(_ASKED), dataset))
    newest_first = Window.partitionBy(*dataset.keys, _ASKED).orderBy(F.col(_VALUE).desc())
    numbered = matched.withColumn(_NUMBER, F.row_number().over(newest_first))
    return numbered.where(F.col(_NUMBER) == 1).drop(_NUMBER, _VALUE)
