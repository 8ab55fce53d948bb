"""This project's join, as a user calls it."""

from __future__ import annotations

from pyspark.sql import SparkSession

from benchmarks.answers import Answers
from benchmarks.dataset import TENANT, Dataset
from benchmarks.spark import consume, read_spine
from featurestore import FeatureStore, Settings


def run(dataset: Dataset, spark: SparkSession) -> Answers:
    store = FeatureStore.open(Settings(warehouse=dataset.warehouse), spark=spark).tenant(TENANT)
    features = [f"{group.name}:{feature}" for group in dataset.groups for feature in group.features]
    joined = store.get_point_in_time(read_spine(spark, dataset), features)
    return consume(joined, dataset.options.output_columns)
