"""dbl-tempo's ``TSDF.asofJoin``, with its defaults: one time series a key, several groups one after another.

Its ``tolerance`` is the TTL: both ends included, but of the age of the latest row, so where nulls are skipped it answers
another question. Its way against skew (``tsPartitionVal``) is not used: it looks back only as far as the time bracket
before, and loses older values.
"""

from __future__ import annotations

from pyspark.sql import SparkSession
from tempo import TSDF

from benchmarks.answers import Answers
from benchmarks.dataset import TIME, Dataset
from benchmarks.spark import consume, read_spine, read_values

_PREFIX = "right"


def run(dataset: Dataset, spark: SparkSession) -> Answers:
    options = dataset.options
    tolerance = None if options.ttl_microseconds is None else options.ttl_microseconds / 1_000_000
    joined = read_spine(spark, dataset)
    for group in dataset.groups:
        values = TSDF(read_values(spark, dataset, group), ts_col=TIME, partition_cols=dataset.keys)
        series = TSDF(joined, ts_col=TIME, partition_cols=dataset.keys)
        found = series.asofJoin(values, right_prefix=_PREFIX, skipNulls=options.nulls == "skip", tolerance=tolerance)
        renamed = {f"{_PREFIX}_{feature}": feature for feature in group.features}
        joined = found.df.drop(f"{_PREFIX}_{TIME}").withColumnsRenamed(renamed)
    return consume(joined, options.output_columns)
