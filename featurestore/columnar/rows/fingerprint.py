"""Hashes of typed rows, and the fingerprint of a table that does not depend on the order of its rows.

The same numbers and the same text as Spark computes from the same rows (``frames/fingerprint.py``), so that either can
recognise what the other has written. Types: booleans, whole numbers of up to 64 bits, float, double, string, binary,
date, timestamp, decimal, and lists of these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import as_numpy
from featurestore.columnar.rows.xxh64 import Hashes, has_xxhash, hash_bytes, hash_ints, hash_longs

# The seed of Spark's xxhash64.
_SEED = 42
# Rows hashed at a time: few enough that all intermediate columns stay in the processor's cache.
_BLOCK = 1 << 14
_LOW = np.int64(0xFFFFFFFF)
_HASHED_AS_INTS = (pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.date32())
# Types of bytes, and the type of their offsets.
_BYTES = {pa.string(): np.int32, pa.binary(): np.int32, pa.large_string(): np.int64, pa.large_binary(): np.int64}
_DIGITS_OF_A_LONG = 18
# At most so many lists are hashed one by one: less work than a round for each of their elements.
_FEW_LISTS = 64
# Ranges of bytes: all bytes, and where each range starts and how long it is.
_Ranges: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]
_LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)


def can_be_hashed(kind: pa.DataType) -> bool:
    """Whether values of a type that holds no others can be hashed."""
    is_number = pa.types.is_floating(kind) and kind.bit_width in (32, 64)
    is_whole = kind in (pa.int64(), *_HASHED_AS_INTS) or pa.types.is_timestamp(kind)
    return is_number or is_whole or kind in _BYTES or pa.types.is_decimal128(kind) or pa.types.is_null(kind)


def xxhash64(columns: Sequence[Any], rows: int | None = None) -> NDArray[np.int64]:
    """Spark's ``xxhash64(columns...)``: one long per row. A null does not change the hash.

    Raises TypeError for a type that cannot be hashed.
    """
    hashed: NDArray[np.int64] = _hashed(columns, [_SEED], _length(columns, rows), marks_nulls=False)[0].view(np.int64)
    return hashed


def row_hashes(columns: Sequence[Any], seed: int = 0, rows: int | None = None) -> NDArray[np.int64]:
    """One 64-bit hash per row; a null counts in its place, so (null, 1) and (1, null) differ.

    ``rows`` is the number of rows where there may be no column. Raises TypeError for a type that cannot be hashed.
    """
    hashed: NDArray[np.int64] = _hashed_rows(columns, [seed], _length(columns, rows))[0].view(np.int64)
    return hashed


def content_fingerprint(table: pa.Table, columns: Sequence[str] | None = None) -> str:
    """A SHA-256 text, equal for equal multisets of rows, by the named columns in this order (by default all of them).

    ``frames.fingerprint.content_hash`` orders columns by name first; ``fingerprint_columns`` takes them as they come.
    Raises TypeError for a type that cannot be hashed.
    """
    found = Fingerprint()
    found.add(table, table.column_names if columns is None else columns)
    return found.text


@dataclass
class Fingerprint:
    """The same of rows that come a piece at a time, in any order."""

    rows: int = 0
    _sum: int = 0
    _xor: int = 0
    _mix: int = 0

    def add(self, table: pa.Table, columns: Sequence[str]) -> None:
        """Add rows by these columns; each piece must have the same columns."""
        seeds = _hashed_rows([table.column(name) for name in columns], [1, 2], table.num_rows).view(np.int64)
        first, second = seeds
        self.rows += table.num_rows
        self._sum += _exact_sum(first)
        self._xor ^= int(np.bitwise_xor.reduce(second)) if len(second) else 0
        self._mix += _exact_sum(first ^ (second << np.int64(1)))

    def merge(self, other: Fingerprint) -> None:
        """Add the rows that another one has."""
        self.rows += other.rows
        self._sum += other._sum
        self._xor ^= other._xor
        self._mix += other._mix

    @property
    def text(self) -> str:
        aggregates = f"{self.rows}:{self._sum}:{self._xor}:{self._mix}"
        return hashlib.sha256(aggregates.encode()).hexdigest()


def _exact_sum(values: NDArray[np.int64]) -> int:
    """The sum as a Python integer: sums of the upper and lower halves cannot overflow below 2^31 rows."""
    return (int((values >> np.int64(32)).sum()) << 32) + int((values & _LOW).sum())


def _length(columns: Sequence[Any], rows: int | None) -> int:
    return len(columns[0]) if rows is None else rows


def _hashed_rows(columns: Sequence[Any], seeds: Sequence[int], rows: int) -> Hashes:
    """The hashes by each seed, which is itself the first value that is hashed."""
    numbers = np.array(seeds, np.int32)
    starts = hash_ints(numbers, np.full(len(numbers), _SEED, np.uint64))
    return _hashed(columns, starts.tolist(), rows, marks_nulls=True)


def _hashed(columns: Sequence[Any], starts: Sequence[int], rows: int, marks_nulls: bool) -> Hashes:
    hashed = np.empty((len(starts), rows), np.uint64)
    hashed[:] = np.array(starts, np.uint64)[:, None]
    for column in columns:
        for first, block in _blocks(column):
            part = hashed[:, first : first + len(block)]
            if marks_nulls:
                part = hash_ints(as_numpy(block.is_null()), part)
            hashed[:, first : first + len(block)] = _with_column(block, part)
    return hashed


def _blocks(column: Any) -> Iterator[tuple[int, Any]]:
    """Pieces of a column, each with the number of its first row."""
    first = 0
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        plain = chunk.dictionary_decode() if pa.types.is_dictionary(chunk.type) else chunk
        for start in range(0, len(plain), _BLOCK):
            yield first + start, plain.slice(start, _BLOCK)
        first += len(plain)


def _with_column(values: Any, hashed: Hashes) -> Hashes:
    """The hashes after one more value in each row, unless it is null."""
    if not values.null_count:
        return _with_values(values, hashed)
    valid = np.flatnonzero(as_numpy(values.is_valid()))
    result = hashed.copy()
    if len(valid):
        result[:, valid] = _with_values(values.drop_null(), hashed[:, valid])
    return result


def _with_values(values: Any, hashed: Hashes) -> Hashes:
    """The same for values without nulls."""
    kind = values.type
    if isinstance(kind, _LISTS):
        return _with_elements(values, hashed)
    if pa.types.is_null(kind):
        return hashed
    if kind in _BYTES:
        return hash_bytes(*_text_bytes(values), hashed)
    if pa.types.is_decimal128(kind) and kind.precision > _DIGITS_OF_A_LONG:
        return hash_bytes(*_decimal_bytes(values), hashed)
    numbers = _numbers(values)
    return hash_ints(numbers, hashed) if numbers.dtype == np.int32 else hash_longs(numbers, hashed)


def _numbers(values: Any) -> NDArray[Any]:
    """What is hashed of each value: 32 or 64 bits. Raises TypeError for a type that cannot be hashed."""
    kind = values.type
    if pa.types.is_floating(kind) and kind.bit_width in (32, 64):
        return _float_bits(values)
    if kind == pa.int64() or pa.types.is_timestamp(kind):
        return as_numpy(values)
    if kind in _HASHED_AS_INTS:
        return as_numpy(values).astype(np.int32, copy=False)
    if pa.types.is_decimal128(kind):
        return np.ascontiguousarray(_halves(values)[:, 0])
    raise TypeError(f"values of type {kind} cannot be hashed")


def _float_bits(values: Any) -> NDArray[Any]:
    """One bit pattern for NaN, and zero for negative zero."""
    numbers = as_numpy(values) + values.type.to_pandas_dtype()(0)
    numbers[np.isnan(numbers)] = np.nan
    bits: NDArray[Any] = numbers.view(np.int32 if values.type.bit_width == 32 else np.int64)
    return bits


def _text_bytes(values: Any) -> _Ranges:
    _, offsets_buffer, data_buffer = values.buffers()
    all_offsets = np.frombuffer(offsets_buffer, _BYTES[values.type])
    offsets = all_offsets[values.offset : values.offset + len(values) + 1].astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    data = np.frombuffer(data_buffer, np.uint8)[first:last] if last > first else np.zeros(0, np.uint8)
    return data, offsets[:-1] - first, np.diff(offsets)


def _decimal_bytes(values: Any) -> _Ranges:
    """The digits without a point, in the fewest bytes that hold them."""
    data = np.ascontiguousarray(_halves(values)).view(np.uint8)[:, ::-1]
    sign = np.where(data[:, :1] >> 7, 0xFF, 0).astype(np.uint8)
    # A first byte is left out if the sign can still be told from the next one.
    spare = (data[:, :-1] == sign) & (data[:, 1:] >> 7 == sign >> 7)
    skipped = np.logical_and.accumulate(spare, axis=1).sum(axis=1).astype(np.int64)
    width = data.shape[1]
    starts = np.arange(len(data)) * width + skipped
    return np.ascontiguousarray(data).reshape(-1), starts, width - skipped


def _halves(values: Any) -> NDArray[np.int64]:
    """The lower and the upper 64 bits of each decimal."""
    return np.frombuffer(values.buffers()[1], "<i8").reshape(-1, 2)[values.offset : values.offset + len(values)]


def _with_elements(values: Any, hashed: Hashes) -> Hashes:
    """Each list's elements one after the other: a round hashes the next element of all lists that have one left.

    Once few lists have one left, they are hashed list by list.
    """
    elements = values.flatten()
    if pa.types.is_fixed_size_list(values.type):
        lengths: NDArray[np.int64] = np.full(len(values), values.type.list_size, np.int64)
    else:
        lengths = as_numpy(values.value_lengths()).astype(np.int64)
    order = np.argsort(-lengths, kind="stable")
    starts = (np.cumsum(lengths) - lengths)[order]
    rounds = int(lengths[order[0]]) if len(order) else 0
    active = np.searchsorted(-lengths[order], -np.arange(1, rounds + 1), side="right")
    state = hashed[:, order]
    together = int(np.count_nonzero(active > (_FEW_LISTS if has_xxhash() else 0)))
    for number, lists in enumerate(active[:together].tolist()):
        state[:, :lists] = _with_column(elements.take(pa.array(starts[:lists] + number)), state[:, :lists])
    for place in range(int(active[together]) if together < rounds else 0):
        rest = elements.slice(int(starts[place]) + together, int(lengths[order[place]]) - together)
        state[:, place] = _with_each(rest, state[:, place].tolist())
    result = np.empty_like(state)
    result[:, order] = state
    return result


def _with_each(values: Any, seeds: list[int]) -> list[int]:
    """The hashes after all values, each hashed with the hash before it as its seed."""
    import xxhash

    values = values.drop_null()
    while isinstance(values.type, _LISTS):
        values = values.flatten().drop_null()
    for first in range(0, len(values), _BLOCK):
        pieces = _pieces(values.slice(first, _BLOCK))
        for place, seed in enumerate(seeds):
            hashed = seed
            for piece in pieces:
                hashed = xxhash.xxh64_intdigest(piece, hashed)
            seeds[place] = hashed
    return seeds


def _pieces(values: Any) -> list[bytes]:
    """The bytes that are hashed of each value."""
    kind = values.type
    if pa.types.is_null(kind):
        return []
    if kind in _BYTES:
        data, starts, lengths = _text_bytes(values)
    elif pa.types.is_decimal128(kind) and kind.precision > _DIGITS_OF_A_LONG:
        data, starts, lengths = _decimal_bytes(values)
    else:
        numbers = _numbers(values)
        width = numbers.dtype.itemsize
        data, starts = np.ascontiguousarray(numbers).view(np.uint8), np.arange(len(numbers)) * width
        lengths = np.full(len(numbers), width)
    content = data.tobytes()
    ends = (starts + lengths).tolist()
    return [content[start:end] for start, end in zip(starts.tolist(), ends, strict=True)]
