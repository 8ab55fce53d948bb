"""The memory that a frame's rows will take in this process, estimated before any row is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from featurestore.frames.columns import column
from featurestore.late_spark import Column, F

# In bytes, for CPython and numpy: a reference, an empty str, an empty tuple, an array without its numbers.
_REFERENCE, _TEXT, _TUPLE, _ARRAY = 8, 49, 56, 112
_DATE, _DECIMAL, _NESTED = 32, 104, 512
_NUMBERS = {"array<float>": 4, "array<double>": 8}
_LENGTH, _LONGEST = "length of ", "longest of "
_EIGHT_BYTES = ("tinyint", "smallint", "int", "bigint", "float", "double", "boolean", "timestamp", "timestamp_ntz")


def length_columns(words: Mapping[str, str], inside: Column) -> list[Column]:
    """Aggregates that ``lengths`` and ``longest`` read; one ``agg`` can compute them with others.

    ``words``: column -> the word for its Spark type (``simpleString``). The bytes of texts are those of the rows
    ``inside``; the longest array is that of all rows, so that the vectors of each part of a training set have one
    length.
    """
    aggregates = []
    for name, word in words.items():
        value = column(name)
        if _is_text(word):
            aggregates.append(_sum(F.octet_length(value), inside).alias(_LENGTH + name))
        if word.startswith("array<"):
            aggregates.append(F.coalesce(F.max(F.size(value)), F.lit(0)).alias(_LONGEST + name))
            if _is_text(word.removeprefix("array<").removesuffix(">")):
                aggregates.append(_sum(F.octet_length(F.array_join(value, "")), inside).alias(_LENGTH + name))
    return aggregates


def row_bytes(words: Mapping[str, str]) -> Column:
    """About what a row takes as Arrow holds it; ``words`` as in ``length_columns``, without nested types but lists."""
    total = F.lit(16 * len(words)).cast("bigint")
    for name, word in words.items():
        value = column(name)
        if word == "array<string>":
            total = total + F.coalesce(F.octet_length(F.array_join(value, "")) + 4 * F.size(value), F.lit(0))
        elif word.startswith("array<"):
            total = total + F.coalesce(8 * F.size(value), F.lit(0))
        elif _is_text(word) or word == "binary":
            total = total + F.coalesce(F.octet_length(value), F.lit(0))
    return total


def _sum(lengths: Column, inside: Column) -> Column:
    return F.coalesce(F.sum(F.when(inside, lengths)), F.lit(0))


def lengths(row: Mapping[str, Any]) -> dict[str, int]:
    """Column of texts -> the bytes of all its texts, from the row of aggregates."""
    return {name.removeprefix(_LENGTH): total for name, total in row.items() if name.startswith(_LENGTH)}


def longest(row: Mapping[str, Any]) -> dict[str, int]:
    """Column of arrays -> the elements of its longest array, from the row of aggregates."""
    return {name.removeprefix(_LONGEST): max(0, most) for name, most in row.items() if name.startswith(_LONGEST)}


def bytes_in_pandas(
    words: Mapping[str, str],
    rows: int,
    texts: Mapping[str, int],
    widths: Mapping[str, int],
    expanded: Iterable[str] = (),
) -> int:
    """An estimate: exact for numbers; each text counts, even where pandas keeps equal texts once.

    ``texts`` and ``widths`` are what ``lengths`` and ``longest`` return; ``expanded``: the vectors that become one
    column per number.
    """
    expanded_vectors = set(expanded)
    total = 0
    for name, word in words.items():
        if word in _NUMBERS:
            whole_cell = 0 if name in expanded_vectors else _REFERENCE + _ARRAY
            total += rows * (widths[name] * _NUMBERS[word] + whole_cell)
        elif word == "array<string>":
            total += rows * (_REFERENCE + _TUPLE + widths[name] * (_REFERENCE + _TEXT)) + texts[name]
        elif _is_text(word):
            total += rows * (_REFERENCE + _TEXT) + texts[name]
        else:
            total += rows * _width(word)
    return total


def bytes_in_numpy(columns: int, rows: int) -> int:
    return 8 * columns * rows


def _is_text(word: str) -> bool:
    # Also of a collation of its own.
    return word == "string" or word.startswith("string ")


def _width(word: str) -> int:
    if word == "date":
        return _REFERENCE + _DATE
    if word.startswith("decimal("):
        return _REFERENCE + _DECIMAL
    return 8 if word in _EIGHT_BYTES else _NESTED
