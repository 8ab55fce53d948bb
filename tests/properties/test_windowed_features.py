"""The kernel of windowed features against the naive reference, on thousands of small random cases."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inputs.window_cases import random_case
from tests.reference.windows_kernel import LIMITS, ROOM, Kernel, Limits, difference, expected_answers


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
    """A drawn seed stands for thirty cases: drawn one by one they would take longer than the windows that they test."""
    kernel = Kernel.imported()
    for number in range(seed, seed + 30):
        case = random_case(number)
        expected = expected_answers(case)
        for limits in LIMITS:
            order = Random(number).sample(range(len(case.events)), len(case.events))
            with limited(limits):
                answers = kernel.answers(case, order, threads=1 + number % 3)

            fault = difference(case, expected, answers)
            assert fault is None, f"case {number}, {limits}, known_at {case.known_at}: {fault}"


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_neither_the_order_of_events_nor_the_chunks_change_a_bit(seed: int) -> None:
    kernel = Kernel.imported()
    for number in range(seed, seed + 30):
        case = random_case(number)
        random = Random(number)
        answers = set()
        for limits in LIMITS:
            for _ in range(2):
                order = random.sample(range(len(case.events)), len(case.events))
                with limited(limits):
                    answers.add(repr(kernel.answers(case, order)))

        assert len(answers) == 1, f"case {number}"
