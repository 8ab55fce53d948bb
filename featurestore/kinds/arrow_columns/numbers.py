"""Arrow columns of numbers: their types, and casts that keep each number or say why not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.kinds.arrow_columns.reading import Mask, arrow_of, is_present, numpy_of, true_of

_WIDEST = pa.decimal128(38, 0)
# Every decimal of so many digits is the shortest spelling of the float that is nearest to it.
_SURE_DIGITS = {pa.float64(): 15, pa.float32(): 6}
_LEAST_SURE = Decimal("1E-30")


def is_number_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_signed_integer(kind) or is_floating_type(kind) or pa.types.is_decimal128(kind))


def is_floating_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_float32(kind) or pa.types.is_float64(kind))


def is_not_finite(value: pa.Array) -> Mask:
    """Whether each number is NaN or infinite; false for null."""
    return true_of(pc.invert(pc.is_finite(value)))


def is_infinite(value: pa.Array) -> Mask:
    return true_of(pc.is_inf(value))


def whole_numbers(value: pa.Array, kind: pa.DataType, least: int, greatest: int) -> tuple[pa.Array, Mask]:
    """The numbers as the whole type ``kind``, null if beyond its ends; and the mask of those that are not whole."""
    if is_floating_type(value.type):
        return _whole_floats(value, kind, least, greatest)
    if pa.types.is_decimal(value.type):
        return _whole_decimals(value, kind, least, greatest)
    numbers = numpy_of(value).astype(np.int64)
    inside = is_present(value) & (numbers >= least) & (numbers <= greatest)
    return arrow_of(np.where(inside, numbers, 0), inside, kind), np.zeros(len(value), np.bool_)


def _whole_floats(value: pa.Array, kind: pa.DataType, least: int, greatest: int) -> tuple[pa.Array, Mask]:
    numbers = numpy_of(value).astype(np.float64)
    with np.errstate(invalid="ignore"):
        is_whole = np.isfinite(numbers) & (np.floor(numbers) == numbers)
        inside = is_present(value) & is_whole & (numbers >= float(least)) & (numbers < float(greatest + 1))
    return arrow_of(np.where(inside, numbers, 0).astype(np.int64), inside, kind), is_present(value) & ~is_whole


def _whole_decimals(value: pa.Array, kind: pa.DataType, least: int, greatest: int) -> tuple[pa.Array, Mask]:
    is_whole = _is_whole_decimal(value)
    whole = pc.if_else(pa.array(is_whole), value, pa.scalar(None, value.type)).cast(_WIDEST)
    ends = [pa.scalar(Decimal(end), _WIDEST) for end in (least, greatest)]
    inside = true_of(pc.and_(pc.greater_equal(whole, ends[0]), pc.less_equal(whole, ends[1])))
    read = pc.if_else(pa.array(inside), whole, pa.scalar(None, _WIDEST)).cast(kind)
    return read, is_present(value) & ~is_whole


def _is_whole_decimal(value: pa.Array) -> Mask:
    if value.type.scale == 0:
        return is_present(value)
    # A decimal128 without digits before its point has no room for what rounding could give.
    wide = value.cast(pa.decimal256(76, value.type.scale))
    return true_of(pc.equal(pc.trunc(wide), wide))


def floats_of_wholes(value: pa.Array, kind: pa.DataType) -> tuple[pa.Array, Mask]:
    """Whole numbers as floats, and the mask of those that a float does not hold exactly."""
    numbers = numpy_of(value).astype(np.int64)
    nearest: npt.NDArray[Any] = numbers.astype(np.float64 if pa.types.is_float64(kind) else np.float32)
    with np.errstate(invalid="ignore"):
        is_exact = np.less(nearest, 2.0**63) & (nearest.astype(np.int64) == numbers)
    present = is_present(value)
    return arrow_of(nearest, present, kind), present & ~is_exact


def floats_of_decimals(value: pa.Array, kind: pa.DataType) -> tuple[pa.Array, Mask]:
    """Decimals as the nearest floats, and the mask of those that are not kept.

    A whole number is kept if the float equals it, a fraction if it has the shortest digits of its float. Arrow's own
    cast of a decimal is not always the nearest float; that of a text is.
    """
    texts = value.cast(pa.string())
    nearest = texts.cast(kind)
    is_sure = true_of(pc.equal(nearest, 0.0)) | _is_short(value, texts, _SURE_DIGITS[kind])
    inexact = np.zeros(len(value), np.bool_)
    for position in np.flatnonzero(is_present(value) & ~is_sure):
        exact, read = value[position].as_py(), nearest[position].as_py()
        inexact[position] = not keeps_decimal(exact, np.float64(read) if kind == pa.float64() else np.float32(read))
    return nearest, inexact


def _is_short(value: pa.Array, texts: pa.Array, digits: int) -> Mask:
    """Whether each decimal has at most so many digits, without those that are zero at either end."""
    plain = pc.utf8_ltrim(texts, characters="-0.")
    fraction = pc.utf8_rtrim(plain, characters="0") if value.type.scale > 0 else plain
    length = pc.subtract(pc.binary_length(fraction), pc.count_substring(fraction, "."))
    is_short = true_of(pc.and_(pc.less_equal(length, digits), pc.invert(pc.match_substring(texts, "E"))))
    if value.type.scale <= 30:
        return is_short
    tiny = pa.scalar(_LEAST_SURE, pa.decimal128(38, value.type.scale))
    return is_short & true_of(pc.greater(pc.abs(value), tiny))


def keeps_decimal(value: Decimal, nearest: np.floating[Any]) -> bool:
    """Whether ``nearest`` equals the decimal: exactly for a whole number, by its shortest digits for a fraction."""
    if value == value.to_integral_value():
        return int(nearest) == int(value)
    return Decimal(np.format_float_scientific(nearest)) == value
