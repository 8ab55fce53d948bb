"""Moments and limits that callers give, read with errors that name the argument."""

from __future__ import annotations

from datetime import datetime, timedelta

from featurestore.definitions.durations import parse_duration
from featurestore.definitions.time_window import TimeWindow, to_instant
from featurestore.errors import InvalidArgumentError


def argument_instant(name: str, value: object, zone: str | None) -> datetime:
    """An aware UTC datetime; raises InvalidArgumentError naming the argument."""
    try:
        return to_instant(value, zone)
    except ValueError as error:
        raise InvalidArgumentError(f"{name}: {error}") from error


def argument_window(start: object, end: object, zone: str | None) -> TimeWindow:
    """``[start, end)``; raises InvalidArgumentError where an end cannot be read or the start is not before the end."""
    return TimeWindow.of(argument_instant("start", start, zone), argument_instant("end", end, zone))


def argument_duration(name: str, value: timedelta | str | None) -> timedelta | None:
    """A positive duration, such as ``7d``, or none; raises InvalidArgumentError naming the argument."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise InvalidArgumentError(f"{name}: {error}") from error


def argument_limit(limit: object) -> int | None:
    """A number of rows from 1 on, or none; raises InvalidArgumentError."""
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidArgumentError(f"limit is {limit!r}; give a whole number from 1 on, or none for all")
    return limit
