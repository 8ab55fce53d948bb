"""Columns of events as longs in the order of their values, as exact numbers, and back in Arrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import Mask, as_arrow, as_numpy, is_plain, numpy_type, plain_values
from featurestore.columnar.ranks import one_array
from featurestore.columnar.windows import exact_numbers
from featurestore.columnar.windows.exact_numbers import ExactNumbers
from featurestore.columnar.windows.timelines import Longs
from featurestore.errors import SchemaError

_MAGNITUDE = np.int64(2**63 - 1)


@dataclass(frozen=True)
class EventColumn:
    """One column of all events.

    ``values``: as NumPy holds them, or of texts and decimals the place of each among the sorted ``distinct`` ones.
    ``valid``: those that count; a null does not, nor does NaN or an infinity. None if all do.
    """

    kind: pa.DataType
    values: NDArray[Any]
    valid: Mask | None
    distinct: Any = None

    @classmethod
    def of(cls, name: str, column: Any) -> EventColumn:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if is_plain(kind):
            array = one_array(column)
            valid = as_numpy(array.is_valid()) if array.null_count else None
            values = plain_values(array)
            if pa.types.is_floating(kind):
                finite = np.isfinite(values)
                if not finite.all():
                    valid = finite if valid is None else valid & finite
            return cls(kind, values, valid)
        if pa.types.is_nested(kind) or pa.types.is_null(kind):
            raise SchemaError(f"column {name!r} of the events has type {kind}, whose values have no order; "
                              "windows aggregate numbers, texts, booleans, dates and timestamps")  # fmt: skip
        return cls._in_order(kind, column)

    @classmethod
    def _in_order(cls, kind: pa.DataType, column: Any) -> EventColumn:
        column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        chunks = column.unify_dictionaries().chunks
        if not chunks:
            return cls(kind, np.zeros(0, np.int64), None, pa.array([], kind))
        order = as_numpy(pc.sort_indices(chunks[0].dictionary))
        places = np.zeros(len(order) + 1, np.int64)
        places[order] = np.arange(len(order))
        values = np.concatenate([places[plain_values(chunk.indices)] for chunk in chunks])
        valid = None
        if column.null_count:
            valid = np.concatenate([as_numpy(chunk.is_valid()) for chunk in chunks])
        return cls(kind, values, valid, chunks[0].dictionary.take(as_arrow(order)))

    def longs(self, rows: Longs) -> Longs:
        """Of these rows a long each, in the order of the values; zeros differ by their sign."""
        values = self.values[rows]
        if pa.types.is_floating(self.kind) and self.distinct is None:
            return _ordered(values.astype(np.float64).view(np.int64))
        return values.astype(np.int64, copy=False)

    def counted_longs(self, rows: Longs) -> Longs:
        """The same, equal for zeros whatever their sign."""
        longs = self.longs(rows)
        if pa.types.is_floating(self.kind):
            longs = np.where(longs == -1, 0, longs)
        return longs

    def arrow(self, longs: Longs, valid: Mask | None, kind: pa.DataType) -> pa.Array:
        """The values of these longs in this type; null where they are not ``valid``."""
        if self.distinct is not None:
            distinct = self.distinct
            if pa.types.is_decimal(self.kind) and pa.types.is_floating(kind):
                distinct = as_arrow(_decimals(distinct).doubles())
            return distinct.take(as_arrow(longs, valid)).cast(kind)
        if pa.types.is_floating(self.kind):
            values = _ordered(longs).view(np.float64).astype(numpy_type(self.kind))
        else:
            values = longs.astype(numpy_type(self.kind))
        return as_arrow(values, valid, self.kind).cast(kind)

    def numbers(self, rows: Longs, most: int) -> ExactNumbers:
        """The numbers of these rows; ``most``: of how many at most a sum is."""
        values = self.values[rows]
        if pa.types.is_decimal(self.kind):
            return _decimals(self.distinct).summed(lambda part: part[values])
        if pa.types.is_floating(self.kind):
            return exact_numbers.doubles(values.astype(np.float64, copy=False), most)
        return exact_numbers.whole_numbers(values.astype(np.int64, copy=False), most)

    def squares(self, rows: Longs, most: int) -> ExactNumbers:
        """The squares of the same numbers."""
        if pa.types.is_floating(self.kind):
            return exact_numbers.squares(self.values[rows].astype(np.float64, copy=False), most)
        integers = self.numbers(rows, most).integers()
        return ExactNumbers((integers * integers,))

    @property
    def is_number(self) -> bool:
        return bool(pa.types.is_integer(self.kind) or pa.types.is_floating(self.kind) or pa.types.is_decimal(self.kind))


def _ordered(bits: Longs) -> Longs:
    """The bits of doubles as longs in the same order, -0.0 before 0.0; it is its own inverse."""
    return np.where(bits < 0, bits ^ _MAGNITUDE, bits)


def _decimals(array: Any) -> ExactNumbers:
    """Decimals without nulls in parts of 32 bits."""
    size = array.type.byte_width // 4
    words = np.frombuffer(array.buffers()[1], np.uint32, len(array) * size, array.offset * size * 4)
    words = words.reshape(-1, size)
    parts = [words[:, place].astype(np.int64) for place in range(size)]
    parts[-1] = words[:, -1].astype(np.int32).astype(np.int64)
    return ExactNumbers(tuple(parts), divisor=10**array.type.scale)
