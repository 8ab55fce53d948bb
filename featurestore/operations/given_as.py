"""Answers in the form that the caller chooses: a Spark DataFrame, a pandas DataFrame or an Arrow table."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
from pyspark.sql import DataFrame

from featurestore.operations.context import Context
from featurestore.stores.arrow import to_spark

To = Literal["spark", "pandas", "arrow"]


def given_as(context: Context, table: pa.Table, to: To) -> Any:
    """The rows as ``to`` says; Spark starts only for a Spark DataFrame."""
    if to == "arrow":
        return table
    return table.to_pandas() if to == "pandas" else to_spark(context.spark, table)


def frame_as(rows: DataFrame, to: To) -> Any:
    """The rows of a Spark DataFrame as ``to`` says."""
    if to == "spark":
        return rows
    table = rows.toArrow()
    return table.to_pandas() if to == "pandas" else table
