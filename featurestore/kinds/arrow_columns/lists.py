"""Arrow columns of lists: their elements, and what is true of a whole list because of one of its elements."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.kinds.arrow_columns.reading import Mask, UndecidedError, is_present, numpy_of


def is_list_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def with_elements(value: pa.Array, elements: pa.Array) -> pa.Array:
    """The lists with other elements in the place of ``value.flatten()``."""
    if len(elements) >= 2**31:
        raise UndecidedError("more elements than a list column has")
    offsets = np.concatenate([[0], np.cumsum(_lengths(value))])
    mask = value.is_null() if value.null_count else None
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), elements, mask=mask)


def any_element(value: pa.Array, of_elements: Mask) -> Mask:
    """Whether the mask is true of an element of the list; it has one entry for each of ``value.flatten()``."""
    result = np.zeros(len(value), np.bool_)
    if of_elements.any():
        result[_rows(value)[of_elements]] = True
    return result


def first_fault(value: pa.Array, faults: pa.Array) -> pa.Array:
    """The first reason among those of each list's elements; null if there is none."""
    faulty = np.flatnonzero(is_present(faults))
    if not faulty.size:
        return pa.nulls(len(value), pa.string())
    rows, first = np.unique(_rows(value)[faulty], return_index=True)
    places = np.full(len(value), -1, np.int64)
    places[rows] = faulty[first]
    return faults.take(pa.array(places, mask=places < 0))


def _lengths(value: pa.Array) -> npt.NDArray[np.int64]:
    return numpy_of(pc.list_value_length(value)).astype(np.int64)


def _rows(value: pa.Array) -> npt.NDArray[np.int64]:
    """The row of each element of ``value.flatten()``."""
    return np.repeat(np.arange(len(value)), _lengths(value))
