"""A Spark column read as another type, and the reason of each value that cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.kinds.late_spark import Column, F


@dataclass(frozen=True)
class Reading:
    """A column read as another type: the value, and the reason why it could not be read, null where it could."""

    value: Column
    fault: Column

    @property
    def good_value(self) -> Column:
        """The value, null where there is a fault: a value that is half read would break rules of its own."""
        return F.when(self.fault.isNull(), self.value)


def good(value: Column) -> Reading:
    """Read as it is."""
    return Reading(value, F.lit(None).cast("string"))


def first_of(faults: Sequence[tuple[Column, str]]) -> Column:
    """The reason of the first condition that holds; null where none does."""
    return F.coalesce(*(F.when(condition, F.lit(reason)) for condition, reason in faults), F.lit(None).cast("string"))
