"""Calendar buckets of a time zone: local hours, days, ISO weeks and months, each as a span of instants.

The buckets of a zone follow each other on the time line, without gap or overlap, whatever its clocks do:

- An hour begins at each full hour of the local clock, and at each clock change. The hour that comes twice at the end of
  summer time is two buckets.
- A day begins when the local clock first shows its date: at midnight or, if midnight is skipped, at the clock change.
  A day with a clock change has 23 or 25 hours. Weeks begin on Mondays, months on their first day.
"""

from __future__ import annotations

from typing import Literal, get_args
from zoneinfo import available_timezones

from featurestore.errors import InvalidArgumentError, nearest
from featurestore.frames.timestamps import utc_date
from featurestore.late_spark import Column, F

Every = Literal["hour", "day", "week", "month"]
EVERY: tuple[str, ...] = get_args(Every)

_SECOND = 1_000_000
_HOUR, _DAY = 3_600 * _SECOND, 86_400 * _SECOND
# Together a day and a half; no clock was ever changed by more than a day.
_STEPS = [2**power * _SECOND for power in range(16, -1, -1)]


def check_zone(zone: object) -> str:
    """Return the name of a time zone; raises InvalidArgumentError, with the nearest names, for an unknown one."""
    zones = available_timezones()
    if not isinstance(zone, str) or zone not in zones:
        hint = nearest(zone, zones) if isinstance(zone, str) else ""
        raise InvalidArgumentError(
            f"time_zone {zone!r} is not known; write one such as 'America/New_York'. {hint}".rstrip()
        )
    return zone


def bucket_start(timestamp: Column, every: Every, zone: str) -> Column:
    """The first instant of the bucket that contains ``timestamp``; exact to the microsecond, null for null.

    It does not depend on the session's time zone.
    """
    if every == "hour":
        return _hour_start(timestamp, zone)
    first_date = _first_date(utc_date(_clock(timestamp, zone)), every)
    # A clock that is set back over midnight shows a date again although the next date had begun.
    successor = _first_instant(_next_date(first_date, every), zone)
    return F.when(timestamp >= successor, successor).otherwise(_first_instant(first_date, zone))


def bucket_end(start: Column, every: Every, zone: str) -> Column:
    """The first instant after the bucket that begins at ``start``."""
    if every == "hour":
        return _hour_end(start, zone)
    first_date = _first_date(utc_date(_clock(start, zone)), every)
    return _first_instant(_next_date(first_date, every), zone)


def _clock(timestamp: Column, zone: str) -> Column:
    """The time that the zone's clock shows, as the instant at which a clock in UTC shows the same."""
    return F.from_utc_timestamp(timestamp, zone)


def _offset(timestamp: Column, zone: str) -> Column:
    """Microseconds by which the zone's clock is ahead of UTC."""
    return F.unix_micros(_clock(timestamp, zone)) - F.unix_micros(timestamp)


def _past_the_hour(timestamp: Column, zone: str) -> Column:
    return F.pmod(F.unix_micros(_clock(timestamp, zone)), F.lit(_HOUR))


def _hour_start(timestamp: Column, zone: str) -> Column:
    full_hour = F.timestamp_micros(F.unix_micros(timestamp) - _past_the_hour(timestamp, zone))
    unchanged = _offset(full_hour, zone) == _offset(timestamp, zone)
    return F.when(unchanged, full_hour).otherwise(_clock_change(full_hour, timestamp, zone))


def _hour_end(start: Column, zone: str) -> Column:
    full_hour = F.unix_micros(start) - _past_the_hour(start, zone) + F.lit(_HOUR)
    last = F.timestamp_micros(full_hour - F.lit(1))
    unchanged = _offset(last, zone) == _offset(start, zone)
    return F.when(unchanged, F.timestamp_micros(full_hour)).otherwise(_clock_change(start, last, zone))


def _first_date(date: Column, every: Every) -> Column:
    return date if every == "day" else F.trunc(date, every)


def _next_date(first: Column, every: Every) -> Column:
    if every == "month":
        return F.add_months(first, 1)
    return F.date_add(first, 7 if every == "week" else 1)


def _first_instant(date: Column, zone: str) -> Column:
    """The instant at which the zone's clock first shows the date or, if it never does, a later date."""
    midnight = F.unix_date(date).cast("bigint") * F.lit(_DAY)
    # The first of two midnights. A skipped midnight gives an instant as long after it as the clock is put forward.
    at_midnight = F.to_utc_timestamp(F.timestamp_micros(midnight), zone)
    skipped = F.unix_micros(_clock(at_midnight, zone)) - midnight
    before = F.timestamp_micros(F.unix_micros(at_midnight) - skipped)
    return F.when(skipped == 0, at_midnight).otherwise(_clock_change(before, at_midnight, zone))


def _clock_change(before: Column, after: Column, zone: str) -> Column:
    """The only clock change after ``before`` and not after ``after``: the first instant with another offset.

    A bisection of the seconds between them finds it. ``before`` is on a full second, as all clock changes are.
    """

    def later(micros: Column, step: Column) -> Column:
        candidate = F.timestamp_micros(micros + step)
        unchanged = (candidate <= after) & (_offset(candidate, zone) == _offset(before, zone))
        return F.when(unchanged, micros + step).otherwise(micros)

    last_before = F.aggregate(F.array(*(F.lit(step) for step in _STEPS)), F.unix_micros(before), later)
    return F.timestamp_micros(last_before + F.lit(_SECOND))
