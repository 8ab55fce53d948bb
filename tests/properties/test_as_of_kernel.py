"""The as-of kernel against the naive reference, on thousands of small random cases."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inputs.as_of_cases import random_case
from tests.reference.as_of_kernel import LIMITS, ROOM, Kernel, Limits, difference, expected_answers


@contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Within it, the kernel has these limits."""
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), value in limits.constants.items():
            patch.setattr(f"{ROOM}.{module}.{name}", value)
        yield


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_kernel_agrees_with_the_reference(seed: int) -> None:
    """A drawn seed stands for fifty cases: drawn one by one they would take longer than the joins that they test."""
    kernel = Kernel.imported()
    for number in range(seed, seed + 50):
        case = random_case(number)
        expected = expected_answers(case)
        for limits in LIMITS:
            with limited(limits):
                answers = kernel.answers(case, threads=1 + number % 3)

            fault = difference(expected, answers)
            assert fault is None, f"case {number}, {limits}: {fault}; {case.rules}"
