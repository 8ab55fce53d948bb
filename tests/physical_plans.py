"""Spark's physical plans, as text."""

from __future__ import annotations

from pyspark.sql import DataFrame


def plan_of(frame: DataFrame) -> str:
    """The physical plan, in full; the order of conditions in it is Spark's, and differs from run to run."""
    session = frame.sparkSession
    session.conf.set("spark.sql.maxMetadataStringLength", "100000")
    try:
        text = str(frame._jdf.queryExecution().executedPlan().toString())
    finally:
        session.conf.unset("spark.sql.maxMetadataStringLength")
    return text
