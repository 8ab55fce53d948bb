"""Readings of a frame's columns as columns of their own."""

from __future__ import annotations

from collections.abc import Mapping

from featurestore.frames.columns import column
from featurestore.kinds.reading import Reading
from featurestore.late_spark import DataFrame


def with_readings(rows: DataFrame, readings: Mapping[str, Reading]) -> tuple[DataFrame, dict[str, Reading]]:
    """The rows with a column for each reading's value and fault, and the readings that name these columns.

    What is made of a reading names its fault several times. Spark plans an expression as often as it is named, and that
    of a text that is read as a timestamp is large; it plans a column once.
    """
    aliases = {name: (f"__value_{number}", f"__fault_{number}") for number, name in enumerate(readings)}
    made = [
        part.alias(alias)
        for name, reading in readings.items()
        for part, alias in zip((reading.value, reading.fault), aliases[name], strict=True)
    ]
    named = {name: Reading(column(value), column(fault)) for name, (value, fault) in aliases.items()}
    return rows.select("*", *made), named
