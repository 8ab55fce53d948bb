"""Sorted runs: how rows are cut into row groups and files, and whether stored files keep that layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain, pairwise
from typing import Any

import pyarrow as pa

from featurestore.columnar.schema import PARTITION_COLUMNS, values_schema
from featurestore.definitions.feature_group import FeatureGroup

# Measured with eight doubles: groups of 4,096 rows instead of 16,384 cost a whole join 4 to 8 % more CPU, and lookups
# of few keys decode a quarter. Groups of 131,072 rows would be decoded 15 % faster than those of 16,384.
ROW_GROUP_ROWS = 4_096
ROW_GROUP_BYTES = 8 * 1024**2
# Room for the dictionary of a row group's keys; beyond it Parquet stores each key in full.
DICTIONARY_BYTES = 4 * 1024**2
# One task reads, sorts and writes a file of this size in seconds, and its range of keys is narrow enough that lookups
# skip other files. Files ten times larger, as is usual for tables that are scanned whole, would make a lookup of few
# keys read too much.
FILE_BYTES = 128 * 1024**2
# Bytes of values whose type does not say how long they are.
_TEXT, _LIST = 32, 256

# The smallest and the largest value of a column; None if nobody knows them.
Bounds = tuple[Any, Any] | None


@dataclass(frozen=True)
class FileLimits:
    """The most rows and Arrow bytes of a row group, and the most bytes of a file."""

    group_rows: int = ROW_GROUP_ROWS
    group_bytes: int = ROW_GROUP_BYTES
    file_bytes: int = FILE_BYTES

    @property
    def target_bytes(self) -> int:
        """What a file of a range of keys is meant to hold: ranges are estimated, and some come out larger."""
        return self.file_bytes * 3 // 4


LIMITS = FileLimits()


def row_groups(rows: pa.Table, limits: FileLimits) -> Iterator[pa.Table]:
    """Cut rows into row groups, in their order; a row that is larger than a group has one of its own."""
    first = 0
    while first < rows.num_rows:
        group = rows.slice(first, limits.group_rows)
        while group.num_rows > 1 and group.nbytes > limits.group_bytes:
            fitting = group.num_rows * limits.group_bytes // group.nbytes
            group = group.slice(0, max(1, min(group.num_rows - 1, fitting)))
        yield group
        first += group.num_rows


def bytes_of_row(group: FeatureGroup, columns: Sequence[str] | None = None) -> int:
    """Estimate the Arrow bytes of a stored row by the types of its columns, by default all but the partition's."""
    dims = {feature.name: feature.feature_type.dims for feature in group.features}
    fields = [
        field
        for field in values_schema(group)
        if (field.name not in PARTITION_COLUMNS if columns is None else field.name in columns)
    ]
    return sum(4 * (dims.get(field.name) or 0) or _bytes_of_value(field.type) for field in fields)


def _bytes_of_value(kind: pa.DataType) -> int:
    if pa.types.is_nested(kind):
        return _LIST
    return _TEXT if pa.types.is_string(kind) else -(-int(kind.bit_width) // 8)


@dataclass(frozen=True)
class KeyRanges:
    """How a large batch is spread: over this many tasks, by ranges of date and, on ``dates``, of keys and time."""

    tasks: int
    dates: tuple[date, ...]


def key_ranges(rows: Mapping[date, int], row_bytes: int, limits: FileLimits) -> KeyRanges | None:
    """Cut the dates whose rows are more than a file; None if no date has so many."""
    large = tuple(day for day, count in sorted(rows.items()) if count * row_bytes > limits.file_bytes)
    if not large:
        return None
    return KeyRanges(-(-sum(rows.values()) * row_bytes // limits.target_bytes), large)


@dataclass(frozen=True)
class RowGroup:
    """A stored row group: rows, bytes before compression, and the bounds of the columns that rows are sorted by."""

    rows: int
    bytes: int
    bounds: tuple[Bounds, ...]

    def is_large(self, limits: FileLimits) -> bool:
        """Whether it is far beyond the limits; other writers count bytes differently."""
        return self.rows > 1 and (self.rows > 2 * limits.group_rows or self.bytes > 2 * limits.group_bytes)


def are_sorted_runs(files: Sequence[Sequence[RowGroup]], limits: FileLimits) -> bool:
    """Whether the row groups of a partition's files are small, and one after the other in the order of the keys.

    Rows within a row group are not looked at. Bounds that nobody knows count as in order.
    """
    if any(group.is_large(limits) for file in files for group in file):
        return False
    return in_key_order([[group.bounds for group in file] for file in files])


def in_key_order(files: Sequence[Sequence[tuple[Bounds, ...]]]) -> bool:
    """Whether no two files, and no two row groups of a file, overlap; each row group has the bounds of its columns."""
    known = [file for file in files if file]
    if any(bounds is None for file in known for group in file for bounds in group):
        return True
    in_order = sorted(known, key=lambda file: [_of_file(column) for column in zip(*file, strict=True)])
    return all(_follows(before, after) for before, after in pairwise(chain.from_iterable(in_order)))


def _of_file(column: Sequence[Any]) -> tuple[Any, Any]:
    return min(low for low, _ in column), max(high for _, high in column)


def _follows(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    """Whether no row of ``after`` comes before one of ``before``, as far as the bounds of single columns show."""
    for (low, high), (next_low, next_high) in zip(before, after, strict=True):
        if high != next_low:
            return bool(high < next_low)
        # They touch at one value. The next column decides only between rows that all have this value.
        if low != high or next_low != next_high:
            return True
    return True
