"""Answers in the form that the caller chooses: a Spark DataFrame, a pandas DataFrame or an Arrow table."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa

from featurestore.operations.context import Context
from featurestore.stores.arrow import to_spark

To = Literal["spark", "pandas", "arrow"]


def given_as(context: Context, table: pa.Table, to: To) -> Any:
    """The rows as ``to`` says; Spark starts only for a Spark DataFrame."""
    if to == "arrow":
        return table
    return table.to_pandas() if to == "pandas" else to_spark(context.spark, table)
