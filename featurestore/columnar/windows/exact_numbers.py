"""Numbers as whole parts of 64 bits, whose sums are exact, and the one rounding at the end.

A double is a whole number of units ``2 ** exponent``, if the unit is small enough. Such whole numbers are cut into
parts of ``width`` bits. The parts of many numbers are summed, and their prefix sums subtracted, modulo 2^64; the result
is exact if the sum of a window fits, and the parts are as narrow as the longest window needs. Exact sums do not depend
on the order of rows, on the unit, or on the width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, ldexp, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]
# Parts of doubles: a double must hold a part, and a long the sum of a window's parts.
_WIDTH, _SUM_BITS = 52, 62
# Of numbers that need more parts, the sums are those of Python's integers.
_MOST_PARTS = 8
# Doubles of a greater span are not squared as doubles.
_SQUARED_SPAN = 400
_WHOLE_WIDTH = 32
_EXACT = 1 << 53


@dataclass(frozen=True)
class ExactNumbers:
    """Each number is ``sum(parts[j] * 2 ** (width * j)) * 2 ** exponent / divisor``.

    ``parts``: longs, the least first; or one array of Python's integers. ``is_whole``: the numbers came as whole
    numbers or as decimals.
    """

    parts: tuple[NDArray[Any], ...]
    width: int = _WHOLE_WIDTH
    exponent: int = 0
    divisor: int = 1
    is_whole: bool = True

    def summed(self, sums: Callable[[NDArray[Any]], NDArray[Any]]) -> ExactNumbers:
        """The sums of these numbers, by a function that sums parts."""
        return replace(self, parts=tuple(sums(part) for part in self.parts))

    def longs(self) -> tuple[Longs, NDArray[np.bool_] | None]:
        """Whole numbers as longs, and those that a long cannot hold; None if it holds all."""
        if len(self.parts) == 1:
            return self.parts[0], None
        low, high = carried(self.parts, self.width)
        return (high << np.int64(self.width)) | low, (high >= 2**31) | (high < -(2**31))

    def integers(self) -> NDArray[Any]:
        """In units of ``2 ** exponent / divisor``, as Python's integers."""
        total = self.parts[0].astype(object)
        for place, part in enumerate(self.parts[1:], 1):
            total = total + part.astype(object) * (1 << self.width * place)
        return total

    def doubles(self) -> Doubles:
        """Rounded once, correctly; infinite beyond the doubles."""
        if self.divisor != 1:
            return self.quotients(np.ones(len(self.parts[0]), np.int64))
        return _scaled(*rounded(self.parts, self.width), self.exponent)

    def quotients(self, counts: Longs) -> Doubles:
        """Divided by ``counts``, which are 1 or more.

        Of whole numbers and decimals the exact quotient, rounded once. Of doubles the sum is rounded to 53 bits, of
        whatever exponent, and divided: two roundings, which miss at most one and a half units in the last place.
        """
        if not self.is_whole:
            mantissas, exponents = rounded(self.parts, self.width)
            return _scaled(mantissas / counts, exponents, self.exponent)
        if len(self.parts) == 1 and self.parts[0].dtype != object:
            numbers, divisors = self.parts[0], counts * float(self.divisor)
            quotients: Doubles = numbers / divisors
            inexact = (np.abs(numbers) >= _EXACT) | (numbers == np.iinfo(np.int64).min) | (divisors >= _EXACT)
            rows = np.flatnonzero(inexact)
            by_integers = zip(numbers[rows].tolist(), counts[rows].tolist(), strict=True)
        else:
            quotients, rows = np.zeros(len(counts)), np.arange(len(counts))
            by_integers = zip(self.integers().tolist(), counts.tolist(), strict=True)
        quotients[rows] = [number / (count * self.divisor) for number, count in by_integers]
        return quotients


def whole_numbers(values: Longs, most: int, divisor: int = 1) -> ExactNumbers:
    """Longs; ``most``: of how many at most a sum is."""
    greatest = max(int(values.max(initial=0)), -int(values.min(initial=0)))
    if greatest * most < 2**63:
        return ExactNumbers((values,), divisor=divisor)
    return ExactNumbers((values & (2**_WHOLE_WIDTH - 1), values >> np.int64(_WHOLE_WIDTH)), divisor=divisor)


def doubles(values: Doubles, most: int) -> ExactNumbers:
    """Finite doubles; ``most``: of how many at most a sum is."""
    top, unit = _span(values)
    parts, width = _cut(values, top, unit, most)
    if parts is None:
        return ExactNumbers((_integers(values, unit),), exponent=unit, is_whole=False)
    return ExactNumbers(parts, width, unit, is_whole=False)


def squares(values: Doubles, most: int) -> ExactNumbers:
    """The squares of finite doubles."""
    top, unit = _span(values)
    parts: tuple[Longs, ...] | None = None
    if top - unit <= _SQUARED_SPAN:
        # Below 1, so that no product or error term leaves the doubles.
        product, error = _squared(_by_power(values, -top))
        parts, width = _cut(product, 0, 2 * (unit - top), 2 * most)
        errors, _ = _cut(error, 0, 2 * (unit - top), 2 * most)
    if parts is None or errors is None:
        integers = _integers(values, unit)
        return ExactNumbers((integers * integers,), exponent=2 * unit, is_whole=False)
    both = tuple(part + error for part, error in zip(parts, errors, strict=True))
    return ExactNumbers(both, width, 2 * unit, is_whole=False)


def deviations(sums: ExactNumbers, of_squares: ExactNumbers, counts: Longs) -> Doubles:
    """The sample standard deviations of 2 or more numbers each, from the exact sums of numbers and of their squares.

    The variance is rounded once, and its root once: less than one unit in the last place from the exact value.
    """
    unit = sums.exponent
    rows = zip(sums.integers().tolist(), of_squares.integers().tolist(), counts.tolist(), strict=True)
    return np.array([_deviation(count * square - total * total, count, sums.divisor, unit)
                     for total, square, count in rows], np.float64)  # fmt: skip


def _deviation(numerator: int, count: int, divisor: int, unit: int) -> float:
    denominator = count * (count - 1) * divisor * divisor
    # An even power of two brings the quotient near 1.
    shift = (numerator.bit_length() - denominator.bit_length()) & ~1
    variance = numerator / (denominator << shift) if shift >= 0 else (numerator << -shift) / denominator
    try:
        return ldexp(sqrt(variance), shift // 2 + unit)
    except OverflowError:
        return inf


def _span(values: Doubles) -> tuple[int, int]:
    """Powers of two: one that all numbers are below, and one of which all are multiples."""
    magnitudes = np.abs(values)
    greatest = float(magnitudes.max(initial=0.0))
    if greatest == 0.0:
        return 1, 0
    least = float(np.min(magnitudes, where=magnitudes > 0, initial=greatest))
    unit = max(int(np.frexp(least)[1]) - 53, -1074)
    if unit < 0 and bool((np.trunc(values) == values).all()):
        unit = 0
    return max(int(np.frexp(greatest)[1]), unit + 1), unit


def _cut(values: Doubles, top: int, unit: int, most: int) -> tuple[tuple[Longs, ...] | None, int]:
    """The parts of doubles below ``2 ** top``, in units of ``2 ** unit``, and their width; None if they are many."""
    if top - unit + most.bit_length() <= _SUM_BITS:
        return (_by_power(values, -unit).astype(np.int64),), _WIDTH
    width = min(_WIDTH, _SUM_BITS - most.bit_length())
    count = -(-(top - unit) // width)
    if count > _MOST_PARTS:
        return None, width
    parts = []
    for place in reversed(range(1, count)):
        power = unit + width * place
        part = np.trunc(_by_power(values, -power))
        values = values - _by_power(part, power)
        parts.append(part.astype(np.int64))
    parts.append(_by_power(values, -unit).astype(np.int64))
    return tuple(reversed(parts)), width


def _by_power(values: Doubles, power: int) -> Doubles:
    """Times ``2 ** power``; the result must be a double."""
    return values * 2.0**power if -1022 <= power <= 1023 else np.ldexp(values, power)


def _squared(values: Doubles) -> tuple[Doubles, Doubles]:
    """The squares, rounded, and the errors of that: Dekker's product with Veltkamp's splitting."""
    product = values * values
    spread = values * 134_217_729.0
    high = spread - (spread - values)
    low = values - high
    return product, ((high * high - product) + 2.0 * (high * low)) + low * low


def _integers(values: Doubles, unit: int) -> NDArray[Any]:
    """Multiples of ``2 ** unit`` as Python's integers."""
    fractions, exponents = np.frexp(values)
    mantissas = np.ldexp(fractions, 53).astype(np.int64)
    shifts = exponents.astype(np.int64) - 53 - unit
    found = np.empty(len(values), object)
    found[:] = [mantissa << shift if shift >= 0 else mantissa >> -shift
                for mantissa, shift in zip(mantissas.tolist(), shifts.tolist(), strict=True)]  # fmt: skip
    return found


def carried(parts: Sequence[Longs], width: int) -> list[Longs]:
    """The same numbers with all parts but the greatest from 0 up to ``2 ** width``."""
    found = list(parts)
    for place in range(len(found) - 1):
        found[place + 1] = found[place + 1] + (found[place] >> np.int64(width))
        found[place] = found[place] & np.int64(2**width - 1)
    return found


def rounded(parts: Sequence[NDArray[Any]], width: int) -> tuple[Doubles, Any]:
    """Doubles, and powers of two by which they are multiplied: the numbers rounded to 53 bits, ties to even."""
    if parts[0].dtype == object:
        return _rounded_integers(parts[0])
    if len(parts) == 1:
        return parts[0].astype(np.float64), 0
    parts = carried(parts, width)
    if len(parts) == 2 and int(np.abs(parts[1]).max(initial=0)) < _EXACT:
        # Both doubles are exact, so their sum is rounded once.
        return parts[1].astype(np.float64) * 2.0**width + parts[0].astype(np.float64), 0
    return _rounded_parts(parts, width)


def _rounded_parts(parts: Sequence[Longs], width: int) -> tuple[Doubles, Longs]:
    """The same from the first 62 bits, of which the last one also stands for all bits that follow."""
    negative = parts[-1] < 0
    magnitudes = carried([np.where(negative, -part, part) for part in parts], width)
    mask = np.int64(2**width - 1)
    nothing = np.zeros(len(negative), np.int64)
    digits = np.stack([nothing, nothing, nothing, *magnitudes[:-1], magnitudes[-1] & mask, magnitudes[-1] >> width])
    rows = np.arange(len(negative))
    # The greatest digit that is not 0; the lowest three are none of the number's.
    at = np.maximum(len(digits) - 1 - np.argmax(digits[::-1] != 0, axis=0), 3)
    high, middle, low = (digits[at - back, rows] for back in range(3))
    is_more = np.cumsum(digits != 0, axis=0)[at - 3, rows] > 0
    shift = 62 - np.frexp(high.astype(np.float64))[1].astype(np.int64)
    of_middle, of_low = shift - width, np.minimum(2 * width - shift, 63)
    lost = np.maximum(-of_middle, 0)
    bits = (high << shift) | (low >> of_low)
    bits |= np.where(of_middle >= 0, middle << np.maximum(of_middle, 0), middle >> lost)
    is_more |= (middle & ((np.int64(1) << lost) - 1)) != 0
    is_more |= (low & ((np.int64(1) << of_low) - 1)) != 0
    found = (bits | is_more).astype(np.float64)
    return np.where(negative, -found, found), width * (at - 3) - shift


def _rounded_integers(numbers: NDArray[Any]) -> tuple[Doubles, Longs]:
    mantissas, shifts = np.zeros(len(numbers)), np.zeros(len(numbers), np.int64)
    for row, number in enumerate(numbers.tolist()):
        magnitude = abs(number)
        shift = max(magnitude.bit_length() - 62, 0)
        bits = magnitude >> shift
        found = float(bits | (bits << shift != magnitude))
        mantissas[row], shifts[row] = -found if number < 0 else found, shift
    return mantissas, shifts


def _scaled(mantissas: Doubles, exponents: Any, exponent: int) -> Doubles:
    with np.errstate(over="ignore", under="ignore"):
        found: Doubles = np.ldexp(mantissas, exponents + exponent)
        return found
