"""JSON lines in Python: the members of each line's object, with the kinds and texts that Spark's variants have."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.kinds import reasons
from featurestore.kinds.arrow_columns.reading import Mask, UndecidedError
from featurestore.kinds.json_text.json_validity import check_names, check_number, parse_json, refuse_constant
from featurestore.kinds.json_text.json_values import java_number
from featurestore.kinds.json_text.variants import PYTHON_NAMES

_BLANKS = " \t\r\n"
# Halves of characters, which Spark replaces.
_HALF = re.compile("[\ud800-\udfff]")
_LEAST, _GREATEST = -(2**63), 2**63 - 1
# The most digits of a decimal in a variant, before and after the point.
_DIGITS = 38


class Digits(str):
    """A number as it is written."""

    __slots__ = ()


class JsonObject(list[Any]):
    """The values of an object, and its keys."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(value for _, value in pairs)
        self.names = [name for name, _ in pairs]


@dataclass(frozen=True)
class ArrowMembers:
    """One member of each line's object; None for null and for an absent member.

    A value is a ``str``, bool, list, JsonObject, or Digits.
    """

    values: Sequence[Any]

    @cached_property
    def kinds(self) -> list[str]:
        """Spark's names for the kinds of the values; VOID for none."""
        return [kind_of_json(value) for value in self.values]

    def are_of(self, kinds: Collection[str]) -> Mask:
        return np.array([kind in kinds for kind in self.kinds], np.bool_)


def parsed_line(text: str) -> Any:
    """The value of a line; raises ValueError for a line that Spark refuses, UndecidedError if only Spark can say."""
    return parse_json(text, _DECODER)


def keys_of_prefix(text: str) -> list[str]:
    """The keys of the object with which a refused line begins, if it is whole; Spark names the unknown ones."""
    start = text.lstrip(_BLANKS)
    if not start.startswith("{"):
        return []
    try:
        names = _LENIENT.raw_decode(start)[0].names
    except (ValueError, RecursionError) as error:
        if "'" in text or isinstance(error, RecursionError):
            # Here Spark accepts single quotes.
            raise UndecidedError("a JSON text with single quotes") from error
        return []
    if any(_HALF.search(name) for name in names):
        raise UndecidedError("a JSON key with unpaired surrogates")
    return list(names)


def kind_of_json(value: Any) -> str:
    if value is None:
        return "VOID"
    if type(value) is Digits:
        return number_of_json(value)[0]
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, str):
        return "STRING"
    return "OBJECT" if isinstance(value, JsonObject) else "ARRAY"


def number_of_json(digits: str) -> tuple[str, str]:
    """The kind of a number, and its text: a whole number is a long if it can be, else a decimal, else a double."""
    if "e" not in digits and "E" not in digits:
        if "." not in digits and _LEAST <= (whole := int(digits)) <= _GREATEST:
            return "BIGINT", str(whole)
        exact = Decimal(digits)
        _, spelled, exponent = exact.as_tuple()
        assert isinstance(exponent, int)
        if -exponent <= _DIGITS and len(spelled) <= _DIGITS:
            plain = f"{exact:f}"
            stripped = plain.rstrip("0").rstrip(".") if "." in plain else plain
            return "DECIMAL", "0" if exact == 0 else stripped
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        return "DOUBLE", "Infinity" if number > 0 else "-Infinity"
    return "DOUBLE", java_number(number)


def scalar_text(value: Any) -> str | None:
    """A string unchanged, a number or a boolean as JSON; None for null, arrays and objects."""
    if value is None or isinstance(value, list):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_of_json(value)[1] if type(value) is Digits else str(value)


def wrong_json_kinds(kinds: Sequence[str], misfits: Mask, word: str) -> pa.Array:
    """The reason for each value of another kind than the type's; null for the others."""
    found = [
        reasons.wrong_type(word, PYTHON_NAMES[kind]) if misfit else None
        for kind, misfit in zip(kinds, misfits.tolist(), strict=True)
    ]
    return pa.array(found, pa.string())


def _digits(text: str) -> Digits:
    check_number(text)
    return Digits(text)


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    check_names([name for name, _ in pairs])
    return JsonObject(pairs)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_digits, parse_float=_digits, parse_constant=refuse_constant
)
_LENIENT = json.JSONDecoder(
    object_pairs_hook=JsonObject, parse_int=Digits, parse_float=Digits, parse_constant=refuse_constant, strict=False
)
