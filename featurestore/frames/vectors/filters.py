"""Filters as callers name them, ``{"country": "US", "age": {"min": 18}}``, as conditions on typed columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from featurestore.columnar.rows.faults import Fault
from featurestore.columnar.rows.local_rows import read_values
from featurestore.definitions.values.types import storage_of_key
from featurestore.errors import InvalidArgumentError, nearest
from featurestore.frames.columns import column
from featurestore.frames.schema import data_type
from featurestore.frames.timestamps import date_literal, instant
from featurestore.kinds.kind import Moments
from featurestore.late_spark import Column, F

_ORDERED = ("double", "float", "long", "int", "date", "timestamp")
FILTERABLE = (*_ORDERED, "string", "boolean")
_ENDS = ("min", "max")


@dataclass(frozen=True)
class ColumnFilter:
    """A column is one of ``any_of`` or, if that is empty, between ``low`` and ``high``, both included."""

    name: str
    word: str
    any_of: tuple[Any, ...] = ()
    low: Any = None
    high: Any = None

    def condition(self, value: Column) -> Column:
        """False or null for a value that does not pass; a null does not pass."""
        if self.any_of:
            return value.isin(*(typed_literal(item, self.word) for item in self.any_of))
        passes = F.lit(True)
        if self.low is not None:
            passes = passes & (value >= typed_literal(self.low, self.word))
        if self.high is not None:
            passes = passes & (value <= typed_literal(self.high, self.word))
        return passes


def typed_literal(value: Any, word: str) -> Column:
    """A value, read by ``read_values``, as a literal of the type ``word``, whatever the session's time zone."""
    if word == "timestamp":
        return instant(value)
    if word == "date":
        return date_literal(value)
    return F.lit(value).cast(data_type(storage_of_key(word)))


def same_key(key: Mapping[str, Any], words: Mapping[str, str]) -> Column:
    """Whether a row is of this entity; ``words``: join key -> type."""
    same = F.lit(True)
    for name, word in words.items():
        same = same & (column(name) == typed_literal(key[name], word))
    return same


def read_filters(filters: object, words: Mapping[str, str], of: str, zone: str | None) -> list[ColumnFilter]:
    """The filters, each value read as its column's type; ``words``: column -> type.

    A single value means equality, a list any of its values, ``{"min": a, "max": b}`` (or one of the two) a range, both
    ends included. Raises InvalidArgumentError, which names ``of``, the owner of the columns.
    """
    if filters is None:
        return []
    if not isinstance(filters, Mapping):
        raise InvalidArgumentError(f"filters are {type(filters).__name__}; give a mapping such as {{'country': 'US'}}")
    return [_read_filter(name, value, words, of, zone) for name, value in filters.items()]


def _read_filter(name: object, value: Any, words: Mapping[str, str], of: str, zone: str | None) -> ColumnFilter:
    if not isinstance(name, str) or name not in words:
        raise InvalidArgumentError(
            f"filter {name!r} is neither a join key nor a feature of {of}. {nearest(str(name), words)}"
        )
    word = words[name]
    if word not in FILTERABLE:
        raise InvalidArgumentError(f"filter {name!r} is {word}; possible types: {', '.join(FILTERABLE)}")
    if isinstance(value, Mapping):
        return _read_range(name, value, word, zone)
    values = list(value) if isinstance(value, list | tuple | Set) else [value]
    if not values:
        raise InvalidArgumentError(f"filter {name!r} is an empty list, which nothing passes; give at least one value")
    return ColumnFilter(name, word, any_of=tuple(_read(name, values, word, zone)))


def _read_range(name: str, bounds: Mapping[Any, Any], word: str, zone: str | None) -> ColumnFilter:
    unknown = [str(end) for end in bounds if end not in _ENDS]
    if unknown or not bounds:
        hint = nearest(unknown[0], _ENDS) if unknown else ""
        raise InvalidArgumentError(
            f"filter {name!r} is {dict(bounds)!r}; a range has 'min', 'max' or both. {hint}".rstrip()
        )
    if word not in _ORDERED:
        raise InvalidArgumentError(f"filter {name!r} is {word}, and ranges are for {', '.join(_ORDERED)}")
    ends = dict(zip(bounds, _read(name, list(bounds.values()), word, zone), strict=True))
    low, high = ends.get("min"), ends.get("max")
    if low is not None and high is not None and low > high:
        raise InvalidArgumentError(f"filter {name!r}: min {low} is greater than max {high}")
    return ColumnFilter(name, word, low=low, high=high)


def _read(name: str, values: list[Any], word: str, zone: str | None) -> list[Any]:
    faults: list[list[Fault]] = [[] for _ in values]
    typed: list[Any] = read_values(values, name, word, faults, Moments(zone)).to_pylist()
    for value, typed_value, misfits in zip(values, typed, faults, strict=True):
        if misfits:
            raise InvalidArgumentError(f"filter {'; '.join(map(str, misfits))} ({value!r})")
        if typed_value is None or (isinstance(typed_value, float) and not math.isfinite(typed_value)):
            raise InvalidArgumentError(
                f"filter {name!r}: {value!r} is not a value to filter by; give a value of type {word}"
            )
    return typed
