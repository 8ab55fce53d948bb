"""The Spark jobs that a call runs, by Spark's own count."""

from collections.abc import Callable
from typing import Any

from pyspark.sql import SparkSession


class Jobs:
    """The jobs that a session has run."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark

    def count(self) -> int:
        return len(self.spark.sparkContext.statusTracker().getJobIdsForGroup())

    def of(self, call: Callable[[], Any]) -> int:
        before = self.count()
        call()
        return self.count() - before
