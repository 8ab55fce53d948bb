"""Whether a text is valid JSON as Spark parses it, decided in Python."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from featurestore.kinds.arrow_columns.reading import Mask, UndecidedError

# Spark's parser refuses numbers, names and texts beyond certain lengths, and too deep a nesting. Within these lengths
# it refuses none, so that a text beyond them is Spark's to decide.
_LONGEST_NUMBER, _LONGEST_NAME, _LONGEST_TEXT, _DEEPEST = 900, 10_000, 1_000_000, 400
_SURROGATES = ("\\ud", "\\uD")


class _RefusedError(ValueError):
    """Valid for Python's parser but not for Spark's."""


def is_json_text(text: str) -> bool:
    """Whether Spark accepts the text as one JSON value; raises UndecidedError for what only Spark can decide.

    Spark refuses NaN and infinities, and an object with the same key twice.
    """
    try:
        parse_json(text, _DECODER)
    except ValueError:
        return False
    return True


def parse_json(text: str, decoder: json.JSONDecoder) -> Any:
    """The text as the decoder reads it, whose hooks call ``check_number``, ``check_names`` and ``refuse_constant``.

    Its objects are lists of their values. Raises ValueError for a text that Spark refuses, and UndecidedError.
    """
    if len(text) > _LONGEST_TEXT:
        raise UndecidedError("a long JSON text")
    try:
        parsed = decoder.decode(text)
        if text.count("[") + text.count("{") > _DEEPEST and _is_deep(parsed):
            raise UndecidedError("a deeply nested JSON text")
        if any(escape in text for escape in _SURROGATES) and _has_half_a_character(text):
            raise UndecidedError("a JSON text with unpaired surrogates")
    except RecursionError as error:
        raise UndecidedError("a deeply nested JSON text") from error
    return parsed


def valid_json(texts: pa.Array) -> Mask:
    """``is_json_text`` of each text; true of null."""
    return np.fromiter((text is None or is_json_text(text) for text in texts.to_pylist()), np.bool_, len(texts))


def check_number(digits: str) -> None:
    if len(digits) > _LONGEST_NUMBER:
        raise UndecidedError("a JSON number of very many digits")


def check_names(names: Collection[str]) -> None:
    """Check the keys of an object."""
    if len(set(names)) < len(names):
        raise _RefusedError("a key twice")
    if any(len(name) > _LONGEST_NAME for name in names):
        raise UndecidedError("a JSON object with a very long key")


def refuse_constant(word: str) -> NoReturn:
    raise _RefusedError(word)


def _number(digits: str) -> int:
    check_number(digits)
    return 0


def _object(pairs: list[tuple[str, Any]]) -> list[Any]:
    check_names([name for name, _ in pairs])
    return [value for _, value in pairs]


def _has_half_a_character(text: str) -> bool:
    """Whether an escape of a surrogate has no partner."""
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _is_deep(parsed: Any) -> bool:
    """Whether lists are nested deeper than the limit."""
    level, depth = [parsed], 0
    while level and depth <= _DEEPEST:
        level = [item for part in level if isinstance(part, list) for item in part]
        depth += 1
    return bool(level)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_number, parse_float=_number, parse_constant=refuse_constant
)
