"""Python objects as JSON text that follows the rules and spelling of Spark's ``to_json``; and any row as text to keep.

Nothing here recurses: an object may contain itself, or be nested deeper than Python's recursion limit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from featurestore.definitions.values.time_window import OutsideYearsError, to_instant
from featurestore.kinds.reasons import (
    JSON_KEY,
    JSON_NOT_FINITE,
    NOT_UNICODE,
    TOO_DEEP,
    UnreadableError,
    inexact,
    outside_years,
)
from featurestore.late_pandas import is_missing_in_pandas

# JSON readers in Python and Java can follow this many levels, and those of the row around it.
_DEEPEST = 500
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile('["\\\\\x00-\x1f\ud800-\udfff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LONGEST = 1000
# Smaller numbers than these have few digits.
_TINY, _TINY_FLOAT = 1e-300, 1e-37


def json_text(value: Any) -> str:
    """A dict, list, tuple, array or scalar as compact JSON.

    Instants are UTC with microseconds, decimals keep their digits, nulls stay. Raises UnreadableError with what JSON
    cannot hold: a number that is not finite, a key that is not text, an object of another kind, or too deep a nesting.
    """
    return "".join(_pieces(value, _strict_scalar, _strict_key))


def row_text(row: Any) -> str:
    """The original row as JSON, whatever it contains; never raises.

    What JSON cannot hold becomes text: NaN and infinities by name, other objects as Python prints them, an unpaired
    surrogate as its escape, and a container that holds itself or is nested too deeply as a remark.
    """
    return "".join(_pieces(row, _any_scalar, _any_key, remark=quoted(TOO_DEEP)))


def printable(value: Any) -> str:
    """Any object as valid Unicode text of at most a thousand characters; a name stays unchanged."""
    try:
        text = str.__str__(value) if isinstance(value, str) else str.__str__(str(value))
    except Exception:  # The caller wrote the object's methods.
        text = f"<{type(value).__name__}>"
    return _SURROGATE.sub(lambda match: _escape(match[0]), text[:_LONGEST])


class _Close:
    """The closing bracket of an object or array that is open, which it keeps alive: a new one could get its id."""

    def __init__(self, text: str, container: Any) -> None:
        self.text = text
        self.container = container


class _Text:
    """Finished JSON in the list of values still to write."""

    def __init__(self, text: str) -> None:
        self.text = text


def _pieces(
    value: Any, scalar: Callable[[Any], str], key: Callable[[Any], str], remark: str | None = None
) -> Iterator[str]:
    """The JSON in pieces. A container that holds itself or is too deep gives ``remark``, or UnreadableError if None."""
    waiting: list[Any] = [value]
    opened: set[int] = set()
    while waiting:
        item = waiting.pop()
        # Not isinstance, which asks the caller's object for its class.
        if type(item) is _Text:
            yield item.text
        elif type(item) is _Close:
            opened.remove(id(item.container))
            yield item.text
        elif not _is_container(item, remark is not None):
            yield scalar(item)
        elif id(item) in opened or len(opened) >= _DEEPEST:
            if remark is None:
                raise UnreadableError(TOO_DEEP)
            yield remark
        else:
            members = _members(item, key) if remark is None else _shown_members(item, key)
            opened.add(id(item))
            brackets = "{}" if isinstance(item, Mapping) else "[]"
            yield brackets[0]
            waiting.append(_Close(brackets[1], item))
            waiting.extend(reversed(members))


def _is_container(value: Any, is_shown: bool) -> bool:
    """Whether a value is an object or array; one that is only shown may raise, and then it is neither."""
    try:
        return isinstance(value, Mapping | list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)
    except Exception:  # The caller wrote the object's __class__.
        if not is_shown:
            raise
        return False


def _members(container: Any, key: Callable[[Any], str]) -> list[Any]:
    """The values of a container and the text between them, in order."""
    members: list[Any] = []
    if isinstance(container, Mapping):
        for name, value in container.items():
            members += [_Text(("," if members else "") + key(name) + ":"), value]
    else:
        for value in container:
            members += [_Text(","), value] if members else [value]
    return members


def _shown_members(container: Any, key: Callable[[Any], str]) -> list[Any]:
    try:
        return _members(container, key)
    except Exception as error:  # The caller wrote the mapping's methods.
        name = [_Text(key("cannot be read") + ":")] if isinstance(container, Mapping) else []
        return [*name, _Text(quoted(type(error).__name__))]


def _strict_key(name: Any) -> str:
    if not isinstance(name, str):
        raise UnreadableError(JSON_KEY)
    return _strict_scalar(name)


def _any_key(name: Any) -> str:
    try:
        return quoted(name if isinstance(name, str) else printable(name))
    except Exception:  # The caller wrote the object's __class__.
        return quoted(printable(name))


def _strict_scalar(value: Any) -> str:
    if isinstance(value, str) and _SURROGATE.search(value):
        raise UnreadableError(NOT_UNICODE)
    text = _scalar(value)
    if text is None:
        raise UnreadableError(f"holds {type(value).__name__}, which JSON does not have")
    return text


def _any_scalar(value: Any) -> str:
    try:
        return _scalar_or_its_name(value)
    except Exception:  # The caller wrote the object's methods.
        return quoted(printable(value))


def _scalar_or_its_name(value: Any) -> str:
    try:
        return _scalar(value) or quoted(printable(value))
    except UnreadableError:
        return quoted(_unreadable_number(value))


def _unreadable_number(value: Any) -> str:
    """A number that JSON cannot hold, as exports to JSON lines spell it."""
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, float | np.floating) and not isinstance(value, np.longdouble):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(float(value), "NaN")
    return printable(value)


def _scalar(value: Any) -> str | None:
    """A scalar as JSON, None for a type without JSON; raises UnreadableError for a number that JSON cannot hold."""
    if value is None or is_missing_in_pandas(value):
        return "null"
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    # NumPy counts a duration as an integer.
    if isinstance(value, np.timedelta64):
        return None
    if isinstance(value, int | np.integer):
        return _whole(value)
    if isinstance(value, float | np.floating):
        return _fraction(value)
    if isinstance(value, Decimal):
        return _finite(value.is_finite(), lambda: str(value))
    if isinstance(value, np.datetime64):
        return "null" if np.isnat(value) else quoted(_moment(value))
    if isinstance(value, datetime):
        return quoted(_moment(value))
    if isinstance(value, date):
        return quoted(value.isoformat())
    return None


def _finite(is_finite: bool, text: Callable[[], str]) -> str:
    if not is_finite:
        raise UnreadableError(JSON_NOT_FINITE)
    return text()


def _whole(value: int | np.integer[Any]) -> str:
    try:
        return str(int(value))
    except ValueError as error:
        # Python refuses to print more than 4300 digits.
        raise UnreadableError(inexact("JSON")) from error


def _fraction(value: float | np.floating[Any]) -> str:
    if isinstance(value, np.longdouble) and np.longdouble(float(value)) != value:
        raise UnreadableError(JSON_NOT_FINITE if not np.isfinite(value) else inexact("JSON"))
    return _finite(bool(np.isfinite(value)), lambda: java_number(value))


def java_number(value: float | np.floating[Any]) -> str:
    """A finite number as Java spells it: ``1.0E-4`` and ``1.0E7`` beyond ``[0.001, 10^7)``, always with a point."""
    if value == 0 or 1e-3 <= abs(float(value)) < 1e7:
        # Python spells these as Java does, and faster than NumPy.
        return repr(value) if type(value) is float else np.format_float_positional(value, trim="0")
    mantissa, exponent = _scientific(value).split("e")
    return f"{mantissa}E{int(exponent)}"


def _scientific(value: float | np.floating[Any]) -> str:
    """The shortest digits that denote the number; at least two digits for the tiniest numbers, as Java writes them."""
    shortest = np.format_float_scientific(value, trim="0")
    tiny = _TINY_FLOAT if isinstance(value, np.float32) else _TINY
    if abs(float(value)) > tiny or len(shortest.split("e")[0]) > 4:
        return shortest
    two_digits = np.format_float_scientific(value, precision=1, unique=False)
    return two_digits if type(value)(two_digits) == value else shortest


def _moment(value: Any) -> str:
    """A timestamp in UTC with a Z, or without one if it has no time zone; cut to the microsecond."""
    try:
        text = to_instant(value, "UTC", "down").replace(tzinfo=None).isoformat(timespec="microseconds")
    except OutsideYearsError as error:
        raise UnreadableError(f"holds a {outside_years('timestamp')}") from error
    aware = isinstance(value, datetime) and value.utcoffset() is not None
    return f"{text}Z" if aware else text


def quoted(text: str) -> str:
    """A JSON string, with unpaired surrogates as escapes."""
    return f'"{_ESCAPED.sub(lambda match: _SHORT.get(match[0]) or _escape(match[0]), text)}"'


def _escape(character: str) -> str:
    return f"\\u{ord(character):04X}"
