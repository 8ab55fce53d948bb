"""dbl-tempo's ``TSDF.asofJoin`` with its defaults: one time series per key, several groups one after another.

Its ``tolerance`` is the TTL, inclusive at both ends, but it bounds the age of the latest row; if nulls are skipped, the
answers therefore differ. Its option against skew (``tsPartitionVal``) is not used, because it looks back only to the
previous time bracket, and loses older values.
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
        result = series.asofJoin(values, right_prefix=_PREFIX, skipNulls=options.nulls == "skip", tolerance=tolerance)
        renamed = {f"{_PREFIX}_{feature}": feature for feature in group.features}
        joined = result.df.drop(f"{_PREFIX}_{TIME}").withColumnsRenamed(renamed)
    return consume(joined, options.output_columns)
