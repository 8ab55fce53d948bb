"""This project's join by Spark alone: spine and values in one frame, one shuffle, one sort, a running window."""

from __future__ import annotations

from pyspark.sql import SparkSession

from benchmarks.answers import Answers
from benchmarks.dataset import Dataset
from benchmarks.engines.hosts import point_in_time
from benchmarks.spark import consume, read_spine


def run(dataset: Dataset, spark: SparkSession) -> Answers:
    joined = point_in_time(dataset, read_spine(spark, dataset), "by_shuffle", spark)
    return consume(joined, dataset.options.output_columns)
