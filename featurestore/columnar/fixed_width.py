"""Columns of values of a fixed width, from Arrow to NumPy and back, with shared memory.

pyarrow's own ways import pandas at first use, which takes longer than the as-of join of many a task of Spark.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def is_plain(kind: pa.DataType) -> bool:
    """Whether values of the type have a fixed width, so that NumPy moves them."""
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_date32(kind)
        or pa.types.is_timestamp(kind)
    )


def numpy_type(kind: pa.DataType) -> np.dtype[Any]:
    """The type by which NumPy holds values of a plain type."""
    if pa.types.is_timestamp(kind):
        return np.dtype(np.int64)
    return np.dtype(np.int32) if pa.types.is_date32(kind) else np.dtype(kind.to_pandas_dtype())


def as_numpy(array: Any) -> NDArray[Any]:
    """An array without nulls in NumPy; dates and timestamps as whole numbers: days, microseconds."""
    return _held(array) if is_plain(array.type) else array.to_numpy(zero_copy_only=False)


def plain_values(array: Any, null: int = 0) -> NDArray[Any]:
    """An array of a plain type in NumPy, as ``as_numpy``, with this in the place of nulls."""
    values = _held(array)
    return np.where(_held(array.is_valid()), values, values.dtype.type(null)) if array.null_count else values


def as_arrow(values: NDArray[Any], valid: Mask | None = None, kind: pa.DataType | None = None) -> pa.Array:
    """The opposite: an Arrow array, null where it is not ``valid``.

    ``kind``: its type, which NumPy must hold as ``values`` are (see ``numpy_type``); by default that of ``values``.
    """
    kind = kind or pa.from_numpy_dtype(values.dtype)
    bits = None if valid is None or valid.all() else _packed(valid)
    held = _packed(values) if pa.types.is_boolean(kind) else pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind, len(values), [bits, held])


def _packed(mask: Mask) -> pa.Buffer:
    """Booleans as Arrow holds them, in bits."""
    return pa.py_buffer(np.packbits(mask, bitorder="little"))


def _held(array: Any) -> NDArray[Any]:
    """The memory of an array of a plain type; what stands in the place of nulls means nothing."""
    kind = array.type
    if pa.types.is_timestamp(kind):
        array = array.cast(pa.timestamp("us", kind.tz))
    dtype = numpy_type(kind)
    if not len(array):
        return np.zeros(0, dtype)
    memory = array.buffers()[1]
    if not pa.types.is_boolean(kind):
        return np.frombuffer(memory, dtype, len(array), array.offset * dtype.itemsize)
    bits = np.unpackbits(np.frombuffer(memory, np.uint8), count=array.offset + len(array), bitorder="little")
    return bits[array.offset :].view(np.bool_)
