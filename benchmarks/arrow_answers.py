"""The answers of an Arrow table, in the same way for every engine on one machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.answers import MODULUS, WEIGHTS, Answers
from benchmarks.dataset import Kind

Numbers = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# So that the numbers of one column and one piece of the table are all that is held beside it.
_ROWS_AT_ONCE = 1 << 20


def answers_of(table: pa.Table, columns: dict[str, Kind]) -> Answers:
    """The number of rows, and each column's count, sum, and sum weighted by row; sums are exact in any order."""
    answers = {"rows": float(table.num_rows)}
    for name in columns:
        answers |= {f"{name} count": 0.0, f"{name} sum": 0.0, f"{name} weighted": 0.0}
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        weights = _integers(batch["id"]) % WEIGHTS
        for name, kind in columns.items():
            numbers = _numbers(batch[name], kind)
            answers[f"{name} count"] += len(batch) - batch[name].null_count
            answers[f"{name} sum"] += float(numbers.sum())
            answers[f"{name} weighted"] += float((numbers * weights).sum())
    return answers


def _numbers(column: pa.Array, kind: Kind) -> Numbers:
    """The column as numbers; nulls are 0, which changes no sum."""
    if kind == "double":
        return np.asarray(pc.fill_null(column, 0.0), np.float64)
    if kind == "string":
        return _integers(pc.utf8_length(column)).astype(float)
    if kind == "timestamp":
        column = column.cast(pa.timestamp("us", column.type.tz))
    return (_integers(column) % MODULUS).astype(float)


def _integers(column: pa.Array) -> Integers:
    return np.asarray(pc.fill_null(column.cast(pa.int64()), 0), np.int64)
