"""Instants and half-open windows of time; always aware, always UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from featurestore.errors import InvalidArgumentError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_instant(value: Any, zone: str | None = None) -> datetime:
    """An aware UTC datetime from an aware datetime or an ISO 8601 text with an offset.

    Naive and date-only values are refused unless ``zone`` names the time zone to read them in.
    Raises ValueError.
    """
    moment = value
    if isinstance(moment, str):
        moment = _parse_text(moment)
    if isinstance(moment, date) and not isinstance(moment, datetime):
        if zone is None:
            raise ValueError(f"{value!r} is a date without a time; give an instant with its offset")
        moment = datetime.combine(moment, time.min)
    if not isinstance(moment, datetime):
        raise ValueError(f"{value!r} ({type(value).__name__}) is not a timestamp")
    if moment.tzinfo is None or moment.utcoffset() is None:
        if zone is None:
            raise ValueError(
                f"{value!r} has no time zone; add an offset, or name the zone to read it in (timestamp_zone in the settings)"
            )
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{value!r} is outside the years 1 to 9999") from error


def _parse_text(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an ISO 8601 timestamp such as '2026-11-01T12:00:00Z'") from None


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01T00:00:00Z, exact."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The aware UTC datetime of ``to_micros``."""
    return _EPOCH + micros * _MICROSECOND


def _utc(moment: datetime) -> str:
    """As one writes it: ``2026-11-01T00:00:00Z``."""
    return moment.isoformat().replace("+00:00", "Z")


def in_utc(value: Any) -> Any:
    """A moment in UTC; any other value as it is."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


@dataclass(frozen=True)
class TimeWindow:
    """``[start, end)``: the start is in, the end is not."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, start: Any, end: Any, zone: str | None = None) -> TimeWindow:
        """Read both ends; raises InvalidArgumentError when the window would be empty."""
        window = cls(to_instant(start, zone), to_instant(end, zone))
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
            end = min(start + every, self.end)
            windows.append(TimeWindow(start, end))
            start = end
        return windows

    def __str__(self) -> str:
        return f"[{_utc(self.start)}, {_utc(self.end)})"
