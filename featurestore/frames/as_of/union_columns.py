"""The columns of the union in which an as-of join sorts spine rows and value rows together."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from featurestore.frames.as_of.join_rules import AsOfJoin

# A value row at event time t has moment 2t, a spine row at time t has moment 2t + 1: one long sorts both by time, and
# values before the spine rows that may see them.
MOMENT, EVENT, CREATED = "__moment", "__event", "__created"
# Of spine rows only: their own columns, and the results of earlier lookups.
SPINE, RESULTS = "__spine", "__results"
# The unit that is carried on where the latest row wins as a whole.
ROW = "__row"


def slots(join: AsOfJoin) -> list[str]:
    """The features' columns: a feature's own name may be one of the spine's, or of this union's."""
    return [f"__feature_{index}" for index in range(len(join.features))]


def units(join: AsOfJoin) -> list[str]:
    """What takes a latest value each: the row as a whole, or every feature on its own."""
    return [ROW] if join.nulls == "keep" else slots(join)


def row(join: AsOfJoin) -> Column:
    return F.struct(*slots(join))


def micros() -> Column:
    """A row's time; of a value row, when it becomes visible."""
    return F.shiftright(MOMENT, 1)


def is_value() -> Column:
    return F.col(SPINE).isNull()
