"""Two versions of a training set compared by their hashes, and the summaries of their columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from featurestore.columnar.training_sets.version_comparison import (
    ColumnSummary,
    Compared,
    ValuesOfRows,
    compared,
    summarised,
)


def version(*rows: tuple[int, int, int]) -> ValuesOfRows:
    """Rows of a spine's hash and of the hashes of two values."""
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    return ValuesOfRows(columns[[0, 0]], columns[1:])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (version(), version(), Compared(0, 0, 0, 0, (0, 0))),
        (version((1, 5, 5), (2, 5, 5)), version((2, 5, 5), (1, 5, 5)), Compared(0, 0, 2, 0, (0, 0))),
        (version((1, 5, 5), (2, 5, 5)), version((1, 5, 6), (3, 5, 5)), Compared(1, 1, 1, 1, (0, 1))),
        # Equal copies are paired first, and the copies that are left in the order of their values.
        (version((1, 5, 0), (1, 6, 0)), version((1, 6, 0), (1, 7, 0)), Compared(0, 0, 2, 1, (1, 0))),
        (version((1, 5, 0), (1, 5, 0), (1, 5, 0)), version((1, 5, 0)), Compared(2, 0, 1, 0, (0, 0))),
        (version((1, 1, 9), (1, 2, 8)), version((1, 2, 9), (1, 3, 8)), Compared(0, 0, 2, 2, (2, 0))),
    ],
    ids=["no rows", "same", "one differs", "equal first", "copies", "in order"],
)
def test_rows_are_paired(a: ValuesOfRows, b: ValuesOfRows, expected: Compared) -> None:
    assert compared(a, b) == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([2**53 + 1, None, 3]), ColumnSummary(1, 2.0**52 + 2, pytest.approx(2**53 / 2**0.5), ())),
        (pa.array([True, None, True, False]), ColumnSummary(1, pytest.approx(2 / 3), pytest.approx(3**-0.5), (("true", 2), ("false", 1)))),
        (pa.array(["b", "a", "c", "b"]), ColumnSummary(0, None, None, (("b", 2), ("a", 1)))),
        (pa.array([1.5]), ColumnSummary(0, 1.5, None, ())),
        (pa.array([None], pa.float64()), ColumnSummary(1, None, None, ())),
        (pa.array([[1.0]]), ColumnSummary(0, None, None, ())),
    ],
)  # fmt: skip
def test_a_column_is_summarised(column: pa.Array, expected: ColumnSummary) -> None:
    assert summarised(pa.chunked_array([column]), 2) == expected
