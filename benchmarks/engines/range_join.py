"""The join of Feast's offline stores: join on key and ``event_timestamp <= T``, number the matches, keep the newest.

This is Feast's Spark template as DataFrame code, without two costs that it does not need here. The spine's distinct
(key, time) pairs are joined back as they are, not as a concatenated string. The newest row keeps its columns; the
template finds the row first and then joins once more for its columns. As in the template, values beyond the spine's
range of time are filtered out first.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from benchmarks.answers import Answers
from benchmarks.dataset import TIME, Dataset, GroupFiles
from benchmarks.spark import consume, read_spine, read_values

_EXAMPLE, _VALUE, _NUMBER = "example_micros", "value_micros", "row_number"


def run(dataset: Dataset, spark: SparkSession) -> Answers:
    joined = read_spine(spark, dataset).withColumn(_EXAMPLE, F.unix_micros(TIME))
    examples = joined.select(*dataset.keys, _EXAMPLE).distinct()
    first, last = joined.agg(F.min(_EXAMPLE), F.max(_EXAMPLE)).collect()[0]
    for group in dataset.groups:
        values = _values(spark, dataset, group).where(_in_reach(F.lit(first), F.lit(last), dataset))
        newest = _newest(examples, values, dataset)
        joined = joined.join(newest, [*dataset.keys, _EXAMPLE], "left")
    return consume(joined, dataset.options.output_columns)


def _values(spark: SparkSession, dataset: Dataset, group: GroupFiles) -> DataFrame:
    return read_values(spark, dataset, group).withColumn(_VALUE, F.unix_micros(TIME)).drop(TIME)


def _in_reach(earliest: Column, latest: Column, dataset: Dataset) -> Column:
    """The values that count for a moment between the two."""
    lifetime = dataset.options.ttl_microseconds
    reached = F.col(_VALUE) <= latest
    return reached if lifetime is None else reached & (F.col(_VALUE) >= earliest - lifetime)


def _newest(examples: DataFrame, values: DataFrame, dataset: Dataset) -> DataFrame:
    matched = examples.join(values, dataset.keys).where(_in_reach(F.col(_EXAMPLE), F.col(_EXAMPLE), dataset))
    newest_first = Window.partitionBy(*dataset.keys, _EXAMPLE).orderBy(F.col(_VALUE).desc())
    numbered = matched.withColumn(_NUMBER, F.row_number().over(newest_first))
    return numbered.where(F.col(_NUMBER) == 1).drop(_NUMBER, _VALUE)
