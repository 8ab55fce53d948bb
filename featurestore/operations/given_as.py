"""Answers in the form that the caller chooses: a Spark DataFrame, a pandas DataFrame or an Arrow table."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import pyarrow as pa

from featurestore.frames.training_sets.pandas_columns import pandas_column
from featurestore.late_pandas import pd
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
    return exact_pandas(table) if to == "pandas" else to_spark(context.spark, table)


def frame_as(rows: DataFrame, to: To) -> Frame:
    """The rows of a Spark DataFrame as ``to`` says."""
    if to == "spark":
        return rows
    table = rows.toArrow()
    return exact_pandas(table) if to == "pandas" else table


def exact_pandas(table: pa.Table) -> pd.DataFrame:
    """The rows in pandas: as Arrow makes them, but for whole numbers and booleans with nulls, which are never rounded.

    Whole numbers are float64 with NaN where that holds them all exactly, else Int64; booleans are ``boolean``.
    """
    rows: pd.DataFrame = table.to_pandas()
    for field in table.schema:
        column = table.column(field.name)
        if column.null_count and (pa.types.is_signed_integer(field.type) or pa.types.is_boolean(field.type)):
            rows[field.name] = pandas_column(column, "boolean" if pa.types.is_boolean(field.type) else "bigint")
    return rows
