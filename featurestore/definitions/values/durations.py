"""Durations as people write them: ``90m``, ``36h``, ``7d``, ``2w``, a timedelta, or ISO 8601 (``P7D``)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, ValidationError

from featurestore.errors import shown

_SHORT = re.compile(r"(\d{1,18})\s*(us|ms|s|m|h|d|w)")
_UNITS = {
    "us": timedelta(microseconds=1),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
# From the year 1 to 9999. In microseconds it fits a long, even when it is added to a moment.
_LONGEST = timedelta(days=3_652_425)
_ISO = TypeAdapter(timedelta)
_SPOKEN = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def parse_duration(value: Any) -> timedelta:
    """Read a positive duration; raises ValueError, which says how to write one."""
    duration = _read(value)
    if duration > _LONGEST:
        raise ValueError(f"duration {shown(value)} is too long; give at most 10,000 years")
    if duration <= timedelta(0):
        raise ValueError(f"duration {shown(value)} must be longer than zero")
    return duration


def _read(value: Any) -> timedelta:
    if type(value).__name__ == "timedelta64" and type(value).__module__ == "numpy":
        return _from_numpy(value)
    if isinstance(value, timedelta) and value == value:
        if getattr(value, "nanoseconds", 0):
            raise ValueError(f"duration {shown(value)} is finer than a microsecond")
        return timedelta(value.days, value.seconds, value.microseconds)
    if isinstance(value, str):
        match = _SHORT.fullmatch(value.strip())
        try:
            if match:
                return int(match.group(1)) * _UNITS[match.group(2)]
            if value.startswith("P"):
                return _ISO.validate_python(value)
        except OverflowError:
            raise ValueError(f"duration {shown(value)} is too long; give at most 10,000 years") from None
        except ValidationError:
            pass
    raise ValueError(f"duration {shown(value)} cannot be read; write '90m', '36h', '7d', '2w' or ISO 8601 as 'P7D'")


def _from_numpy(value: Any) -> timedelta:
    """Read a ``timedelta64``; its unit may be a nanosecond, or a month, which has no fixed length."""
    try:
        micros = value.astype("timedelta64[us]")
        if micros == value and isinstance(micros.item(), timedelta):
            return cast(timedelta, micros.item())
    except TypeError:
        pass
    raise ValueError(f"duration {shown(value)} is not a whole number of microseconds")


def format_duration(duration: timedelta) -> str:
    """The shortest exact spelling that ``parse_duration`` reads back."""
    for unit in ("w", "d", "h", "m", "s", "ms", "us"):
        if duration % _UNITS[unit] == timedelta(0):
            return f"{duration // _UNITS[unit]}{unit}"
    raise AssertionError("a timedelta is a whole number of microseconds")


def spoken(seconds: float | None) -> str:
    """An age as people say it: ``49 min``, ``1.5 h``, ``12 d``; ``-`` for None.

    The unit is the greatest of which the age has at least one.
    """
    if seconds is None:
        return "-"
    for size, unit in _SPOKEN:
        if abs(seconds) >= size:
            amount = seconds / size
            return f"{amount:.0f} {unit}" if abs(amount) >= 10 or amount == round(amount) else f"{amount:.1f} {unit}"
    return "0 s" if seconds == 0 else f"{seconds * 1000:.0f} ms"


def microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


# Read from any of these forms, and stored in the short one.
Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration)]
