"""Values taken from a column at some places: in NumPy where a value has a fixed width, else in Arrow."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.ranks import as_numpy, one_array

Places = NDArray[np.int64]
Mask = NDArray[np.bool_]

# Arrow's arrays of texts and lists have offsets of 32 bits. Columns of more bytes stay in the pieces in which they
# came.
_MOST_BYTES = 1 << 30


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


def plain_values(array: Any) -> NDArray[Any]:
    """An array of a plain type in NumPy: days of dates, microseconds of timestamps; null as 0."""
    kind = array.type
    if pa.types.is_timestamp(kind):
        array = array.cast(pa.timestamp("us", kind.tz)).view(pa.int64())
    elif pa.types.is_date32(kind):
        array = array.view(pa.int32())
    if array.null_count:
        array = array.fill_null(False if pa.types.is_boolean(kind) else 0)
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values


def plain_arrow(values: NDArray[Any], valid: Mask, kind: pa.DataType) -> pa.Array:
    """The opposite: an Arrow array of the type; null where it is not ``valid``."""
    mask = None if valid.all() else ~valid
    if pa.types.is_timestamp(kind) or pa.types.is_date32(kind):
        return pa.array(values, mask=mask).view(kind)
    return pa.array(values, kind, mask=mask)


def valid_rows(column: Any) -> Mask | None:
    """For each row whether it is not null; None if all are."""
    return as_numpy(one_array(column.is_valid())) if column.null_count else None


def in_few_pieces(column: pa.ChunkedArray) -> Any:
    """The column as one array if an array can surely hold it."""
    return one_array(column) if is_plain(column.type) or column.nbytes <= _MOST_BYTES else column


def pieces_of(column: Any) -> list[Any]:
    """The arrays of a column, which may be one array."""
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]


def taken_from(column: Any, places: Places) -> pa.Array:
    """The values at these places as one array, which must be able to hold them."""
    pieces = pieces_of(column)
    if len(pieces) == 1:
        return pieces[0].take(pa.array(places))
    order = np.argsort(places, kind="stable")
    starts = np.cumsum([0, *(len(piece) for piece in pieces)])
    cuts = np.searchsorted(places[order], starts)
    parts = [
        piece.take(pa.array(places[order[first:end]] - start))
        for piece, start, (first, end) in zip(pieces, starts, pairwise(cuts), strict=False)
    ]
    back = np.empty(len(places), np.int64)
    back[order] = np.arange(len(places))
    return pa.concat_arrays([pa.array([], column.type), *parts]).take(pa.array(back))
