"""The kind of a Python value, and whether it is a missing value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from featurestore.late_pandas import is_missing_in_pandas, missing_in_pandas

AWARE, NAIVE, DATE = "datetime with a time zone", "datetime without a time zone", "date"

# The first match is the value's kind. The order matters: bool is an int, datetime a date, NumPy's timedelta an int.
_KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("bool", (bool, np.bool_)),
    ("timedelta", (timedelta, np.timedelta64)),
    ("int", (int, np.integer)),
    ("longdouble", (np.longdouble,)),
    ("float", (float, np.floating)),
    ("complex", (complex, np.complexfloating)),
    ("Decimal", (Decimal,)),
    ("str", (str,)),
    ("bytes", (bytes, bytearray)),
    ("datetime", (datetime, np.datetime64)),
    (DATE, (date,)),
    ("time", (time,)),
    ("list", (list, tuple, np.ndarray)),
    ("dict", (Mapping,)),
)
_MAY_BE_MISSING = (float, np.floating, np.datetime64, np.timedelta64)


def kind_of(value: Any) -> str:
    """The word for a value's kind in messages; the class's own name if the class is unknown."""
    value_class: Any = type(value)
    kind = _kind_of_class(value_class)
    if kind != "datetime":
        return kind
    if isinstance(value, np.datetime64):
        return DATE if np.datetime_data(value)[0] in ("Y", "M", "W", "D") else NAIVE
    return NAIVE if value.tzinfo is None or value.utcoffset() is None else AWARE


@cache
def _kind_of_class(of: Any) -> str:
    return next((kind for kind, classes in _KINDS if issubclass(of, classes)), of.__name__)


def first_of_kinds(values: Sequence[Any]) -> dict[str, int]:
    """Kind -> the position of its first value; None has no kind."""
    kinds: dict[str, int] = {}
    classes = set(map(type, values)) - {type(None)}
    if len(classes) == 1 and _kind_of_class(next(iter(classes))) != "datetime":
        first = next(position for position, value in enumerate(values) if value is not None)
        return {kind_of(values[first]): first}
    for position, value in enumerate(values):
        if value is not None:
            kinds.setdefault(kind_of(value), position)
    return kinds


def named_kinds(kinds: Mapping[str, int], rows: Sequence[int]) -> str:
    """Each kind with its first row, for messages."""
    return " and ".join(f"{kind} (row {rows[first]})" for kind, first in kinds.items())


def without_missing(values: Sequence[Any], nan: bool) -> list[Any]:
    """The values, with None for each missing one: NaT, pd.NA and, if ``nan`` is true, NaN."""
    may_be_missing = (*_MAY_BE_MISSING, *map(type, missing_in_pandas()))
    if not any(issubclass(kind, may_be_missing) for kind in set(map(type, values))):
        return list(values)
    return [None if is_missing(value, nan) else value for value in values]


def is_missing(value: Any, nan: bool = True) -> bool:
    if value is None or is_missing_in_pandas(value):
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return nan and isinstance(value, float | np.floating) and bool(np.isnan(value))
