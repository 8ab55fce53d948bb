"""Read instants, durations and limits that callers pass; every error names the argument."""

from __future__ import annotations

from datetime import datetime, timedelta

from featurestore.definitions.values.durations import parse_duration
from featurestore.definitions.values.time_window import Finer, TimeWindow, to_instant
from featurestore.errors import InvalidArgumentError, shown

# The largest limit. To return the first rows of a sorted frame, each of Spark's tasks holds that many rows in memory.
MOST_ROWS = 1_000_000


def argument_instant(name: str, value: object, zone: str | None, finer: Finer = "up") -> datetime:
    """An aware datetime in UTC; raises InvalidArgumentError naming the argument."""
    try:
        return to_instant(value, zone, finer)
    except ValueError as error:
        raise InvalidArgumentError(f"{name}: {error}") from error


def argument_window(start: object, end: object, zone: str | None) -> TimeWindow:
    """``[start, end)``; raises InvalidArgumentError if a bound cannot be read or the start is not before the end."""
    return TimeWindow.of(start, end, zone)


def argument_duration(name: str, value: timedelta | str | None) -> timedelta | None:
    """A positive duration, such as ``7d``, or None; raises InvalidArgumentError naming the argument."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise InvalidArgumentError(f"{name}: {error}") from error


def argument_count(name: str, value: object, most: int = MOST_ROWS, otherwise: str = "") -> int:
    """A whole number from 1 to ``most``; raises InvalidArgumentError naming the argument and the other possibilities.

    ``otherwise`` ends the message with what else the caller may pass.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        upper = f"to {most:,}" if isinstance(value, int) and value > most else "on"
        raise InvalidArgumentError(f"{name} is {shown(value)}; give a whole number from 1 {upper}{otherwise}")
    return value


def argument_limit(limit: object) -> int | None:
    """A number of rows, or None for all; raises InvalidArgumentError."""
    return None if limit is None else argument_count("limit", limit, otherwise=", or None for all")
