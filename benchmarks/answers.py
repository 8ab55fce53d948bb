"""The answers that every engine's result is reduced to, and their comparison.

Each output column gives its number of values, their sum, and their sum weighted by ``id % 101``, which reveals mixed-up
rows. A column counts as a number: a double as it is, a long and a timestamp's microseconds modulo 2^20, a string's
length. All are whole numbers with sums below 2^53, exact in doubles in any order of addition. An engine must therefore
compute every column of every row, and equal answers are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping

Answers = dict[str, float]

MODULUS = 1 << 20
WEIGHTS = 101


def differences(expected: Mapping[str, float], actual: Mapping[str, float]) -> list[str]:
    """One line per answer that differs."""
    return [
        f"{name}: {actual.get(name)} instead of {expected.get(name)}"
        for name in sorted(expected.keys() | actual.keys())
        if expected.get(name) != actual.get(name)
    ]
