"""Signs of leaks counted in a training set's columns, as in ``frames/training_sets/leakage.py``, without Spark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import as_numpy, plain_values
from featurestore.columnar.ranks import one_array
from featurestore.columnar.rows.fingerprint import row_hashes, xxhash64
from featurestore.columnar.training_sets.version_comparison import differs

Hashes = NDArray[np.int64]

_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double")
_OTHERS = ("boolean", "date", "timestamp", "timestamp_ntz", "string")
_RESOLUTION = 1_000_000
SAMPLING_SEED = 101
_MICROS_A_SECOND = 1e6


def is_comparable(word: str) -> bool:
    """Whether values of this type, in Spark's words, are compared with a label; arrays and embeddings are not."""
    return _is_number(word) or word in _OTHERS


def can_be_equal(left: str, right: str) -> bool:
    """Whether values of the two types can be equal: both are numbers or booleans, or both are the same."""
    return all(_is_number(word) or word == "boolean" for word in (left, right)) or left == right


def _is_number(word: str) -> bool:
    return word in _NUMBERS or word.startswith("decimal(")


def ahead(event: Any, instants: Any) -> tuple[int, float | None]:
    """In how many rows the event timestamp is after the row's instant; by how many seconds at most, None if never."""
    event, instants = one_array(event), one_array(instants)
    both = as_numpy(event.is_valid()) & as_numpy(instants.is_valid())
    micros = (plain_values(event) - plain_values(instants))[both]
    newer = micros[micros > 0]
    return len(newer), float(newer.max() / _MICROS_A_SECOND) if len(newer) else None


def is_one_value(column: Any) -> bool | None:
    """Whether all values that are there are equal; None if there are none."""
    hashes = xxhash64([one_array(column).drop_null()])
    return bool((hashes == hashes[0]).all()) if len(hashes) else None


def doubled(example: Sequence[Any], spine: Sequence[Any]) -> dict[str, int]:
    """Duplicate examples; rows are one example if they agree in the columns ``example``, without nulls.

    ``examples``: examples with more than one row; ``rows``: their rows beyond the first of each; ``copies``: those of
    these rows that are copies of another in all columns of ``spine``.
    """
    complete = np.logical_and.reduce([as_numpy(one_array(column).is_valid()) for column in example])
    hashes = np.stack([row_hashes(example, 1), row_hashes(example, 2), row_hashes(spine)])[:, complete]
    in_order = hashes[:, np.lexsort(hashes[::-1])]
    begins = differs(in_order[:2])
    starts = np.flatnonzero(begins)
    sizes = np.diff(starts, append=len(begins))
    different = np.add.reduceat(differs(in_order).astype(np.int64), starts) if len(starts) else starts
    return {
        "examples": int((sizes > 1).sum()),
        "rows": int((sizes - 1).sum()),
        "copies": int((sizes - different).sum()),
    }


def sampled(spine: Sequence[Any], size: int, total: int) -> NDArray[np.int64]:
    """The positions of about ``size`` of the ``total`` rows (all if there are fewer), by a hash of their spine."""
    rows = len(spine[0])
    if total <= size:
        return np.arange(rows)
    chosen = row_hashes(spine, SAMPLING_SEED) % _RESOLUTION < _RESOLUTION * size // total
    return np.flatnonzero(chosen)[: 2 * size]


def comparable_values(column: Any) -> Any:
    """A column as values that can be compared in memory.

    Numbers, booleans, dates and instants become doubles (a spine's NaN becomes null), all else its xxhash64.
    """
    values = one_array(column)
    kind = values.type
    valid = as_numpy(values.is_valid())
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        numbers = plain_values(values.cast(pa.float64(), safe=False))
        return pa.array(numbers, mask=~valid | np.isnan(numbers))
    if pa.types.is_boolean(kind) or pa.types.is_date(kind) or kind == pa.timestamp("us", "UTC"):
        return pa.array(plain_values(values).astype(np.float64), mask=~valid)
    return pa.array(xxhash64([values]), mask=~valid)
