"""Columns of any scalar type as whole numbers in the same order, by which rows are grouped and sorted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import as_numpy


def one_array(column: Any) -> Any:
    """A column in one piece, without a dictionary."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def ranks(column: Any) -> NDArray[np.int64]:
    """A number per row: equal for equal values, greater for greater ones, -1 for null. Not for lists.

    The order is Spark's: texts by their UTF-8 bytes, false before true, NaN greatest, zeros equal whatever their sign.
    """
    array = one_array(column)
    if not array.null_count:
        return _ranks(array)
    found = np.full(len(array), -1, np.int64)
    found[np.flatnonzero(as_numpy(array.is_valid()))] = _ranks(array.drop_null())
    return found


def _ranks(values: Any) -> NDArray[np.int64]:
    """The same for values without nulls."""
    if not len(values):
        return np.zeros(0, np.int64)
    if pa.types.is_primitive(values.type) or pa.types.is_boolean(values.type):
        return np.unique(as_numpy(values), return_inverse=True)[1].astype(np.int64, copy=False)
    encoded = values.dictionary_encode()
    in_order = pc.sort_indices(encoded.dictionary).to_numpy()
    found = np.empty(len(in_order), np.int64)
    found[in_order] = np.arange(len(in_order))
    coded: NDArray[np.int64] = found[encoded.indices.to_numpy()]
    return coded


def tuple_ranks(columns: Sequence[Any]) -> NDArray[np.int64]:
    """The same for rows of several columns, compared one column after the other.

    There must be at least one column.
    """
    found = ranks(columns[0])
    for column in columns[1:]:
        more = ranks(column)
        # Both are below 2^31, the most rows of an Arrow table in one piece.
        found = np.unique((found << np.int64(32)) | (more + 1), return_inverse=True)[1].astype(np.int64, copy=False)
    return found
