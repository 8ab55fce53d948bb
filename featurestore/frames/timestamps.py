"""Time arithmetic on columns that does not depend on the session's time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal

from featurestore.definitions.values.time_window import TimeWindow, to_micros
from featurestore.late_spark import Column, F

_MICROS_A_DAY = 86_400_000_000


def instant(moment: datetime) -> Column:
    """A literal instant; ``lit(datetime)`` would read a naive datetime in the process's zone."""
    return F.timestamp_micros(F.lit(to_micros(moment)))


def date_literal(day: date) -> Column:
    """A literal date; ``lit(date)`` loses years before 1000."""
    return F.date_from_unix_date(F.lit((day - date(1970, 1, 1)).days))


def utc_date(timestamp: Column) -> Column:
    """The UTC date of an instant, also before 1970; ``to_date`` would return the date in the session's zone."""
    micros = F.unix_micros(timestamp)
    whole_days = micros - F.pmod(micros, F.lit(_MICROS_A_DAY))
    return F.date_from_unix_date((whole_days / F.lit(_MICROS_A_DAY)).cast("int"))


def partition_date(date: Column, partition_by: Literal["day", "month"]) -> Column:
    """The ``event_date`` under which a UTC date is stored: itself, or the first of its month."""
    return F.trunc(date, "month") if partition_by == "month" else date


def partition_of(day: date, partition_by: Literal["day", "month"]) -> date:
    """The same for a Python date."""
    return day.replace(day=1) if partition_by == "month" else day


def partitions_of(window: TimeWindow, partition_by: Literal["day", "month"]) -> tuple[date, date]:
    """The first and last ``event_date``, both included, under which rows of the window ``[start, end)`` are stored."""
    return partition_of(window.start.date(), partition_by), (window.end - timedelta(microseconds=1)).date()


def first_of_partition(at: datetime, ttl: timedelta | None, partition_by: Literal["day", "month"]) -> date | None:
    """The first ``event_date`` that can hold a value still valid at ``at``; None if there is no lower bound."""
    if ttl is None:
        return None
    try:
        return partition_of((at - ttl).date(), partition_by)
    except OverflowError:
        return None


def in_window(timestamp: Column, window: TimeWindow) -> Column:
    """Whether an instant is in ``[start, end)``."""
    return (timestamp >= instant(window.start)) & (timestamp < instant(window.end))
