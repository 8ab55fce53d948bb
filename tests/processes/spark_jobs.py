"""The Spark jobs that a call runs, by Spark's own count."""

from collections.abc import Callable
from typing import Any

from pyspark.sql import SparkSession


class Jobs:
    """The jobs that a session has run."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark

    def count(self) -> int:
        """How many jobs the scheduler has started.

        Its status tracker lists only the newest thousand, and learns of a job later than the caller.
        """
        return int(self.spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs())

    def of(self, call: Callable[[], Any]) -> int:
        before = self.count()
        call()
        return self.count() - before
