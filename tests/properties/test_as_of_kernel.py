"""The as-of kernel against the naive reference, on thousands of small random cases."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.inputs.as_of_cases import random_case
from tests.reference.as_of_kernel import LIMITS, ROOM, Kernel, Limits, difference, expected_answers


@pytest.fixture(params=LIMITS)
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Limits:
    for (module, name), value in request.param.constants.items():
        monkeypatch.setattr(f"{ROOM}.{module}.{name}", value)
    return request.param


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_the_kernel_agrees_with_the_reference(limits: Limits, seed: int) -> None:
    """A drawn seed stands for fifty cases: drawn one by one they would take longer than the joins that they test."""
    kernel = Kernel.imported()
    for number in range(seed, seed + 50):
        case = random_case(number)

        answers = kernel.answers(case, threads=1 + number % 3)

        fault = difference(expected_answers(case), answers)
        assert fault is None, f"case {number}: {fault}; {case.rules}"
