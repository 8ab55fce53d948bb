"""Faults of rows in Spark: each knows its column until the row has been checked, then it becomes text."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.late_spark import Column, F


def faults_present(reasons: Sequence[tuple[str | None, Column]]) -> Column:
    """An array of the faults that have a reason, in order.

    Each pair is a column's name (None for the whole row) and a reason or null.
    """
    faults = [F.struct(F.lit(name).cast("string").alias("column"), reason.alias("reason")) for name, reason in reasons]
    return F.filter(F.array(*faults), lambda fault: fault["reason"].isNotNull())


def no_faults() -> Column:
    return faults_present([(None, F.lit(None).cast("string"))])


def is_unreadable(faults: Column, name: str) -> Column:
    """Whether the value of the column ``name`` could not be read; never null."""
    return F.exists(faults, lambda fault: fault["column"].eqNullSafe(F.lit(name)))


def reasons_of(faults: Column) -> Column:
    """Each fault as text: ``age: not a whole number, for long``."""
    return F.transform(
        faults,
        lambda fault: F.concat(
            F.coalesce(F.concat(fault["column"], F.lit(": ")), F.lit("")),
            fault["reason"],
        ),
    )
