"""Exact sums, averages and deviations against fractions, and faults planted in them that the cases must expose."""

import sys

import pytest

from featurestore.columnar.windows import exact_numbers
from tests.reference.exact_numbers import first_fault
from tests.reference.mutants import Mutant, mutated
from tests.reference.windows_kernel import ROOM

CASES = 300
MODULE = exact_numbers.__name__.rpartition(".")[2]

MUTANTS = [
    Mutant("a deviation is that of a population", MODULE,
           "count * (count - 1) * divisor", "count * count * divisor"),
    Mutant("parts are not carried", MODULE,
           "found[place + 1] = found[place + 1] + (found[place] >> np.int64(width))", "pass"),
    Mutant("what follows 62 bits is cut off", MODULE,
           "(bits | is_more).astype(np.float64)", "bits.astype(np.float64)"),
    Mutant("what follows the third digit is cut off", MODULE,
           "is_more = np.cumsum(digits != 0, axis=0)[at - 3, rows] > 0", "is_more = np.zeros(len(rows), bool)"),
    Mutant("what follows 62 bits of an integer is cut off", MODULE,
           "float(bits | (bits << shift != magnitude))", "float(bits)"),
    Mutant("two parts are rounded twice", MODULE,
           "int(np.abs(parts[1]).max(initial=0)) < _EXACT", "True"),
    Mutant("negative sums lose their sign", MODULE,
           "np.where(negative, -found, found), width", "found, width"),
    Mutant("wide sums wrap around", MODULE,
           "(high >= 2**31) | (high < -(2**31))", "np.zeros(len(high), bool)"),
    Mutant("whole numbers are never cut", MODULE,
           "if greatest * most < 2**63:", "if True:"),
    Mutant("great whole numbers are divided as doubles", MODULE,
           "(np.abs(numbers) >= _EXACT) |", "(np.abs(numbers) < 0) |"),
    Mutant("doubles are in units that are too great", MODULE,
           "int(np.frexp(least)[1]) - 53, -1074)", "int(np.frexp(least)[1]) - 50, -1074)"),
    Mutant("the error of a square is left out", MODULE,
           "tuple(part + error for part, error in", "tuple(part for part, error in"),
    Mutant("squares of a great span are squared as doubles", MODULE,
           "if top - unit <= _SQUARED_SPAN:", "if True:"),
]  # fmt: skip


@pytest.mark.parametrize("mutant", [None, *MUTANTS], ids=str)
def test_only_the_module_without_a_fault_passes_all_cases(mutant: Mutant | None) -> None:
    with mutated(ROOM, mutant):
        try:
            fault = first_fault(sys.modules[exact_numbers.__name__], CASES)
        except (ValueError, OverflowError) as error:
            fault = repr(error)

    assert (fault is None) == (mutant is None), fault
