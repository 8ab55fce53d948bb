"""The as-of kernel against the naive reference, on thousands of small random cases."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.columnar.as_of import blocks
from featurestore.columnar.as_of.join import as_of_join
from featurestore.columnar.as_of.spine_keys import SpineRows
from featurestore.columnar.rows.fingerprint import xxhash64
from tests.inputs.as_of_cases import Case, random_case
from tests.reference.as_of import Row
from tests.reference.as_of import as_of_join as naive_join

# Rows of a block and of a chunk: as in production, and so few that even small tables are cut.
SIZES = [(100_000, 4_000_000), (40, 60), (1, 5)]


def ordered(value: Any) -> Any:
    """What the product compares where all times tie: NaN is greatest, texts by their bytes, lists by their hash."""
    if isinstance(value, list):
        kind = pa.list_(pa.float32() if isinstance(value[:1] and value[0], float) else pa.string())
        elements = [] if kind.value_type == pa.float32() else [(each is not None, each or "") for each in value]
        return int(xxhash64([pa.array([value], kind)])[0]), elements
    if isinstance(value, float):
        return (1, 0.0) if value != value else (0, value)
    return value.encode() if isinstance(value, str) else value


def plain(value: Any) -> Any:
    """A value by which two are compared: NaN equals NaN."""
    if isinstance(value, list):
        return tuple(plain(each) for each in value)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return "NaN" if value != value else value


def found(case: Case, threads: int) -> list[Row]:
    spine = SpineRows.of([case.spine_table.column(name) for name in case.rules.keys], case.spine_table.column("at"))
    taken = as_of_join(spine, case.partitions, case.rules, case.types, with_event=True, threads=threads)
    assert {name: column.type for name, column in taken.features.items()} == case.types
    columns = {**{name: column.to_pylist() for name, column in taken.features.items()}}
    columns["event"] = [] if taken.event is None else taken.event.to_pylist()
    return [{name: values[row] for name, values in columns.items()} for row in range(len(case.spine))]


@pytest.fixture(params=SIZES)
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    few, most = request.param
    monkeypatch.setattr(blocks, "_FEW_ROWS", few)
    monkeypatch.setattr(blocks, "_MOST_ROWS", most)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_the_kernel_agrees_with_the_reference(sizes: None, seed: int) -> None:
    """A drawn seed stands for fifty cases: drawn one by one they would take longer than the joins that they test."""
    for number in range(seed, seed + 50):
        case = random_case(number)
        expected = naive_join(case.spine, case.values, case.lookup, ordered)

        result = found(case, threads=1 + number % 3)

        for row, (wanted, got) in enumerate(zip(expected, result, strict=True)):
            for name in got:
                assert plain(got[name]) == plain(wanted[name]), f"case {number}, row {row}, {name}: {case.rules}"
