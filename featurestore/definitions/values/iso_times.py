"""ISO 8601 text: the one grammar by which every route reads moments and dates.

Python and Java both run the expressions below, so all routes accept a text or none does. Week dates, ordinal dates, the
hour 24, the second 60, years outside 0001 to 9999 and offsets beyond 18 hours are not part of the grammar.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

from featurestore.errors import shown

_BLANKS = r"[ \t\r\n]*"
_DATE = r"((?!0000)[0-9]{4})(-?)(0[1-9]|1[0-2])\2(0[1-9]|[12][0-9]|3[01])"
_TIME = r"([01][0-9]|2[0-3])(?:(:?)([0-5][0-9])(?:\6([0-5][0-9])(?:[.,]([0-9]+))?)?)?"
_OFFSET = r"[Zz]|[+-](?:0[0-9]|1[0-7])(?::?[0-5][0-9]|:[0-5][0-9]:[0-5][0-9])?|[+-]18(?::?00|:00:00)?"

# Groups of MOMENT: year, separator, month, day, hour, separator, minute, second, fraction, offset.
MOMENT = rf"{_BLANKS}{_DATE}(?:[Tt ]{_TIME}(?: ?({_OFFSET}))?)?{_BLANKS}"
DAY = rf"{_BLANKS}{_DATE}{_BLANKS}"

_MOMENT, _DAY = re.compile(MOMENT), re.compile(DAY)


def parse_date(text: str) -> date:
    """``2026-11-01`` or ``20261101``; raises ValueError."""
    match = _DAY.fullmatch(text)
    if match is None:
        raise ValueError(f"{shown(text)} is not an ISO 8601 date such as '2026-11-01'")
    return date(int(match[1]), int(match[3]), int(match[4]))


def parse_moment(text: str) -> tuple[date | datetime, bool]:
    """The moment down to its microsecond, and whether the text is finer than that.

    A date if the text has no time, else a datetime, which is aware if the text has an offset. Raises ValueError.
    """
    match = _MOMENT.fullmatch(text)
    try:
        if match is not None:
            return _read_match(match)
    except ValueError:
        # February 30 has the form of a date.
        pass
    raise ValueError(f"{shown(text)} is not an ISO 8601 timestamp such as '2026-11-01T12:00:00Z'")


def _read_match(match: re.Match[str]) -> tuple[date | datetime, bool]:
    year, _, month, day, hour, _, minute, second, fraction, offset = match.groups()
    if hour is None:
        return date(int(year), int(month), int(day)), False
    micros = (fraction or "").ljust(6, "0")[:6]
    clock = (int(hour), int(minute or 0), int(second or 0), int(micros))
    finer = (fraction or "")[6:].strip("0") != ""
    return datetime(int(year), int(month), int(day), *clock, tzinfo=_zone(offset)), finer


def _zone(offset: str | None) -> timezone | None:
    if offset is None:
        return None
    if offset in "Zz":
        return UTC
    digits = offset[1:].replace(":", "").ljust(6, "0")
    length = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]), seconds=int(digits[4:]))
    return timezone(-length if offset[0] == "-" else length)
