"""Arrow columns of dates and timestamps as whole days and microseconds, their zones, and their ISO 8601 text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from featurestore.kinds.arrow_columns.reading import UndecidedError, is_present, numpy_of

Whole = npt.NDArray[np.int64]

MICROS_OF_DAY = 86_400_000_000
# Several times of a day, its first and last included: no zone changes its clocks there and back between two of them.
_PROBES = (*range(0, MICROS_OF_DAY, MICROS_OF_DAY // 6), MICROS_OF_DAY - 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Spark's own arithmetic fails for timestamps that are closer to the ends of 64 bits than this.
_FAR = 2**63 - 3 * MICROS_OF_DAY


def micros_of(value: pa.Array) -> Whole:
    """Timestamps in microseconds as whole numbers, 0 for null; raises UndecidedError for those that Spark refuses."""
    micros = numpy_of(value.cast(pa.int64())).astype(np.int64, copy=False)
    if micros.size and (int(micros.min()) < -_FAR or int(micros.max()) > _FAR):
        raise UndecidedError("a timestamp near the ends of 64 bits")
    return micros


def days_of(value: pa.Array) -> Whole:
    """Dates as days since 1970, 0 for null."""
    return numpy_of(value.cast(pa.int32())).astype(np.int64)


def midnights_of(value: pa.Array) -> Whole:
    """Dates as the microseconds of their midnights; raises UndecidedError for those that Spark cannot convert."""
    days = days_of(value)
    if days.size and int(np.abs(days).max()) > _FAR // MICROS_OF_DAY:
        raise UndecidedError("a date without a timestamp")
    return days * MICROS_OF_DAY


def in_zone(local: Whole, zone: str) -> Whole:
    """The instants of local times in ``zone``.

    A time that comes twice is the first of the two. A time that clocks skip is later by what they skip.
    """
    days, places = np.unique(local // MICROS_OF_DAY, return_inverse=True)
    known = ZoneInfo(zone)
    probed = [[_offset(int(day) * MICROS_OF_DAY + probe, known) for probe in _PROBES] for day in days]
    of_days = np.array(probed, np.int64).reshape(-1, len(_PROBES))
    offsets = of_days[places, 0]
    # On these days the clocks change.
    for row in np.flatnonzero((of_days != of_days[:, :1]).any(axis=1)[places]):
        offsets[row] = _offset(int(local[row]), known)
    instants: Whole = local - offsets
    return instants


def _offset(local: int, zone: ZoneInfo) -> int:
    """The offset from UTC at a local time, in microseconds; at years that Python lacks, that of the nearest it has."""
    try:
        moment = _EPOCH + timedelta(microseconds=local)
    except OverflowError:
        moment = datetime(9999, 12, 31, tzinfo=UTC) if local > 0 else datetime(1, 1, 1, tzinfo=UTC)
    offset = moment.replace(tzinfo=zone).utcoffset()
    assert offset is not None
    return offset // _MICROSECOND


def days_from_civil(year: Whole, month: Whole, day: Whole) -> Whole:
    """Days since 1970 of dates of the Gregorian calendar. Source: H. Hinnant, chrono-compatible date algorithms."""
    shifted = year - (month <= 2)
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    days: Whole = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return days


def days_in_month(year: Whole, month: Whole) -> Whole:
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    lengths = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
    days: Whole = lengths[month] + (is_leap & (month == 2))
    return days


def date_texts(value: pa.Array) -> pa.Array:
    """Dates as Spark prints them: ``2026-11-01``, ``-0001-12-31``, ``+10000-01-01``."""
    return _texts(days_of(value).astype("datetime64[D]"), value, "")


def moment_texts(value: pa.Array) -> pa.Array:
    """Timestamps with microseconds: ``2026-11-01T12:00:00.000000``, with a Z if they are instants."""
    return _texts(micros_of(value).astype("datetime64[us]"), value, "" if value.type.tz is None else "Z")


def _texts(times: npt.NDArray[Any], value: pa.Array, end: str) -> pa.Array:
    years = times.astype("datetime64[Y]").astype(np.int64) + 1970
    texts = np.char.add(np.datetime_as_string(times), end).astype(object)
    for row in np.flatnonzero((years < 0) | (years > 9999)):
        year = int(years[row])
        texts[row] = f"{'-' if year < 0 else '+'}{abs(year):04}-{str(texts[row]).split('-', 2 if year < 0 else 1)[-1]}"
    return pa.array(texts, pa.string(), mask=~is_present(value))
