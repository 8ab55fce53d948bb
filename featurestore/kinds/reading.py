"""A Spark column read as another type, with the reason for each value that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.late_spark import Column, F


@dataclass(frozen=True)
class Reading:
    """A column read as another type: each value, and the reason why it could not be read (null if it could)."""

    value: Column
    fault: Column

    @property
    def good_value(self) -> Column:
        """The value; null where there is a fault, because a value read in part could break further rules."""
        return F.when(self.fault.isNull(), self.value)


def good(value: Column) -> Reading:
    """A column that needs no cast."""
    return Reading(value, F.lit(None).cast("string"))


def first_of(faults: Sequence[tuple[Column, str]]) -> Column:
    """The reason of the first condition that is true; null if none is."""
    return F.coalesce(*(F.when(condition, F.lit(reason)) for condition, reason in faults), F.lit(None).cast("string"))
