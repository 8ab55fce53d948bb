"""Arrow columns as JSON text: the same text as ``json_columns`` makes of the same columns in Spark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.kinds import reasons
from featurestore.kinds.arrow_columns.lists import any_element, is_list_type, with_elements
from featurestore.kinds.arrow_columns.numbers import is_floating_type, is_not_finite
from featurestore.kinds.arrow_columns.reading import (
    ArrowReading,
    Mask,
    UndecidedError,
    faulty,
    is_present,
    no_row,
    true_of,
)
from featurestore.kinds.arrow_columns.times import date_texts, moment_texts
from featurestore.kinds.json_text.json_validity import valid_json
from featurestore.kinds.json_text.json_values import java_number, quoted

_NOT_FINITE = {math.inf: '"Infinity"', -math.inf: '"-Infinity"'}
# Java writes numbers from the first up to the second, whatever their sign, without an exponent.
_LEAST_PLAIN, _LEAST_LARGE = 1e-3, 1e7
_NEEDS_ESCAPES = '["\\\\\\x00-\\x1f]'


def read_json(value: pa.Array) -> ArrowReading | None:
    """The column as JSON text, and the reason for each value that has none; None for a type that JSON cannot hold."""
    if pa.types.is_string(value.type):
        return faulty(value, [(~valid_json(value), reasons.not_readable("json"))])
    if not _has_json(value.type):
        return None
    text = json_of(value)
    faults = [(_not_finite(value), reasons.JSON_NOT_FINITE)]
    if any(pa.types.is_map(part) for part in _parts(value.type)):
        # A map may contain a key twice.
        faults.append((~valid_json(text), reasons.not_readable("json")))
    return faulty(text, faults)


def json_of(value: pa.Array) -> pa.Array:
    """The values as JSON, with every field, and timestamps in ISO 8601; null for null.

    Raises UndecidedError for a type whose text only Spark knows.
    """
    return pc.if_else(value.is_valid(), _texts(value), pa.scalar(None, pa.string()))


def object_texts(columns: Sequence[tuple[str, pa.Array]], rows: int) -> pa.Array:
    """One JSON object per row, with a member for each column, in order."""
    pieces: list[Any] = []
    for name, column in columns:
        pieces += [("," if pieces else "{") + quoted(name) + ":", _texts(column)]
    return joined([*pieces, "}"] if pieces else ["{}"], rows)


def _texts(value: pa.Array) -> pa.Array:
    """The same as ``json_of``, with the word null for null."""
    return _any_texts(value).fill_null("null")


def _any_texts(value: pa.Array) -> pa.Array:
    kind = value.type
    for is_of, write in _WRITERS:
        if is_of(kind):
            return write(value)
    raise UndecidedError(f"JSON of {kind}")


def joined(pieces: Sequence[Any], rows: int) -> pa.Array:
    """The pieces side by side; each is a text or a column of texts."""
    columns = [
        pa.array([piece] * rows, pa.string()) if rows < 2 and isinstance(piece, str) else piece for piece in pieces
    ]
    if all(isinstance(piece, str) for piece in columns):
        return pa.array(["".join(columns)] * rows, pa.string())
    return pc.binary_join_element_wise(*columns, "")


def _quoted(texts: pa.Array) -> pa.Array:
    """Texts in quotes that have nothing to escape."""
    return pc.binary_join_element_wise('"', texts, '"', "")


def _strings(value: pa.Array) -> pa.Array:
    needs = true_of(pc.match_substring_regex(value, _NEEDS_ESCAPES))
    plain = _quoted(value)
    if not needs.any():
        return plain
    escaped = [quoted(text) for text in value.filter(pa.array(needs)).to_pylist()]
    return pc.replace_with_mask(plain, pa.array(needs), pa.array(escaped, pa.string()))


def float_texts(value: pa.Array) -> pa.Array:
    """Floating-point numbers as Java spells them, and in quotes those that are not finite."""
    digits = value.cast(pa.string())
    # Arrow writes no point if nothing comes after it.
    plain = pc.if_else(pc.match_substring(digits, "."), digits, pc.binary_join_element_wise(digits, "0", "."))
    size = pc.abs(value)
    is_plain = pc.and_(pc.greater_equal(size, _LEAST_PLAIN), pc.less(size, _LEAST_LARGE))
    others = is_present(value) & ~true_of(pc.or_(is_plain, pc.equal(size, 0.0)))
    if not others.any():
        return plain
    of_numpy = np.float32 if pa.types.is_float32(value.type) else float
    rest = [_float_text(of_numpy(number)) for number in value.filter(pa.array(others)).to_pylist()]
    return pc.replace_with_mask(plain, pa.array(others), pa.array(rest, pa.string()))


def _float_text(number: Any) -> str:
    return java_number(number) if math.isfinite(number) else _NOT_FINITE.get(float(number), '"NaN"')


def check_digits(value: pa.Array) -> None:
    """Raise UndecidedError if numbers in the column, or in its lists, have other digits in another version of Java.

    Java writes more digits than a number needs until version 18, but only outside these bounds.
    """
    numbers = value.flatten() if is_list_type(value.type) else value
    if not is_floating_type(numbers.type):
        return
    least, large = (1e-37, 2.0**24) if pa.types.is_float32(numbers.type) else (1e-300, 2.0**53)
    size = pc.abs(numbers.filter(pa.array(~is_not_finite(numbers) & is_present(numbers))))
    is_known = pc.or_(pc.equal(size, 0.0), pc.and_(pc.greater_equal(size, least), pc.less(size, large)))
    if not pc.all(is_known, min_count=0).as_py():
        raise UndecidedError("a number whose digits depend on the version of Java")


def _decimals(value: pa.Array) -> pa.Array:
    return pa.array([None if number is None else str(number) for number in value.to_pylist()], pa.string())


def _lists(value: pa.Array) -> pa.Array:
    of_texts = with_elements(value, _texts(value.flatten()))
    return pc.binary_join_element_wise("[", pc.binary_join(of_texts, ","), "]", "")


def _structs(value: pa.Array) -> pa.Array:
    columns = [(field.name, part) for field, part in zip(value.type, value.flatten(), strict=True)]
    return pc.if_else(value.is_valid(), object_texts(columns, len(value)), pa.scalar(None, pa.string()))


def _maps(value: pa.Array) -> pa.Array:
    pairs = _pairs(value)
    keys, items = pairs.flatten().flatten()
    if not pa.types.is_string(keys.type):
        raise UndecidedError(f"JSON of {value.type}")
    members = with_elements(pairs, pc.binary_join_element_wise(_strings(keys), _texts(items), ":"))
    return pc.binary_join_element_wise("{", pc.binary_join(members, ","), "}", "")


def _pairs(value: pa.Array) -> pa.Array:
    """A map as a list of structs of a key and an item."""
    kind = pa.struct([pa.field("key", value.type.key_type, nullable=False), ("value", value.type.item_type)])
    return value.cast(pa.list_(kind))


def _has_json(kind: pa.DataType) -> bool:
    is_outer = pa.types.is_boolean(kind) or _is_number(kind) or pa.types.is_nested(kind)
    return is_outer and all(_is_known(part) for part in _parts(kind))


def _is_known(part: pa.DataType) -> bool:
    if pa.types.is_map(part):
        return bool(pa.types.is_string(part.key_type))
    if pa.types.is_struct(part):
        names = [field.name for field in part]
        # Spark ignores case when it looks up a field.
        return len({name.lower() for name in names}) == len(names)
    return any(is_of(part) for is_of, _ in _WRITERS)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_signed_integer(kind) or is_floating_type(kind) or pa.types.is_decimal128(kind))


def _parts(kind: pa.DataType) -> Iterator[pa.DataType]:
    """The type and all types within it."""
    yield kind
    if pa.types.is_map(kind):
        yield from _parts(kind.key_type)
        yield from _parts(kind.item_type)
    elif is_list_type(kind):
        yield from _parts(kind.value_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _parts(field.type)


def _not_finite(value: pa.Array) -> Mask:
    """Whether each value contains a number that is not finite."""
    kind = value.type
    if is_floating_type(kind):
        return is_not_finite(value)
    if not any(is_floating_type(part) for part in _parts(kind)):
        return no_row(value)
    if pa.types.is_map(kind):
        pairs = _pairs(value)
        return any_element(pairs, _not_finite(pairs.flatten().flatten()[1]))
    if is_list_type(kind):
        return any_element(value, _not_finite(value.flatten()))
    result = no_row(value)
    for part in value.flatten():
        result |= _not_finite(part)
    return result


_WRITERS: list[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]]] = [
    (pa.types.is_null, lambda value: pa.nulls(len(value), pa.string())),
    (pa.types.is_boolean, lambda value: value.cast(pa.string())),
    (pa.types.is_signed_integer, lambda value: value.cast(pa.string())),
    (is_floating_type, float_texts),
    (pa.types.is_decimal128, _decimals),
    (pa.types.is_string, _strings),
    (pa.types.is_date32, lambda value: _quoted(date_texts(value))),
    (pa.types.is_timestamp, lambda value: _quoted(moment_texts(value))),
    (pa.types.is_map, _maps),
    (is_list_type, _lists),
    (pa.types.is_struct, _structs),
]
