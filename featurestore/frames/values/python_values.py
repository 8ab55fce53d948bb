"""One Python value -> the value of a feature type, losslessly, or UnreadableError with the reason.

The same rules as ``spark_values`` has for columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from featurestore.definitions.values.iso_times import parse_date
from featurestore.definitions.values.time_window import (
    DateWithoutTimeError,
    Finer,
    NaiveMomentError,
    OutsideYearsError,
    to_instant,
)
from featurestore.frames.values import reasons
from featurestore.frames.values.json_values import UnreadableError, json_text

Reader = Callable[[Any], Any]
_BITS = {"long": 64, "int": 32}
# From here on a double is nearer to a float's infinity than to its greatest number.
_FLOAT_LIMIT = (2 - 2**-24) * 2.0**127


def reader(word: str, zone: str | None, finer: Finer = "down") -> Reader:
    """How a value is read as the type ``word``; ``finer``: where a timestamp finer than a microsecond goes."""
    if word == "timestamp":
        return lambda value: _timestamp(value, zone, finer)
    if word == "array<double>":
        return lambda value: _elements(value, word, _double)
    if word.startswith("embedding"):
        return lambda value: _elements(value, word, _float)
    if word == "array<string>":
        return lambda value: _elements(value, word, _string)
    return _READERS[word]


def is_missing(value: Any, nan: bool = False) -> bool:
    """Whether a value says that there is none: None, and pandas' and NumPy's own; with ``nan`` also not-a-number.

    pandas has no other way to say missing in a column of floats or decimals.
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    if not nan:
        return False
    return value.is_qnan() if isinstance(value, Decimal) else isinstance(value, float | np.floating) and value != value


def _wrong(value: Any, word: str) -> UnreadableError:
    return UnreadableError(reasons.wrong_type(word, type(value).__name__))


def _is_number(value: Any) -> bool:
    # To NumPy a duration is an integer, and to Python a truth value.
    return isinstance(value, int | float | Decimal | np.integer | np.floating) and not isinstance(
        value, bool | np.timedelta64
    )


def _double(value: Any) -> float:
    return _number(value, "double")


def _float(value: Any) -> float:
    return _number(value, "float")


def _number(value: Any, word: str) -> float:
    """A number as a double or a float. Doubles are rounded to floats; whole numbers and decimals never are."""
    if not _is_number(value):
        raise _wrong(value, word)
    if isinstance(value, Decimal) and value.is_nan():
        return math.nan
    try:
        number = float(value)
    except OverflowError as error:
        raise UnreadableError(reasons.beyond(word)) from error
    if not math.isfinite(number):
        if _is_finite(value):
            raise UnreadableError(reasons.beyond(word))
        return number
    if word == "float" and abs(number) >= _FLOAT_LIMIT:
        raise UnreadableError(reasons.beyond(word))
    # The usual ones, which need no closer look.
    if type(value) is not float and not (type(value) is int and abs(value) < 2**24):
        _check_exact(value, np.float32(number) if word == "float" else np.float64(number), word)
    return number


def _is_finite(value: Any) -> bool:
    return value.is_finite() if isinstance(value, Decimal) else isinstance(value, int) or bool(np.isfinite(value))


def _check_exact(value: Any, nearest: Any, word: str) -> None:
    if not _keeps(value, nearest):
        raise UnreadableError(reasons.inexact(word))


def _keeps(value: Any, nearest: Any) -> bool:
    """Whether ``nearest`` is the number ``value``: exactly where that is whole, by its shortest digits where it is a decimal."""
    if isinstance(value, int | np.integer):
        return int(nearest) == int(value)
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return int(nearest) == int(value)
        return Decimal(np.format_float_scientific(nearest)) == value
    return not isinstance(value, np.longdouble) or np.longdouble(float(value)) == value


def _whole(value: Any, word: str) -> int:
    if not _is_number(value):
        raise _wrong(value, word)
    if isinstance(value, Decimal):
        _check_whole(value.is_finite() and value == value.to_integral_value(), word)
        # A decimal of twelve signs may have a billion digits.
        if value.adjusted() > 30:
            raise UnreadableError(reasons.beyond(word))
    elif not isinstance(value, int | np.integer):
        _check_whole(bool(np.isfinite(value)) and value == np.floor(value), word)
    whole = int(value)
    if not -(2 ** (_BITS[word] - 1)) <= whole < 2 ** (_BITS[word] - 1):
        raise UnreadableError(reasons.beyond(word))
    return whole


def _check_whole(is_whole: bool, word: str) -> None:
    if not is_whole:
        raise UnreadableError(reasons.not_whole(word))


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise _wrong(value, "boolean")
    return bool(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(value, "string")
    return _unicode(value)


def _unicode(text: str) -> str:
    try:
        return str.encode(text, "utf-8").decode("utf-8")
    except UnicodeEncodeError as error:
        raise UnreadableError(reasons.NOT_UNICODE) from error


def _json(value: Any) -> str:
    """JSON text as it is, and objects as JSON text; whether it is valid JSON is read in Spark, for every route."""
    if isinstance(value, str):
        return _unicode(value)
    return json_text(value)


def _date(value: Any) -> date:
    if isinstance(value, str):
        try:
            return parse_date(value)
        except ValueError as error:
            raise UnreadableError(reasons.not_readable("date")) from error
    if isinstance(value, datetime) or not isinstance(value, date):
        raise _wrong(value, "date")
    return value


def _timestamp(value: Any, zone: str | None, finer: Finer) -> datetime:
    if not isinstance(value, str | date | np.datetime64):
        raise _wrong(value, "timestamp")
    try:
        return to_instant(value, zone, finer)
    except NaiveMomentError as error:
        raise UnreadableError(reasons.NO_TIME_ZONE) from error
    except DateWithoutTimeError as error:
        raise UnreadableError(reasons.DATE_WITHOUT_TIME) from error
    except OutsideYearsError as error:
        raise UnreadableError(reasons.outside_years("timestamp")) from error
    except ValueError as error:
        raise UnreadableError(reasons.not_readable("timestamp")) from error


def _elements(value: Any, word: str, read: Reader) -> list[Any]:
    items = _items(value, word)
    # Long vectors of plain numbers in range, which need no closer look.
    if read is not _string and all(type(item) is float for item in items) and _all_in_range(items):
        return items
    return [None if is_missing(item) else read(item) for item in items]


def _all_in_range(numbers: list[float]) -> bool:
    return not numbers or (min(numbers) > -_FLOAT_LIMIT and max(numbers) < _FLOAT_LIMIT)


def _items(value: Any, word: str) -> list[Any]:
    if isinstance(value, np.ndarray):
        if value.ndim != 1:
            raise UnreadableError(reasons.wrong_type(word, f"an array of {value.ndim} dimensions"))
        # NumPy's list of moments and durations would be one of integers.
        return list(value) if value.dtype.kind in "mM" else list(value.tolist())
    if isinstance(value, list | tuple):
        return list(value)
    raise _wrong(value, word)


_READERS: dict[str, Reader] = {
    "double": _double,
    "float": _float,
    "long": lambda value: _whole(value, "long"),
    "int": lambda value: _whole(value, "int"),
    "boolean": _boolean,
    "string": _string,
    "json": _json,
    "date": _date,
}
