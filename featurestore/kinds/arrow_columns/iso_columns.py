"""Columns of ISO 8601 text as days and microseconds: the grammar of ``iso_times``, for whole columns.

Arrow's regular expressions have neither look-ahead nor back-references. So the two spellings of a date and of a time
(with and without separators) are alternatives here, and the year 0 is refused after the match.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.kinds.arrow_columns.reading import Mask, is_present, true_of
from featurestore.kinds.arrow_columns.times import MICROS_OF_DAY, Whole, days_from_civil, days_in_month

_BLANKS = r"[ \t\r\n]*"
_YEAR, _MONTH, _DAY = "[0-9]{4}", "0[1-9]|1[0-2]", "0[1-9]|[12][0-9]|3[01]"
_HOUR, _SIXTIETH, _FRACTION = "[01][0-9]|2[0-3]", "[0-5][0-9]", "(?:[.,](?P<{}>[0-9]+))?"
_DATE = rf"(?:(?P<y1>{_YEAR})-(?P<m1>{_MONTH})-(?P<d1>{_DAY})|(?P<y2>{_YEAR})(?P<m2>{_MONTH})(?P<d2>{_DAY}))"
_CLOCK = (
    rf"(?P<h>{_HOUR})(?:"
    rf":(?P<min1>{_SIXTIETH})(?::(?P<s1>{_SIXTIETH}){_FRACTION.format('f1')})?|"
    rf"(?P<min2>{_SIXTIETH})(?:(?P<s2>{_SIXTIETH}){_FRACTION.format('f2')})?)?"
)
_OFFSET = r"[Zz]|[+-](?:0[0-9]|1[0-7])(?::?[0-5][0-9]|:[0-5][0-9]:[0-5][0-9])?|[+-]18(?::?00|:00:00)?"
_DAY_TEXT = rf"\A{_BLANKS}{_DATE}{_BLANKS}\z"
_MOMENT_TEXT = rf"\A{_BLANKS}{_DATE}(?:[Tt ]{_CLOCK}(?: ?(?P<o>{_OFFSET}))?)?{_BLANKS}\z"


@dataclass(frozen=True)
class DayTexts:
    """Days since 1970 (0 where ``is_day`` is false)."""

    days: Whole
    is_day: Mask


@dataclass(frozen=True)
class MomentTexts:
    """``local``: the clock's time in microseconds, rounded down; ``offset``: what to subtract for UTC.

    ``is_finer``: whether the text has more than whole microseconds.
    """

    local: Whole
    offset: Whole
    is_moment: Mask
    has_time: Mask
    has_offset: Mask
    is_finer: Mask


def read_days(texts: pa.Array) -> DayTexts:
    parts = pc.extract_regex(texts, _DAY_TEXT)
    days, exists = _days(parts)
    return DayTexts(days, is_present(parts) & exists)


def read_moments(texts: pa.Array) -> MomentTexts:
    parts = pc.extract_regex(texts, _MOMENT_TEXT)
    days, exists = _days(parts)
    hour, minute, second = _whole(_part(parts, "h")), _either(parts, "min"), _either(parts, "s")
    fraction = _joined(parts, "f1", "f2")
    micros = _whole(pc.utf8_rpad(pc.utf8_slice_codeunits(fraction, 0, 6), 6, padding="0"))
    offset = _part(parts, "o")
    return MomentTexts(
        local=days * MICROS_OF_DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros,
        offset=_offsets(offset),
        is_moment=is_present(parts) & exists,
        has_time=true_of(pc.not_equal(_part(parts, "h"), "")),
        has_offset=true_of(pc.not_equal(offset, "")),
        is_finer=true_of(pc.match_substring_regex(pc.utf8_slice_codeunits(fraction, 6), "[1-9]")),
    )


def _days(parts: pa.Array) -> tuple[Whole, Mask]:
    """The days, and whether the calendar has them."""
    year, month, day = (_either(parts, name) for name in ("y", "m", "d"))
    exists = (year >= 1) & (month >= 1) & (day <= days_in_month(year, month))
    return np.where(exists, days_from_civil(year, month, day), 0), exists


def _offsets(texts: pa.Array) -> Whole:
    digits = reduce(lambda text, mark: pc.replace_substring(text, mark, ""), ["Z", "z", "+", "-", ":"], texts)
    padded = pc.utf8_rpad(digits, 6, padding="0")
    hours, minutes, seconds = (_whole(pc.utf8_slice_codeunits(padded, start, start + 2)) for start in (0, 2, 4))
    micros = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000
    return np.where(true_of(pc.starts_with(texts, "-")), -micros, micros)


def _part(parts: pa.Array, name: str) -> pa.Array:
    """A group of the match; empty where it takes no part, or where nothing matches."""
    return parts.field(name).fill_null("")


def _joined(parts: pa.Array, first: str, second: str) -> pa.Array:
    return pc.binary_join_element_wise(_part(parts, first), _part(parts, second), "")


def _either(parts: pa.Array, name: str) -> Whole:
    return _whole(_joined(parts, f"{name}1", f"{name}2"))


def _whole(digits: pa.Array) -> Whole:
    """Digits as numbers; 0 for no digits."""
    filled = pc.if_else(pc.equal(digits, ""), "0", digits)
    return np.asarray(filled.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)
