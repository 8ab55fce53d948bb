"""An Arrow column read as another type, with the reason for each value that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# One boolean per row, never null.
Mask: TypeAlias = npt.NDArray[np.bool_]


class UndecidedError(Exception):
    """Arrow and NumPy cannot decide this exactly as Spark does; the whole batch has to be read by Spark."""


@dataclass(frozen=True)
class ArrowReading:
    """A column read as another type: each value, and the reason why it could not be read (null if it could)."""

    value: pa.Array
    fault: pa.Array

    @property
    def good_value(self) -> pa.Array:
        """The value; null where there is a fault, because a value read in part could break further rules."""
        if self.fault.null_count == len(self.fault):
            return self.value
        return pc.if_else(self.fault.is_null(), self.value, pa.scalar(None, self.value.type))


def fine(value: pa.Array) -> ArrowReading:
    """A column that needs no cast."""
    return ArrowReading(value, pa.nulls(len(value), pa.string()))


def faulty(value: pa.Array, faults: Sequence[tuple[Mask, str]]) -> ArrowReading:
    """The value, with the reason of the first mask that is true of each row; null if none is."""
    present = [(mask, reason) for mask, reason in faults if mask.any()]
    if not present:
        return fine(value)
    codes = np.full(len(value), -1, np.int32)
    for code in reversed(range(len(present))):
        codes[present[code][0]] = code
    reasons = pa.array([reason for _, reason in present], pa.string())
    return ArrowReading(value, reasons.take(pa.array(codes, mask=codes < 0)))


def true_of(condition: pa.Array) -> Mask:
    """An Arrow column of booleans as a mask; null counts as false."""
    plain = condition.fill_null(False) if condition.null_count else condition
    return np.asarray(plain.to_numpy(zero_copy_only=False), dtype=np.bool_)


def is_present(value: pa.Array) -> Mask:
    return true_of(value.is_valid())


def no_row(value: pa.Array) -> Mask:
    return np.zeros(len(value), np.bool_)


def every_row(value: pa.Array) -> Mask:
    return np.ones(len(value), np.bool_)


def one_array(value: Any) -> pa.Array:
    """The column in one piece."""
    return value.combine_chunks() if isinstance(value, pa.ChunkedArray) else value


def numpy_of(value: pa.Array, missing: int = 0) -> npt.NDArray[Any]:
    """A column of numbers as NumPy's, without a copy if nothing is null."""
    return np.asarray((value.fill_null(missing) if value.null_count else value).to_numpy(zero_copy_only=False))


def arrow_of(values: npt.NDArray[Any], present: Mask, kind: pa.DataType) -> pa.Array:
    """NumPy's values as a column; null where ``present`` is false."""
    return pa.array(values, mask=None if present.all() else ~present).cast(kind)
