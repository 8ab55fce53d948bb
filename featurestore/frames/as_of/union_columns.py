"""The columns of the union in which an as-of join sorts spine rows and value rows together."""

from __future__ import annotations

from featurestore.frames.as_of.join_rules import AsOfJoin
from featurestore.late_spark import Column, F

# A value row at event time t has the moment 2t, a spine row at time t has 2t + 1. So one long sorts both by time, and
# puts values before the spine rows that may see them.
MOMENT, EVENT, CREATED = "__moment", "__event", "__created"
# Only spine rows have these: their own columns, and the results of earlier lookups.
SPINE, RESULTS = "__spine", "__results"
# The unit that is carried forward if the latest row wins as a whole.
ROW = "__row"


def slots(join: AsOfJoin) -> list[str]:
    """Names of the features' columns; a feature's own name could collide with the spine's or this union's."""
    return [f"__feature_{index}" for index in range(len(join.features))]


def units(join: AsOfJoin) -> list[str]:
    """The units that each take a latest value: the row as a whole, or each feature on its own."""
    return [ROW] if join.nulls == "keep" else slots(join)


def row(join: AsOfJoin) -> Column:
    return F.struct(*slots(join))


def micros() -> Column:
    """The time of a spine row, or the time at which a value row becomes visible; microseconds since 1970."""
    return F.shiftright(MOMENT, 1)


def is_value() -> Column:
    return F.col(SPINE).isNull()
