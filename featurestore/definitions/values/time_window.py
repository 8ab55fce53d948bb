"""Instants and half-open windows of time; always aware, always UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from featurestore.definitions.values.iso_times import parse_moment
from featurestore.errors import InvalidArgumentError, shown

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# The direction in which a time finer than a microsecond is rounded.
Finer = Literal["up", "down"]


class NaiveMomentError(ValueError):
    """A moment has no time zone, and the caller named no zone to read it in."""


class DateWithoutTimeError(ValueError):
    """A moment is needed, the value is a date, and the caller named no zone to read its midnight in."""


class OutsideYearsError(ValueError):
    """A moment is outside the years 1 to 9999 in UTC."""


def to_instant(value: Any, zone: str | None = None, finer: Finer = "up") -> datetime:
    """Return an aware UTC datetime for a datetime (pandas' and NumPy's, too) or an ISO 8601 text.

    Naive and date-only values are refused unless ``zone`` names the time zone to read them in. Times are kept in
    microseconds. A finer value is rounded ``up`` for an event, which must not be seen before it happened, or ``down``
    for a moment that must not see what comes after it. Raises ValueError.
    """
    moment, nanoseconds = _local_or_aware(value)
    if isinstance(moment, date) and not isinstance(moment, datetime):
        if zone is None:
            raise DateWithoutTimeError(f"{shown(value)} is a date without a time; give an instant with its offset")
        moment = datetime.combine(moment, time.min)
    if not isinstance(moment, datetime):
        raise ValueError(f"{shown(value)} ({type(value).__name__}) is not a timestamp")
    if moment.tzinfo is None or moment.utcoffset() is None:
        if zone is None:
            raise NaiveMomentError(
                f"{shown(value)} has no time zone; add an offset, or name the zone to read it in "
                "(timestamp_zone in the settings)"
            )
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    try:
        return moment.astimezone(UTC) + (_MICROSECOND if nanoseconds and finer == "up" else timedelta(0))
    except OverflowError as error:
        raise OutsideYearsError(f"{shown(value)} is outside the years 1 to 9999") from error


def _local_or_aware(value: Any) -> tuple[Any, int]:
    """A plain date or datetime down to its microsecond, and the remaining nanoseconds; None and 0 for other values."""
    if isinstance(value, str):
        return parse_moment(value)
    if type(value).__name__ == "datetime64" and type(value).__module__ == "numpy":
        return _from_numpy(value)
    # pandas' missing timestamp is a datetime, too, but it is not equal to itself.
    if not isinstance(value, date) or value != value:
        return None, 0
    if not isinstance(value, datetime):
        return date(value.year, value.month, value.day), 0
    fields = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
    return datetime(*fields, tzinfo=value.tzinfo, fold=value.fold), getattr(value, "nanosecond", 0)


def _from_numpy(value: Any) -> tuple[Any, int]:
    """The whole microseconds of a ``datetime64``, rounded down, and whether there is a remainder."""
    # NumPy cannot convert units of a picosecond and finer to years; their range is a short time around 1970.
    tiny = value.dtype.name.endswith(("ps]", "fs]", "as]"))
    calendar = value.astype("datetime64[us]" if tiny else "datetime64[Y]").item()
    if calendar is None:
        return None, 0
    if not isinstance(calendar, date):
        raise OutsideYearsError(f"{shown(value)} is outside the years 1 to 9999")
    micros = value.astype("datetime64[us]")
    return micros.item(), int(micros.astype(value.dtype) != value)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01T00:00:00Z, exact."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The aware UTC datetime of ``to_micros``."""
    return _EPOCH + micros * _MICROSECOND


def _utc(moment: datetime) -> str:
    """The moment as ``2026-11-01T00:00:00Z``."""
    return moment.isoformat().replace("+00:00", "Z")


def in_utc(value: Any) -> Any:
    """Convert a moment to UTC; return any other value unchanged."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _window_bound(name: str, value: Any, zone: str | None) -> datetime:
    """The start or end of a window, rounded up as event timestamps are, so that no event changes sides."""
    try:
        return to_instant(value, zone)
    except ValueError as error:
        raise InvalidArgumentError(f"{name}: {error}") from error


@dataclass(frozen=True)
class TimeWindow:
    """``[start, end)``: the start is included, the end is not."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            moment = getattr(self, name)
            if type(moment) is not datetime or moment.tzinfo is not UTC:
                object.__setattr__(self, name, _window_bound(name, moment, None))

    @classmethod
    def of(cls, start: Any, end: Any, zone: str | None = None) -> TimeWindow:
        """Read both bounds; raises InvalidArgumentError if one cannot be read or the window would be empty."""
        window = cls(_window_bound("start", start, zone), _window_bound("end", end, zone))
        if window.start >= window.end:
            raise InvalidArgumentError(
                f"the window's start {_utc(window.start)} is not before its end {_utc(window.end)}"
            )
        return window

    def split(self, every: timedelta) -> list[TimeWindow]:
        """Consecutive windows of length ``every`` that cover this one; the last may be shorter."""
        windows = []
        start = self.start
        while start < self.end:
            end = start + every if every < self.end - start else self.end
            windows.append(TimeWindow(start, end))
            start = end
        return windows

    def __str__(self) -> str:
        return f"[{_utc(self.start)}, {_utc(self.end)})"
