"""Random sums, averages and deviations by ``exact_numbers``, and where they differ from those of fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import inf, isfinite, nextafter, ulp
from random import Random
from types import ModuleType
from typing import Any

import numpy as np

from tests.reference.windows import rounded

# The width of a part, and the most parts: as in production; narrow; and so few that Python's integers take over.
LIMITS = [(52, 8), (33, 100), (52, 1)]


def random_doubles(random: Random) -> list[float]:
    """Doubles whose sums lie between two doubles, or just beside: halves of units, and bits far below them."""
    lowest = random.choice([-1074, -1040, -60, 0, 900])
    span = random.choice([0, 3, 50, 60, 120, 250, 1800])
    fine = random.random() < 0.5
    signs = random.choice([[1, -1], [1]])
    powers = random.choice([[0, 1, 52, 53, 54, 106, span], [0, span, span, span, span]])

    def number() -> float:
        power = min(lowest + random.choice([*powers, random.randint(0, span)]), 1023)
        mantissa = random.choice([1, 3, 2**52 + 1, random.getrandbits(53) | 1, 2**53 - 1]) if fine else 1
        return random.choice(signs) * rounded(Fraction(mantissa) * Fraction(2) ** (power - mantissa.bit_length()))

    values = [number() for _ in range(random.choice([1, 2, 3, 8, 40]))]
    values += [-value for value in random.choices(values, k=random.choice([0, 0, 0, 1, 3]))]
    return [value for value in values if abs(value) < inf]


def random_longs(random: Random) -> list[int]:
    pool = [2**62, -(2**62), 2**53 + 1, 2**53 - 1, 1, 3, -(2**63), 2**63 - 1, random.getrandbits(60), -7]
    return random.choices(random.choice([pool, pool[2:6], [2**33, -(2**33) + 1, 5]]), k=random.choice([1, 2, 9, 40]))


def is_near(found: float, wanted: Fraction) -> bool:
    """Within one and a half units in the last place, which is what two roundings may miss."""
    return isfinite(found) and abs(Fraction(found) - wanted) <= Fraction(3, 2) * Fraction(ulp(found))


def first_fault(module: ModuleType, cases: int) -> str | None:
    """The first wrong answer of the module, in words; None if it gives those of fractions."""
    for seed in range(cases):
        random = Random(seed)
        values: Sequence[Any]
        for values, kind in ((random_doubles(random), np.float64), (random_longs(random), np.int64)):
            if not values:
                continue
            starts, ends = _windows(random, len(values))
            for width, parts in LIMITS:
                module._WIDTH, module._MOST_PARTS = width, parts  # type: ignore[attr-defined]
                fault = _fault(module, np.array(values, kind), starts, ends)
                if fault is not None:
                    return f"case {seed}, width {width}, {parts} parts: {fault}"
    return None


def _windows(random: Random, count: int) -> tuple[np.ndarray, np.ndarray]:
    cuts = [sorted(random.sample(range(count + 1), 2)) for _ in range(5)] + [[0, count]]
    return np.array([first for first, _ in cuts]), np.array([end for _, end in cuts])


def _fault(module: ModuleType, values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> str | None:
    most = int((ends - starts).max())
    is_whole = values.dtype == np.int64

    def sums(part: np.ndarray) -> np.ndarray:
        running = np.concatenate([np.zeros(1, part.dtype), np.cumsum(part)])
        return running[ends] - running[starts]

    exact = module.whole_numbers(values, most) if is_whole else module.doubles(values, most)
    sums_of = exact.summed(sums)
    fractions = [list(map(Fraction, values[first:end].tolist())) for first, end in zip(starts, ends, strict=True)]
    totals = [sum(each) for each in fractions]
    for total, found in zip(totals, sums_of.doubles().tolist(), strict=True):
        if rounded(Fraction(total)) != found:
            return f"sum {rounded(Fraction(total))!r} expected, {found!r} found"
    counts = ends - starts
    for total, count, found in zip(totals, counts.tolist(), sums_of.quotients(counts).tolist(), strict=True):
        wanted = Fraction(total, count)
        if found != rounded(wanted) and (is_whole or not is_near(found, wanted)):
            return f"average {rounded(wanted)!r} expected, {found!r} found"
    if is_whole:
        longs, beyond = sums_of.longs()
        for place, total in enumerate(totals):
            fits = -(2**63) <= total < 2**63
            if fits != (beyond is None or not beyond[place]) or (fits and total != longs[place]):
                return f"long {total} expected, {longs[place]} found"
        return None
    squares = module.squares(values, most).summed(sums)
    rows = np.flatnonzero(counts > 1)
    found_all = module.deviations(*(each.summed(lambda part: part[rows]) for each in (sums_of, squares)), counts[rows])
    for row, found in zip(rows.tolist(), found_all.tolist(), strict=True):
        mean = Fraction(totals[row], counts[row].item())
        variance = sum((each - mean) ** 2 for each in fractions[row]) / (counts[row].item() - 1)
        low, high = max(Fraction(nextafter(found, -inf)), 0) if found < inf else 0, nextafter(found, inf)
        if not low**2 <= variance or (high < inf and variance > Fraction(high) ** 2):
            return f"deviation with square {rounded(variance)!r} expected, {found!r} found"
    return None
