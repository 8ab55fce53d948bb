"""Spark's window with a range frame: events and spine rows in one frame, partitioned by key and ordered by time."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from benchmarks.window_data import WindowData
from benchmarks.window_engines import FUNCTIONS


def aggregate(data: WindowData, window: int, spark: SparkSession) -> DataFrame:
    events, spine = (spark.read.parquet(path) for path in (data.events, data.spine))
    rows = events.unionByName(spine, allowMissingColumns=True).withColumn("micros", F.unix_micros("at"))
    # The lower end of a range is included.
    frame = Window.partitionBy("user_id").orderBy("micros").rangeBetween(-(window - 1), Window.currentRow)
    amount = F.col("amount")
    aggregates = [
        function(amount).over(frame).alias(name)
        for name, function in zip(FUNCTIONS, (F.sum, F.avg, F.count, F.min, F.max), strict=True)
    ]
    return rows.select("id", *aggregates).where(F.col("id").isNotNull())
