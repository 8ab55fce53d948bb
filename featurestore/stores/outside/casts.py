"""Columns of a user's table in the types of a reader: which casts lose nothing for any value, and these casts.

Only Arrow and NumPy are needed here, since tasks of Spark read files, too. What a cast does, depends on types alone, so
that it is known before any value is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.fixed_width import as_arrow, as_numpy, plain_values
from featurestore.columnar.ranks import one_array
from featurestore.kinds.arrow_columns.times import MICROS_OF_DAY, in_zone

INSTANT = pa.timestamp("us", "UTC")
# Bits of a whole number that a float of so many bits holds exactly, and digits of a decimal that it keeps.
_WHOLE_BITS = {64: 32, 32: 16}
_DIGITS = {64: 15, 32: 6}
_OF_A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a file's column without what only says how its values are held."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    if pa.types.is_date64(kind):
        return pa.date32()
    return pa.list_(pa.field("element", plain_type(kind.value_type))) if _is_list(kind) else kind


def wider_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The plain type that holds the values of both; None if there is none."""
    if why_no_cast(one, other, None) is None:
        return other
    return one if why_no_cast(other, one, None) is None else None


def why_no_cast(stored: pa.DataType, wanted: pa.DataType, zone: str | None) -> str | None:
    """Why some value of a plain type may be lost in another; None if none can be.

    ``zone``: in which timestamps without a zone, and dates, are read as instants; None: they are not. Instants in
    nanoseconds are rounded to microseconds, and vectors of doubles to floats, as those of a writer are.
    """
    if stored == wanted or pa.types.is_null(stored):
        return None
    if _is_list(stored) and _is_list(wanted):
        if (stored.value_type, wanted.value_type) == (pa.float64(), pa.float32()):
            return None
        return why_no_cast(stored.value_type, wanted.value_type, zone)
    if pa.types.is_timestamp(wanted) and (pa.types.is_timestamp(stored) or pa.types.is_date32(stored)):
        return _why_no_moment(stored, wanted, zone)
    if _is_number(stored) and _is_number(wanted) and _holds(stored, wanted):
        return None
    return f"{stored} is not read as {wanted} without loss"


def _why_no_moment(stored: pa.DataType, wanted: pa.DataType, zone: str | None) -> str | None:
    is_instant = pa.types.is_timestamp(stored) and stored.tz is not None
    if wanted.tz is None:
        is_finer = pa.types.is_date32(stored) or _OF_A_SECOND[stored.unit] <= _OF_A_SECOND[wanted.unit]
        return f"{stored} is not read as {wanted} without loss" if is_instant or not is_finer else None
    if not is_instant and zone is None:
        return (
            f"{stored} has no time zone; name the zone in which it is to be read as timestamp_zone in the settings, or "
            "store instants"
        )
    return None


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _holds(stored: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a type of numbers holds every number of another."""
    if pa.types.is_decimal(stored):
        if pa.types.is_decimal(wanted):
            return bool(
                wanted.scale >= stored.scale and wanted.precision - wanted.scale >= stored.precision - stored.scale
            )
        if pa.types.is_floating(wanted):
            return bool(wanted.bit_width >= 32 and stored.precision <= _DIGITS[wanted.bit_width])
        return bool(stored.scale == 0 and 10**stored.precision <= 2 ** (wanted.bit_width - 1))
    if pa.types.is_floating(stored):
        return bool(pa.types.is_floating(wanted) and wanted.bit_width >= stored.bit_width)
    own = stored.bit_width if pa.types.is_signed_integer(stored) else stored.bit_width + 1
    if pa.types.is_signed_integer(wanted):
        return bool(wanted.bit_width >= own)
    return bool(pa.types.is_floating(wanted) and wanted.bit_width >= 32 and own <= _WHOLE_BITS[wanted.bit_width])


def cast_column(column: Any, wanted: pa.DataType, zone: str | None, *, up: bool = False) -> Any:
    """A column in a type for which ``why_no_cast`` has nothing to say.

    ``up``: whether nanoseconds are rounded up, so that a row's own time is never earlier than it is.
    """
    if column.type == wanted:
        return column
    kind = plain_type(column.type)
    if pa.types.is_timestamp(wanted) and (pa.types.is_timestamp(kind) or pa.types.is_date32(kind)):
        return _moments(one_array(column), wanted, zone, up)
    if pa.types.is_decimal(kind) and pa.types.is_floating(wanted):
        # Arrow's own cast of a decimal is not always the nearest float; that of a text is.
        return column.cast(kind).cast(pa.string()).cast(wanted)
    return (column if column.type == kind else column.cast(kind)).cast(wanted)


def _moments(column: Any, wanted: pa.DataType, zone: str | None, up: bool) -> Any:
    kind = column.type
    if pa.types.is_date(kind):
        local = column.cast(pa.date32()).cast(pa.timestamp("us"))
    elif kind.unit == "ns" and wanted.unit != "ns":
        local = _rounded(column, pa.timestamp("us", kind.tz), up)
    else:
        local = column.cast(pa.timestamp("us" if wanted.unit != "ns" else "ns", kind.tz))
    if wanted.tz is not None and local.type.tz is None:
        assert zone is not None
        moments = in_zone(plain_values(local), zone)
        return as_arrow(moments, as_numpy(local.is_valid()), INSTANT)
    return local.cast(wanted)


def _rounded(column: Any, kind: pa.DataType, up: bool) -> Any:
    nanos = column.cast(pa.int64()).fill_null(0)
    whole = np.asarray(nanos.to_numpy(zero_copy_only=False))
    return as_arrow(-(-whole // 1_000) if up else whole // 1_000, as_numpy(column.is_valid()), kind)


def scalar_of_text(text: str | None, wanted: pa.DataType, zone: str | None, *, up: bool = False) -> pa.Scalar:
    """The value that a folder's name has (``day=2026-11-01``), in a type; raises ArrowInvalid if it is none."""
    if text is None or wanted == pa.string():
        return pa.scalar(text, wanted)
    texts = pa.array([text])
    if pa.types.is_timestamp(wanted):
        is_day = len(text) == len("2026-11-01")
        local = texts.cast(pa.date32()) if is_day else texts.cast(pa.timestamp("us"))
        if (why := why_no_cast(local.type, wanted, zone)) is not None:
            raise pa.ArrowInvalid(why)
        return cast_column(local, wanted, zone, up=up)[0]
    return texts.cast(wanted)[0]


def bound_of(value: Any, kind: pa.DataType, *, is_high: bool) -> int | bytes | None:
    """A bound as the kernel compares it, from Parquet's own number or text; None for types without such bounds."""
    if pa.types.is_string(kind):
        return value.encode() if isinstance(value, str) else bytes(value)
    if pa.types.is_timestamp(kind):
        per_second = _OF_A_SECOND[kind.unit]
        if per_second > 1_000_000:
            return -(-int(value) // 1_000) if is_high else int(value) // 1_000
        return int(value) * (1_000_000 // per_second)
    if pa.types.is_signed_integer(kind) or pa.types.is_date32(kind) or pa.types.is_boolean(kind):
        return int(value)
    return None


def moment_bounds(bounds: tuple[Any, Any], kind: pa.DataType) -> tuple[int | None, int | None]:
    """Bounds of a column of times as those of instants in microseconds; some wider, if a zone shifts its values."""
    low, high = bounds
    if pa.types.is_date32(kind):
        low, high = (None if day is None else day * MICROS_OF_DAY for day in (low, high))
    elif not pa.types.is_timestamp(kind):
        return None, None
    shift = 0 if pa.types.is_timestamp(kind) and kind.tz is not None else MICROS_OF_DAY
    return None if low is None else low - shift, None if high is None else high + shift


def not_null(column: Any) -> Any:
    """Whether each value is there, in NumPy."""
    return as_numpy(one_array(pc.is_valid(column)))
