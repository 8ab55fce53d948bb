"""The columns of the result while they are filled: by several threads, each of which fills other rows."""

from __future__ import annotations

from itertools import pairwise
from threading import Lock
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.as_of.gathered import Places, pieces_of, taken_from
from featurestore.columnar.as_of.segments import ReadColumn
from featurestore.columnar.fixed_width import Mask, as_arrow, is_plain, numpy_type

# Arrow's arrays of texts and lists have offsets of 32 bits. Pieces of this size, and one value more, stay below.
_PIECE = 1 << 30
_CHUNK_BITS = 32


class OutputColumn(Protocol):
    """One column; rows that nothing was put into are null."""

    def put(self, rows: Places, column: ReadColumn, places: Places, *, is_noted: bool = False) -> None:
        """Put the values of the column at ``places`` into the rows; ``is_noted``: they are valid, and noted."""

    def arrow(self, noted: Mask) -> pa.ChunkedArray:
        """The whole column; ``noted``: the rows with values that were put as noted."""


def output_column(rows: int, kind: pa.DataType) -> OutputColumn:
    return PlainOutput(rows, kind) if is_plain(kind) else NestedOutput(rows, kind)


def put_in_order(column: pa.ChunkedArray, rows: Places) -> pa.ChunkedArray:
    """The column's values in the order of ``rows``, which has each number below their count once."""
    output = output_column(len(rows), column.type)
    output.put(rows, ReadColumn.read(np.ones(1, bool), column), np.arange(len(rows)))
    return output.arrow(np.zeros(len(rows), bool))


class PlainOutput:
    """Values of a fixed width. ``_valid``: the rows with a value that was not put as noted."""

    def __init__(self, rows: int, kind: pa.DataType) -> None:
        self._kind = kind
        self._values = np.zeros(rows, numpy_type(kind))
        self._valid = np.zeros(rows, bool)

    def put(self, rows: Places, column: ReadColumn, places: Places, *, is_noted: bool = False) -> None:
        assert column.values is not None
        self._values[rows] = column.values[places]
        if not is_noted:
            self._valid[rows] = True if column.valid is None else column.valid[places]

    def arrow(self, noted: Mask) -> pa.ChunkedArray:
        return pa.chunked_array([as_arrow(self._values, noted | self._valid, self._kind)], self._kind)


class NestedOutput:
    """Texts and arrays: they are kept as they were taken, and put in order at the end."""

    def __init__(self, rows: int, kind: pa.DataType) -> None:
        self._kind = kind
        # Chunk and place in it, as one long.
        self._places = np.full(rows, -1, np.int64)
        self._chunks: list[pa.Array] = []
        self._lock = Lock()

    def put(self, rows: Places, column: ReadColumn, places: Places, *, is_noted: bool = False) -> None:
        lengths = np.concatenate([_bytes_of(array) for array in pieces_of(column.array)])
        for start, end in _pieces(lengths[places]):
            part, numbers = places[start:end], rows[start:end]
            taken = taken_from(column.array, part)
            with self._lock:
                chunk = len(self._chunks)
                self._chunks.append(taken)
            self._places[numbers] = np.arange(len(part)) | (chunk << _CHUNK_BITS)

    def arrow(self, noted: Mask) -> pa.ChunkedArray:
        return pa.chunked_array([self._piece(self._places[start:end]) for start, end in self._cut()], self._kind)

    def _cut(self) -> list[tuple[int, int]]:
        if sum(chunk.nbytes for chunk in self._chunks) <= _PIECE:
            return [(0, len(self._places))]
        taken = np.argsort(self._places, kind="stable")[np.count_nonzero(self._places < 0) :]
        lengths = np.zeros(len(self._places), np.int64)
        # Each value of a chunk was taken for one row, so that the rows by place are the values of all chunks.
        lengths[taken] = np.concatenate([_bytes_of(chunk) for chunk in self._chunks])
        return _pieces(lengths)

    def _piece(self, places: Places) -> pa.Array:
        """The values at these places."""
        order = np.argsort(places, kind="stable")
        order = order[places[order] >= 0]
        in_order = places[order]
        ends = np.searchsorted(in_order >> _CHUNK_BITS, np.arange(len(self._chunks)), "right")
        parts, first = [pa.nulls(0, self._kind)], 0
        for chunk, end in zip(self._chunks, ends.tolist(), strict=True):
            if end > first:
                parts.append(chunk.take(as_arrow(in_order[first:end] & (2**_CHUNK_BITS - 1))))
            first = end
        back = np.full(len(places), -1, np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_arrays(parts).take(as_arrow(back, back >= 0))


def _pieces(lengths: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Cut rows of these lengths, in bytes, into pieces of about ``_PIECE`` bytes: start and end of each."""
    cuts = np.flatnonzero(np.diff(np.cumsum(lengths) // _PIECE)) + 1
    return list(pairwise([0, *cuts.tolist(), len(lengths)]))


def _bytes_of(array: Any) -> NDArray[np.int64]:
    """The bytes of each value; of one that is null any number that it may hold."""
    kind = array.type
    if _has_offsets(kind):
        return np.diff(_offsets(array))
    if isinstance(kind, pa.MapType):
        return _bytes_of(array.cast(pa.list_(pa.struct([kind.key_field, kind.item_field]))))
    if isinstance(kind, pa.StructType):
        return sum(map(_bytes_of, array.flatten()), np.zeros(len(array), np.int64))
    if isinstance(kind, pa.FixedSizeListType):
        within = array.values.slice(array.offset * kind.list_size, len(array) * kind.list_size)
        lengths: NDArray[np.int64] = _bytes_of(within).reshape(-1, kind.list_size).sum(axis=1)
        return lengths
    if not isinstance(kind, pa.ListType | pa.LargeListType):
        return np.full(len(array), 0 if pa.types.is_null(kind) else kind.bit_width // 8)
    within = array.values
    if is_plain(within.type):
        return np.diff(_offsets(array)) * int(within.type.bit_width) // 8
    if _has_offsets(within.type):
        return np.diff(_offsets(within)[_offsets(array)])
    return np.diff(np.append(0, np.cumsum(_bytes_of(within)))[_offsets(array)])


def _has_offsets(kind: pa.DataType) -> bool:
    """Whether values are bytes, held one after the other."""
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(is_text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _offsets(array: Any) -> NDArray[np.int64]:
    """Where each value of bytes, or list, begins, and at the end where the last one ends."""
    if not len(array):
        return np.zeros(1, np.int64)
    kind = array.type
    is_large = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind) or pa.types.is_large_list(kind)
    whole = np.frombuffer(array.buffers()[1], np.int64 if is_large else np.int32, array.offset + len(array) + 1)
    starts: NDArray[np.int64] = whole[array.offset :].astype(np.int64, copy=False)
    return starts
