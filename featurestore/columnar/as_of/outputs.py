"""The columns of the result while they are filled: by several threads, each of which fills other rows."""

from __future__ import annotations

from threading import Lock
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.as_of.gathered import Places, is_plain, numpy_type, plain_arrow
from featurestore.columnar.as_of.segments import ReadColumn

# Arrow's arrays of texts and lists have offsets of 32 bits. Pieces of this size stay well below.
_PIECE = 1 << 30
_CHUNK_BITS = 32


class OutputColumn(Protocol):
    """One column; rows that nothing was put into are null."""

    def put(self, rows: Places, column: ReadColumn, places: Places) -> None:
        """Put the values of the column at ``places`` into the rows."""

    def arrow(self) -> pa.ChunkedArray:
        """The whole column."""


def output_column(rows: int, kind: pa.DataType) -> OutputColumn:
    return PlainOutput(rows, kind) if is_plain(kind) else NestedOutput(rows, kind)


class PlainOutput:
    """Values of a fixed width."""

    def __init__(self, rows: int, kind: pa.DataType) -> None:
        self._kind = kind
        self._values = np.zeros(rows, numpy_type(kind))
        self._valid = np.zeros(rows, bool)

    def put(self, rows: Places, column: ReadColumn, places: Places) -> None:
        assert column.values is not None
        self._values[rows] = column.values[places]
        self._valid[rows] = True if column.valid is None else column.valid[places]

    def arrow(self) -> pa.ChunkedArray:
        return pa.chunked_array([plain_arrow(self._values, self._valid, self._kind)], self._kind)


class NestedOutput:
    """Texts and arrays: they are kept as they were taken, and put in order at the end."""

    def __init__(self, rows: int, kind: pa.DataType) -> None:
        self._kind = kind
        # Chunk and place in it, as one long.
        self._places = np.full(rows, -1, np.int64)
        self._chunks: list[pa.Array] = []
        self._lock = Lock()

    def put(self, rows: Places, column: ReadColumn, places: Places) -> None:
        pieces = max(1, -(-len(places) * _longest(column.array) // _PIECE))
        for part, numbers in zip(np.array_split(places, pieces), np.array_split(rows, pieces), strict=True):
            taken = column.array.take(pa.array(part))
            with self._lock:
                chunk = len(self._chunks)
                self._chunks.append(taken)
            self._places[numbers] = np.arange(len(part)) | (chunk << _CHUNK_BITS)

    def arrow(self) -> pa.ChunkedArray:
        size = sum(chunk.nbytes for chunk in self._chunks)
        # Twice as many as needed, since rows are not equally long.
        pieces = np.array_split(self._places, max(1, -(-2 * size // _PIECE)))
        return pa.chunked_array([self._piece(places) for places in pieces], self._kind)

    def _piece(self, places: Places) -> pa.Array:
        """The values at these places."""
        order = np.argsort(places, kind="stable")
        order = order[places[order] >= 0]
        in_order = places[order]
        ends = np.searchsorted(in_order >> _CHUNK_BITS, np.arange(len(self._chunks)), "right")
        parts, first = [pa.array([], self._kind)], 0
        for chunk, end in zip(self._chunks, ends.tolist(), strict=True):
            if end > first:
                parts.append(chunk.take(pa.array(in_order[first:end] & (2**_CHUNK_BITS - 1))))
            first = end
        back = np.full(len(places), -1, np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_arrays(parts).take(pa.array(back, mask=back < 0))


def _longest(array: pa.Array) -> int:
    """The bytes of the longest text or list."""
    if pa.types.is_string(array.type):
        longest: int = pc.max(pc.binary_length(array)).as_py() or 0
        return longest
    greatest: int = pc.max(pc.list_value_length(array)).as_py() or 0
    # Of the texts in lists, all together bound each.
    return greatest * array.type.value_type.bit_width // 8 if is_plain(array.type.value_type) else int(array.nbytes)
