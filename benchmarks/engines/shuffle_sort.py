"""The floor: not an as-of join, but the minimum that every sort-based one on Spark must do.

The rows of spine and values become one frame with all columns that a join needs (join keys, event and created
timestamp, features, the spine's other columns). The frame is shuffled by key, sorted by (key, time) in each partition,
and consumed like the joins' results. Nothing is carried from row to row. Several groups run one after another, each
with the spine. Keys are sorted by what is cheapest to compare: a single long as it is, anything else by a hash.
"""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from benchmarks.answers import Answers
from benchmarks.dataset import TIME, Dataset, GroupFiles, Kind
from benchmarks.spark import consume, read_spine, read_values

_CREATED, _KEY_HASH = "created_timestamp", "key_hash"


def run(dataset: Dataset, spark: SparkSession) -> Answers:
    return {
        f"{group.name} {name}": number
        for group in dataset.groups
        for name, number in _shuffle_and_sort(spark, dataset, group).items()
    }


def _shuffle_and_sort(spark: SparkSession, dataset: Dataset, group: GroupFiles) -> Answers:
    values = read_values(spark, dataset, group, (TIME, _CREATED))
    rows = read_spine(spark, dataset).unionByName(values, allowMissingColumns=True)
    key = dataset.keys[0]
    if dataset.options.key_type != "long":
        key = _KEY_HASH
        rows = rows.withColumn(_KEY_HASH, F.xxhash64(*dataset.keys))
    features: dict[str, Kind] = dict.fromkeys(group.features, "double")
    columns: dict[str, Kind] = {**dataset.options.spine_columns, _CREATED: "timestamp", **features}
    return consume(rows.repartition(key).sortWithinPartitions(key, TIME), columns)
