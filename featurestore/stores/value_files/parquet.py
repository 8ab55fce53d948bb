"""A Parquet file of values that the as-of kernel opens: here, or in a task of Spark, where this package may be missing.

So this module needs only Arrow and the kernel, with which it is sent to the tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from featurestore.columnar.as_of.value_files import READ_AT_ONCE, Bound, Bounds, RowGroup

_UTC_MICROS = pa.timestamp("us", "UTC")


class UnreadableFileError(Exception):
    """A file is gone or damaged, for the cause that this was raised from; see ``faults`` for what to do about it."""

    def __init__(self, path: str, cause: Exception) -> None:
        super().__init__(path, cause)
        self.path, self.cause = path, cause

    def __str__(self) -> str:
        return f"{self.path}: {type(self.cause).__name__}: {self.cause}"


class ChangedFileError(OSError):
    """A file of a user's is no longer what it was when it was listed."""


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise UnreadableFileError(path, error) from error


@dataclass(frozen=True)
class ValueColumns:
    """Columns of a group's table in one version; ``keys``: the join keys, in the order by which files are sorted."""

    schema: pa.Schema
    keys: tuple[str, ...]

    @property
    def text_keys(self) -> list[str]:
        return [name for name in self.keys if pa.types.is_string(self.schema.field(name).type)]


@dataclass(frozen=True)
class ParquetValues:
    """A file by what the table's log says about it.

    - ``path``: a local path, or a URI;
    - ``rows``, ``bytes``: of the file; ``bounds``: of the join keys; ``created``: of the created timestamps, in
      microseconds since 1970;
    - ``elsewhere``: for a URI, its file system and the path there; the tasks find credentials in their environment.
    """

    path: str
    columns: ValueColumns
    rows: int
    bytes: int
    bounds: tuple[Bounds, ...]
    created: tuple[int | None, int | None]
    elsewhere: tuple[fs.FileSystem, str] | None = field(default=None, compare=False)

    def open(self) -> OpenedParquet:
        """Read the file's footer; raises UnreadableFileError."""
        with _reading(self.path):
            return OpenedParquet.of(self.path, self._file(), self.columns)

    def _file(self) -> pq.ParquetFile:
        # Old files of Spark hold instants as INT96, in years that nanoseconds cannot hold.
        options: dict[str, Any] = {"read_dictionary": self.columns.text_keys, "coerce_int96_timestamp_unit": "us"}
        if self.elsewhere is None:
            return pq.ParquetFile(self.path, memory_map=True, **options)
        system, path = self.elsewhere
        if self.bytes <= READ_AT_ONCE:
            with system.open_input_file(path) as opened:
                return pq.ParquetFile(pa.BufferReader(opened.read()), **options)
        return pq.ParquetFile(path, filesystem=system, pre_buffer=True, **options)


@dataclass(frozen=True)
class OpenedParquet:
    """A file whose footer was read; ``stored``: its own columns, which may be fewer, or of narrower types."""

    path: str
    file: pq.ParquetFile
    columns: ValueColumns
    stored: pa.Schema
    row_groups: list[RowGroup]

    @classmethod
    def of(cls, path: str, file: pq.ParquetFile, columns: ValueColumns) -> OpenedParquet:
        metadata, stored = file.metadata, file.schema_arrow
        numbers = {metadata.schema.column(number).path: number for number in range(metadata.num_columns)}
        keys = [(numbers.get(name), stored.field(name).type if name in numbers else None) for name in columns.keys]
        groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
        row_groups = [
            RowGroup(group.num_rows, group.total_byte_size, tuple(_bounds(group, *key) for key in keys))
            for group in groups
        ]
        return cls(path, file, columns, stored, row_groups)

    def stored_bytes(self, groups: Sequence[int], columns: Sequence[str]) -> int:
        """The bytes that these columns of these row groups take in the file."""
        parts = (self.file.metadata.row_group(number) for number in groups)
        chunks = (group.column(number) for group in parts for number in range(group.num_columns))
        # The path of an array's elements begins with its column's name.
        return sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns)

    def read(self, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """See ``OpenedFile``; raises UnreadableFileError."""
        present = [name for name in columns if name in self.stored.names]
        with _reading(self.path):
            rows = self.file.read_row_groups(list(groups), present, use_threads=False)
            kinds = [self.columns.schema.field(name).type for name in columns]
            if rows.column_names == list(columns) and rows.schema.types == kinds:
                return rows
            return pa.table({name: self._column(rows, name) for name in columns})

    def _column(self, rows: pa.Table, name: str) -> Any:
        kind = self.columns.schema.field(name).type
        if name not in rows.column_names:
            return pa.nulls(rows.num_rows, kind)
        column = rows.column(name)
        is_encoded = pa.types.is_dictionary(column.type) and column.type.value_type == kind
        return column if is_encoded or column.type == kind else column.cast(kind)


def _bounds(group: pq.RowGroupMetaData, number: int | None, kind: pa.DataType) -> Bounds:
    """The bounds of one of the file's columns in a row group."""
    statistics = None if number is None else group.column(number).statistics
    if statistics is None or not statistics.has_min_max:
        return None, None
    return _bound(statistics.min_raw, kind), _bound(statistics.max_raw, kind)


def _bound(value: Any, kind: pa.DataType) -> Bound:
    """A bound in the units of the kernel, from Parquet's own; None where the file has others."""
    if pa.types.is_timestamp(kind):
        return int(value) if kind == _UTC_MICROS else None
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return value.encode() if isinstance(value, str) else bytes(value)
    return int(value)
