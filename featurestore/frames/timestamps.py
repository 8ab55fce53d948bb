"""Time arithmetic on columns that no session time zone can change."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pyspark.sql import Column
from pyspark.sql import functions as F

from featurestore.definitions.time_window import to_micros

_MICROS_A_DAY = 86_400_000_000


def instant(moment: datetime) -> Column:
    """A literal instant; ``lit(datetime)`` would read a naive one in the process's zone."""
    return F.timestamp_micros(F.lit(to_micros(moment)))


def date_literal(day: date) -> Column:
    """A literal date; ``lit(date)`` loses years before 1000."""
    return F.date_from_unix_date(F.lit((day - date(1970, 1, 1)).days))


def utc_date(timestamp: Column) -> Column:
    """The UTC date of an instant, also before 1970; ``to_date`` would give the session zone's."""
    micros = F.unix_micros(timestamp)
    whole_days = micros - F.pmod(micros, F.lit(_MICROS_A_DAY))
    return F.date_from_unix_date((whole_days / F.lit(_MICROS_A_DAY)).cast("int"))


def partition_date(date: Column, partition_by: Literal["day", "month"]) -> Column:
    """The ``event_date`` under which a UTC date is stored: itself, or the first of its month."""
    return F.trunc(date, "month") if partition_by == "month" else date
