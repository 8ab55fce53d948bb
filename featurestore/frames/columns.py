"""Columns: references that take any name literally (dots, spaces and backticks are part of it), arrays of values."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.late_spark import Column, F


def column(name: str) -> Column:
    return F.col("`" + name.replace("`", "``") + "`")


def those_present(maybe: Sequence[Column]) -> Column:
    """An array of the values that are not null, in their order."""
    return F.filter(F.array(*maybe), lambda value: value.isNotNull())
