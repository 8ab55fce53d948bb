"""How the latest value is carried forward to spine rows: in the order of event time, or in the order of knowledge.

Without ``known_at="event"``, a value row becomes visible at its event time, so the latest is the last row so far. With
it, a value row becomes visible when it is known. This is not the order of event time, so the latest is the greatest
candidate so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from featurestore.frames.as_of.hot_keys import carried_column
from featurestore.frames.as_of.join_rules import AsOfJoin
from featurestore.frames.as_of.union_columns import CREATED, EVENT, MOMENT, ROW, is_value, micros, row, slots, units
from featurestore.late_spark import Column, F, W, WindowSpec

_NEWEST = "__newest_event"


class Latest(Protocol):
    """One order in which value rows become visible. Times are in microseconds since 1970."""

    def times(self, event: Column, created: Column) -> list[Column]:
        """The time columns of a value row in the union, from its two timestamps."""

    def candidate(self, unit: str) -> Column:
        """A value row as a struct for the unit; the greatest is the latest. Null if the row has no value."""

    def running(self, by: Sequence[str]) -> list[Column]:
        """Running columns that carry each unit's latest value forward to the spine rows."""

    def completed(self) -> dict[str, Column]:
        """The running columns by name, completed with the values that earlier chunks of a hot key carry forward."""

    def value(self, unit: str, slot: str) -> Column:
        """The value that a spine row takes for a slot of the unit, whatever its age."""

    def event_time(self, unit: str) -> Column:
        """The event time of the value that a spine row takes for the unit, whatever its age."""

    def newest_event(self) -> Column:
        """The newest event time among the values visible to a spine row."""


def latest_of(join: AsOfJoin) -> Latest:
    return ByKnowledge(join) if join.known_at == "event" else ByEventTime(join)


@dataclass(frozen=True)
class ByEventTime:
    """The last value so far, and its event time if the join needs it."""

    join: AsOfJoin

    def times(self, event: Column, created: Column) -> list[Column]:
        return [(event * 2).alias(MOMENT), created.alias(CREATED)]

    def candidate(self, unit: str) -> Column:
        return _candidate(self.join, unit, micros())

    def running(self, by: Sequence[str]) -> list[Column]:
        # The sort compares features only if event and created timestamps are equal.
        window = _running(by, MOMENT, CREATED, *slots(self.join))
        present = {unit: F.when(is_value(), row(self.join)) if unit == ROW else F.col(unit) for unit in self._units}
        latest = [F.last(value, ignorenulls=True).over(window).alias(unit) for unit, value in present.items()]
        if not self.join.needs_event_times:
            return [*latest, F.max(F.when(is_value(), micros())).over(window).alias(_NEWEST)]
        times = {unit: F.when(is_value() & value.isNotNull(), micros()) for unit, value in present.items()}
        return [
            *latest,
            *(F.last(time, ignorenulls=True).over(window).alias(_time(unit)) for unit, time in times.items()),
        ]

    def completed(self) -> dict[str, Column]:
        completed = {}
        for unit in self._units:
            before = F.col(carried_column(unit))
            # A value of the chunk itself is later than any value of earlier chunks.
            completed[unit] = F.coalesce(F.col(unit), before[ROW] if unit == ROW else before[ROW][unit])
            if self.join.needs_event_times:
                completed[_time(unit)] = F.coalesce(F.col(_time(unit)), before[EVENT])
        return completed

    def value(self, unit: str, slot: str) -> Column:
        return F.col(ROW)[slot] if unit == ROW else F.col(unit)

    def event_time(self, unit: str) -> Column:
        return F.col(_time(unit))

    def newest_event(self) -> Column:
        return greatest(
            [self.event_time(unit) for unit in self._units] if self.join.needs_event_times else [F.col(_NEWEST)]
        )

    @property
    def _units(self) -> list[str]:
        return units(self.join)


@dataclass(frozen=True)
class ByKnowledge:
    """The greatest candidate so far: a row that becomes known later may have an earlier event time."""

    join: AsOfJoin

    def times(self, event: Column, created: Column) -> list[Column]:
        return [(F.greatest(event, created) * 2).alias(MOMENT), event.alias(EVENT), created.alias(CREATED)]

    def candidate(self, unit: str) -> Column:
        return _candidate(self.join, unit, F.col(EVENT))

    def running(self, by: Sequence[str]) -> list[Column]:
        known = {unit: F.when(is_value(), self.candidate(unit)) for unit in units(self.join)}
        return [F.max(candidate).over(_running(by, MOMENT)).alias(unit) for unit, candidate in known.items()]

    def completed(self) -> dict[str, Column]:
        return {unit: F.greatest(F.col(unit), F.col(carried_column(unit))) for unit in units(self.join)}

    def value(self, unit: str, slot: str) -> Column:
        return F.col(unit)[ROW][slot]

    def event_time(self, unit: str) -> Column:
        return F.col(unit)[EVENT]

    def newest_event(self) -> Column:
        return greatest([self.event_time(unit) for unit in units(self.join)])


def greatest(columns: Sequence[Column]) -> Column:
    """The greatest of the columns, ignoring nulls; Spark's own function refuses a single column."""
    return F.greatest(*columns) if len(columns) > 1 else columns[0]


def _candidate(join: AsOfJoin, unit: str, event: Column) -> Column:
    candidate = F.struct(event.alias(EVENT), F.col(CREATED), row(join).alias(ROW))
    return candidate if unit == ROW else F.when(F.col(unit).isNotNull(), candidate)


def _running(by: Sequence[str], *order: str) -> WindowSpec:
    return W.partitionBy(*by).orderBy(*order).rowsBetween(W.unboundedPreceding, W.currentRow)


def _time(unit: str) -> str:
    return f"{unit}_event"
