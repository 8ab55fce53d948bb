"""JSON values of a line as the text that the Spark route stores: compact, and numbers as Spark writes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.kinds.json_text.json_members import Digits, JsonObject, number_of_json
from featurestore.kinds.json_text.json_values import java_number, quoted

_BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")


def json_copy(value: Any) -> str:
    """A value that is no string: in the order of its keys, or sorted if a copy would change the text of a number.

    Raises UndecidedError for a number beyond a double, and for what is nested deeply.
    """
    changed: list[str] = []

    def number(digits: str) -> str:
        copy = _copied(digits)
        if number_of_json(copy)[1] != number_of_json(digits)[1]:
            changed.append(digits)
        return copy

    try:
        copy = _written(value, number, _escaped, lambda names: range(len(names)))
        return copy if not changed else _written(value, lambda digits: number_of_json(digits)[1], _plain, _sorted)
    except RecursionError as error:
        raise UndecidedError("a deeply nested JSON text") from error


def _copied(digits: str) -> str:
    if not any(mark in digits for mark in ".eE"):
        return "0" if digits == "-0" else digits
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise UndecidedError("a JSON number beyond a double")
    return java_number(number)


def _escaped(text: str) -> str:
    """The text in quotes, with the escapes of characters beyond 16 bits."""
    return _BEYOND_16_BITS.sub(lambda match: _pair(match[0]), quoted(text))


def _pair(character: str) -> str:
    """Both halves of a character as escapes."""
    pair = character.encode("utf-16-be").hex().upper()
    return f"\\u{pair[:4]}\\u{pair[4:]}"


def _plain(text: str) -> str:
    if _BEYOND_16_BITS.search(text):
        raise UndecidedError("JSON that is sorted, with characters beyond 16 bits")
    return quoted(text)


def _sorted(names: list[str]) -> Any:
    return sorted(range(len(names)), key=names.__getitem__)


def _written(
    value: Any, number: Callable[[str], str], text: Callable[[str], str], order: Callable[[list[str]], Any]
) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if type(value) is Digits:
        return number(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, JsonObject):
        parts = ((value.names[place], value[place]) for place in order(value.names))
        return "{" + ",".join(f"{text(name)}:{_written(item, number, text, order)}" for name, item in parts) + "}"
    return "[" + ",".join([_written(item, number, text, order) for item in value]) + "]"
