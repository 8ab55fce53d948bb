"""Read periods as callers write them: whole UTC days, or whole months if the group is partitioned by month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, TypeAlias

from featurestore.definitions.values.durations import parse_duration
from featurestore.definitions.values.time_window import TimeWindow, to_instant
from featurestore.errors import InvalidArgumentError

PartitionBy = Literal["day", "month"]
PeriodLike: TypeAlias = str | Sequence[Any] | TimeWindow

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Period:
    """The UTC days in ``[first, end)``."""

    first: date
    end: date

    @property
    def last(self) -> date:
        return self.end - _DAY

    def __str__(self) -> str:
        return f"{self.first.isoformat()}/{self.end.isoformat()}"


def read_period(name: str, value: PeriodLike, ends_at: date, partition_by: PartitionBy) -> Period:
    """A period from its two bounds, a pair or ``"2026-11-01/2026-11-08"``, or from a length that ends at ``ends_at``.

    A bound is a date, or an instant that begins a UTC day; the first day is included, the end is not. A length has
    whole days (``"7d"``). If the group is partitioned by month, periods are whole months. Raises InvalidArgumentError
    naming the argument.
    """
    try:
        period = _read(value, ends_at)
    except (ValueError, TypeError) as error:
        raise InvalidArgumentError(
            f"{name}: {value!r} is not a period: {error}; write '2026-11-01/2026-11-08', a pair of dates, or '7d'"
        ) from error
    if period.first >= period.end:
        raise InvalidArgumentError(f"{name}: the period's first day {period.first} is not before its end {period.end}")
    if partition_by == "month" and (period.first.day, period.end.day) != (1, 1):
        raise InvalidArgumentError(
            f"{name}: {period} does not cover whole months, and the group is partitioned by month; "
            "write '2026-10-01/2026-11-01'"
        )
    return period


def _read(value: PeriodLike, ends_at: date) -> Period:
    if isinstance(value, TimeWindow):
        return Period(_day(value.start), _day(value.end))
    if isinstance(value, str) and "/" not in value:
        length = parse_duration(value)
        if length % _DAY:
            raise ValueError("a length must be whole days")
        return Period(ends_at - length, ends_at)
    first, end = tuple(value.split("/")) if isinstance(value, str) else tuple(value)
    return Period(_day(first), _day(end))


def _day(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    moment = to_instant(value, "UTC") if isinstance(value, str) and len(value) == 10 else to_instant(value)
    if moment != datetime(moment.year, moment.month, moment.day, tzinfo=UTC):
        raise ValueError(f"{moment.isoformat()} does not begin a UTC day")
    return moment.date()


def last_whole(now: datetime, partition_by: PartitionBy) -> date:
    """The end of the last day, or month, that is over."""
    return now.date().replace(day=1) if partition_by == "month" else now.date()


def months_before(end: date, months: int) -> Period:
    """The period of this many whole months that ends at ``end``, the first day of a month."""
    count = 12 * end.year + end.month - 1 - months
    return Period(date(count // 12, count % 12 + 1, 1), end)
