"""Bounds of numbers: whole numbers stay whole, and a bound becomes the value that the feature's type holds."""

from __future__ import annotations

import math
import struct
from decimal import Decimal, InvalidOperation
from numbers import Integral, Real
from typing import Annotated, Any

from pydantic import BeforeValidator

from featurestore.definitions.values.types import WHOLE_RANGES

GREATEST_FLOAT = (2 - 2**-23) * 2.0**127
# The greatest power of ten of a double.
_GREATEST_EXPONENT = 308


def read_number(value: Any) -> Any:
    """Return a whole number as int and any other as float; raises ValueError unless the value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, Real | Decimal | str):
        raise ValueError(f"{value!r} is not a number")
    if isinstance(value, Integral):
        return int(value)
    number = _from_decimal(value) if isinstance(value, Decimal | str) else float(value)
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _from_decimal(value: Decimal | str) -> int | float:
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ValueError("Input should be a valid number, unable to parse string as a number") from error
    if number.is_finite() and number.adjusted() > _GREATEST_EXPONENT:
        raise ValueError(f"{value!r} is too large")
    is_whole = number.is_finite() and number == number.to_integral_value()
    return int(number) if is_whole else float(number)


Bound = Annotated[int | float, BeforeValidator(lambda value: None if value is None else read_number(value))]


def nearest_float(number: float) -> float:
    """The number as a 32-bit float holds it; raises OverflowError beyond its range."""
    [held] = struct.unpack("<f", struct.pack("<f", number))
    return float(held)


def in_type(number: int | float, word: str) -> int | float:
    """Convert the number to its type's own form: ``0.0`` becomes 0 for a long, and 0 becomes ``0.0`` for a double.

    A fraction may be rounded, as its literal is. Raises ValueError for a whole number that is not exact in the type.
    """
    if word in WHOLE_RANGES:
        is_whole = isinstance(number, float) and number.is_integer() and abs(number) <= 2**63
        return int(number) if is_whole else number
    if isinstance(number, float):
        return number
    try:
        held = float(number) if word == "double" else nearest_float(float(number))
    except OverflowError as error:
        raise ValueError(f"{number} is beyond the range of {word}") from error
    if held != number:
        raise ValueError(f"{number} is not exact as {word}; the nearest that it holds is {int(held)}")
    return held


def check_bounds(word: str, low: int | float | None, high: int | float | None) -> None:
    """Raise ValueError if no value of the type can lie between the bounds, both included."""
    least, greatest = WHOLE_RANGES.get(word, (-GREATEST_FLOAT, GREATEST_FLOAT) if word == "float" else (None, None))
    if low is not None and greatest is not None and low > greatest:
        raise ValueError(f"min {low} is greater than {greatest}, the greatest value of {word}: no value can satisfy it")
    if high is not None and least is not None and high < least:
        raise ValueError(f"max {high} is less than {least}, the least value of {word}: no value can satisfy it")
    if word in WHOLE_RANGES and low is not None and high is not None and math.ceil(low) > math.floor(high):
        raise ValueError(f"no whole number lies between min {low} and max {high}")


def least_value(word: str, bound: int | float) -> int | float | None:
    """The least value of the type that a ``min`` admits; None if it admits every value."""
    if word not in WHOLE_RANGES:
        return _as_held(word, bound)
    least = math.ceil(bound)
    return least if least > WHOLE_RANGES[word][0] else None


def greatest_value(word: str, bound: int | float) -> int | float | None:
    """The greatest value of the type that a ``max`` admits; None if it admits every value."""
    if word not in WHOLE_RANGES:
        return _as_held(word, bound)
    greatest = math.floor(bound)
    return greatest if greatest < WHOLE_RANGES[word][1] else None


def _as_held(word: str, bound: int | float) -> float:
    """The bound as the type holds it: the float 0.1 is greater than the double 0.1, but satisfies ``max=0.1``."""
    exact = float(bound)
    if word != "float" or exact.is_integer():
        return exact
    return nearest_float(exact) or exact


def number_text(number: int | float) -> str:
    """The exact number, without a decimal point if it is whole: ``0``, ``0.5``, ``9007199254740993``, ``1e+300``."""
    if isinstance(number, float) and number.is_integer() and abs(number) <= 2**53:
        return str(int(number))
    return repr(number)
