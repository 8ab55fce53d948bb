"""Columns: references that take any name literally (dots, spaces and backticks are part of it), arrays of values."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.late_spark import Column, DataFrame, F


def column(name: str) -> Column:
    return F.col("`" + name.replace("`", "``") + "`")


def those_present(maybe: Sequence[Column]) -> Column:
    """An array of the values that are not null, in their order."""
    return F.filter(F.array(*maybe), lambda value: value.isNotNull())


def numbered(rows: DataFrame) -> DataFrame:
    """The rows with plain names of columns, by their places: Spark's tasks take names with dots and backticks apart."""
    return rows.toDF(*(f"column_{place}" for place in range(len(rows.columns))))
