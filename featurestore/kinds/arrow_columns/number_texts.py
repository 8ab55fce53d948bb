"""Columns of text as numbers, in the spellings that ``number_columns`` has for Spark."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.kinds.arrow_columns.reading import Mask, UndecidedError, is_present, true_of

DECIMAL = pa.decimal128(38, 0)
_PLAIN = r"(?i)\A[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?\z"
_WORDS = r"(?i)\A(nan|[+-]?inf|[+-]?infinity)\z"
# Blanks and ends of lines that Java's expressions accept around a number, but its casts may not.
_AROUND = r"[\t\n\x0b\f\r \x{85}\x{2028}\x{2029}]*"
_SPELLED = rf"(?i)\A{_AROUND}[+-]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?|nan|inf|infinity){_AROUND}\z"
_WHOLE = r"\A[+-]?[0-9]+\z"
# Java reads numbers of any length, but Spark's decimals do not.
_LONGEST = 300
_DIGITS = 38


def numbers_of(texts: pa.Array) -> pa.Array:
    """The texts that spell numbers, without the blanks around them; null for all others.

    Raises UndecidedError for numbers between other blanks, very long ones, and a NaN with a sign.
    """
    trimmed = pc.utf8_trim(texts, characters=" ")
    known = pc.or_(pc.match_substring_regex(trimmed, _PLAIN), pc.match_substring_regex(trimmed, _WORDS))
    others = pc.and_(pc.match_substring_regex(texts, _SPELLED), pc.invert(known))
    if true_of(others).any():
        raise UndecidedError("a number between blanks that are not spaces")
    numbers = pc.if_else(known, trimmed, pa.scalar(None, pa.string()))
    if len(numbers) and (pc.max(pc.utf8_length(numbers)).as_py() or 0) > _LONGEST:
        raise UndecidedError("a number of very many digits")
    return numbers


def doubles_of(numbers: pa.Array) -> pa.Array:
    """The nearest doubles; those beyond the range of doubles are infinite."""
    return pa.array([None if text is None else float(text) for text in numbers.to_pylist()], pa.float64())


def decimals_of(numbers: pa.Array, chosen: Mask) -> pa.Array:
    """The whole numbers that are chosen, as decimals; null for more than 38 digits."""
    texts = pc.if_else(pa.array(chosen), numbers, pa.scalar(None, pa.string())).to_pylist()
    wholes = [None if text is None else int(text) for text in texts]
    fitting = [None if whole is None or abs(whole) >= 10**_DIGITS else Decimal(whole) for whole in wholes]
    return pa.array(fitting, DECIMAL)


def are_whole(numbers: pa.Array) -> Mask:
    """Whether each number has digits only."""
    return true_of(pc.match_substring_regex(numbers, _WHOLE))


def wholes_of(numbers: pa.Array, least: int, greatest: int, kind: pa.DataType) -> tuple[pa.Array, Mask]:
    """Numbers without an exponent as whole ones, null if beyond these ends; and the mask of those with a fraction."""
    has_rest = is_present(numbers) & ~true_of(pc.match_substring_regex(numbers, r"\A[+-]?[0-9]*(\.0*)?\z"))
    read: list[int | None] = []
    for text, rest in zip(numbers.to_pylist(), has_rest.tolist(), strict=True):
        digits = None if text is None or rest else text.partition(".")[0]
        whole = None if digits is None else int(digits) if digits.strip("+-") else 0
        read.append(whole if whole is not None and least <= whole <= greatest else None)
    return pa.array(read, kind), np.asarray(has_rest)
