"""Moments and limits that callers give, read with errors that name the argument."""

from __future__ import annotations

from datetime import datetime, timedelta

from featurestore.definitions.values.durations import parse_duration
from featurestore.definitions.values.time_window import Finer, TimeWindow, to_instant
from featurestore.errors import InvalidArgumentError, shown

# Rows that are sorted to give the first of them: Spark makes room for so many at once, in each task.
MOST_ROWS = 1_000_000


def argument_instant(name: str, value: object, zone: str | None, finer: Finer = "up") -> datetime:
    """An aware UTC datetime; raises InvalidArgumentError naming the argument."""
    try:
        return to_instant(value, zone, finer)
    except ValueError as error:
        raise InvalidArgumentError(f"{name}: {error}") from error


def argument_window(start: object, end: object, zone: str | None) -> TimeWindow:
    """``[start, end)``; raises InvalidArgumentError where an end cannot be read or the start is not before the end."""
    return TimeWindow.of(start, end, zone)


def argument_duration(name: str, value: timedelta | str | None) -> timedelta | None:
    """A positive duration, such as ``7d``, or none; raises InvalidArgumentError naming the argument."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise InvalidArgumentError(f"{name}: {error}") from error


def argument_count(name: str, value: object, most: int = MOST_ROWS, otherwise: str = "") -> int:
    """A whole number from 1 to ``most``; raises InvalidArgumentError naming the argument, and what else is possible."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        upper = f"to {most:,}" if isinstance(value, int) and value > most else "on"
        raise InvalidArgumentError(f"{name} is {shown(value)}; give a whole number from 1 {upper}{otherwise}")
    return value


def argument_limit(limit: object) -> int | None:
    """A number of rows, or none; raises InvalidArgumentError."""
    return None if limit is None else argument_count("limit", limit, otherwise=", or none for all")
