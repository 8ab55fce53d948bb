"""Values taken from a column at some places: in NumPy where a value has a fixed width, else in Arrow."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import Mask, as_arrow, as_numpy, is_plain
from featurestore.columnar.ranks import one_array

Places = NDArray[np.int64]

# Arrow's arrays of texts and lists have offsets of 32 bits. Columns of more bytes stay in the pieces in which they
# came.
_MOST_BYTES = 1 << 30


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
        return pieces[0].take(as_arrow(places))
    order = np.argsort(places, kind="stable")
    starts = np.cumsum([0, *(len(piece) for piece in pieces)])
    cuts = np.searchsorted(places[order], starts)
    parts = [
        piece.take(as_arrow(places[order[first:end]] - start))
        for piece, start, (first, end) in zip(pieces, starts, pairwise(cuts), strict=False)
    ]
    back = np.empty(len(places), np.int64)
    back[order] = np.arange(len(places))
    return pa.concat_arrays([pa.nulls(0, column.type), *parts]).take(as_arrow(back))
