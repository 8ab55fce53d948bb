"""Two versions of a training set compared as in ``frames/training_sets/version_comparison.py``, without Spark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.columnar.ranks import one_array
from featurestore.columnar.rows.fingerprint import xxhash64

Hashes = NDArray[np.int64]


@dataclass(frozen=True)
class Compared:
    """How many rows are in one version only or in both; of those in both, how many differ, in all and by value."""

    only_a: int
    only_b: int
    both: int
    changed: int
    changed_values: tuple[int, ...]


@dataclass(frozen=True)
class ValuesOfRows:
    """A version's rows as hashes, one column per row: two of the spine's columns, and one of each compared value."""

    spine: Hashes
    values: Hashes


def value_hashes(column: Any) -> Hashes:
    """A hash of each value, by which Spark orders values, too."""
    return xxhash64([column.is_null(), column])


def compared(a: ValuesOfRows, b: ValuesOfRows) -> Compared:
    """Compare the rows; one is in both versions if both have a row with its spine.

    Every copy of a row counts. Rows that are equal in all values are paired first, the others in the order of their
    values.
    """
    spine, values = np.hstack([a.spine, b.spine]), np.hstack([a.values, b.values])
    is_b = np.repeat([False, True], [a.spine.shape[1], b.spine.shape[1]])
    order = np.lexsort((is_b, *values[::-1], *spine[::-1]))
    spine, values, is_b = spine[:, order], values[:, order], is_b[order]
    new_spine = differs(spine)
    new_values = new_spine | differs(values)
    spines, numbers = np.cumsum(new_spine, dtype=np.int64), np.cumsum(new_values, dtype=np.int64) - 1
    most = len(order)
    shared = np.minimum(np.bincount(numbers[~is_b], minlength=most), np.bincount(numbers[is_b], minlength=most))
    copy = _place_in_run(new_values | differs(is_b[None, :]))
    unequal = copy >= shared[numbers]
    rest_a, rest_b = np.flatnonzero(unequal & ~is_b), np.flatnonzero(unequal & is_b)
    _, of_a, of_b = np.intersect1d(
        _pairs(spines[rest_a]), _pairs(spines[rest_b]), assume_unique=True, return_indices=True
    )
    changed = len(of_a)
    unlike = values[:, rest_a[of_a]] != values[:, rest_b[of_b]]
    return Compared(
        only_a=len(rest_a) - changed,
        only_b=len(rest_b) - changed,
        both=int(shared.sum()) + changed,
        changed=changed,
        changed_values=tuple(unlike.sum(axis=1).tolist()),
    )


def differs(columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each row differs from the one before it; the first row does."""
    found = np.ones(columns.shape[1], bool)
    found[1:] = (columns[:, 1:] != columns[:, :-1]).any(axis=0)
    return found


def _place_in_run(begins: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Each row's place in its run of rows, from 0; ``begins``: whether a run begins with the row."""
    starts = np.flatnonzero(begins)
    places: NDArray[np.int64] = np.arange(len(begins)) - starts[np.cumsum(begins) - 1]
    return places


def _pairs(spines: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row, a number of its spine and of its place among the rows of that spine."""
    pairs: NDArray[np.int64] = (spines << np.int64(32)) | _place_in_run(differs(spines[None, :]))
    return pairs


@dataclass(frozen=True)
class ColumnSummary:
    """A column's nulls; of numbers and booleans (true is 1) the mean and the deviation of the sample, None for too few
    values; of texts and booleans the most frequent values as text, each with its number.
    """

    missing: int
    mean: float | None
    stddev: float | None
    top: tuple[tuple[str, int], ...]


def summarised(column: Any, top: int) -> ColumnSummary:
    """The summary of a column; equally frequent values are in their own order."""
    array = one_array(column)
    values = array.drop_null()
    is_boolean = pa.types.is_boolean(array.type)
    mean = stddev = None
    if is_boolean or pa.types.is_decimal(array.type) or _is_number(array.type):
        numbers = (values.cast(pa.int8()) if is_boolean else values).cast(pa.float64(), safe=False)
        mean = pc.mean(numbers).as_py()
        stddev = pc.stddev(numbers, ddof=1).as_py()
    frequent = _frequent(values, top) if is_boolean or pa.types.is_string(array.type) else ()
    return ColumnSummary(array.null_count, mean, stddev, frequent)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _frequent(values: Any, top: int) -> tuple[tuple[str, int], ...]:
    counted = pc.value_counts(values.cast(pa.string()))
    table = pa.table({"value": counted.field("values"), "n": counted.field("counts")})
    first = table.sort_by([("n", "descending"), ("value", "ascending")]).slice(0, top).to_pylist()
    return tuple((row["value"], row["n"]) for row in first)
