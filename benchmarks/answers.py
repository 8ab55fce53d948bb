"""What every engine's result is consumed to, and how the answers are compared.

Of each output column: how many values it has, their sum, and their sum weighted by ``id % 101``, which tells rows that
were mixed up. A column counts as a number: a double as it is, a long and a timestamp's microseconds modulo 2^20, a
string's length. All are whole numbers of less than 2^53 in sum, exact in doubles in whatever order they are added.
So every column of every row has to be there, and equal answers are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping

Answers = dict[str, float]

MODULUS = 1 << 20
WEIGHTS = 101


def differences(expected: Mapping[str, float], found: Mapping[str, float]) -> list[str]:
    """One line an answer that differs; none where all are the same."""
    return [
        f"{name}: {found.get(name)} instead of {expected.get(name)}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
