"""Answers in the form that the caller chooses: a Spark DataFrame, a pandas DataFrame or an Arrow table."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import pyarrow as pa

from featurestore.late_spark import DataFrame
from featurestore.operations.context import Context
from featurestore.stores.arrow import to_spark

To = Literal["spark", "pandas", "arrow"]
# A Spark DataFrame, a pandas DataFrame or an Arrow table, as the caller's ``to`` says.
Frame: TypeAlias = Any


def given_as(context: Context, table: pa.Table, to: To) -> Frame:
    """The rows as ``to`` says; Spark starts only for a Spark DataFrame."""
    if to == "arrow":
        return table
    return table.to_pandas() if to == "pandas" else to_spark(context.spark, table)


def frame_as(rows: DataFrame, to: To) -> Frame:
    """The rows of a Spark DataFrame as ``to`` says."""
    if to == "spark":
        return rows
    table = rows.toArrow()
    return table.to_pandas() if to == "pandas" else table
