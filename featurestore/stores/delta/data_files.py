"""Write and read the Parquet files of a Delta table with Arrow, and the statistics that its log keeps of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore.columnar.as_of.value_files import READ_AT_ONCE
from featurestore.columnar.rows.file_layout import DICTIONARY_BYTES, LIMITS, FileLimits, RowGroup, row_groups
from featurestore.columnar.rows.file_statistics import FileStatistics
from featurestore.stores.places import Folder, place_of

# The folder of rows without a partition's value, and what Hive escapes in the names of other folders.
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_ESCAPED = re.compile(r"[\x00-\x1f\x7f\"#%'*/:=?\\{}\[\]^]")


@dataclass(frozen=True)
class DataFile:
    """A file that was written: path in the table's folder, bytes, rows, partition, and its statistics as JSON."""

    path: str
    bytes: int
    rows: int
    partition: Mapping[str, str | None]
    statistics: str
    modified: int


def write_files(root: str, rows: pa.Table, partition_by: Sequence[str], limits: FileLimits = LIMITS) -> list[DataFile]:
    """Write each partition's rows, in their order, to new files; rows of one partition must be next to each other."""
    return [
        file
        for partition, part in in_partitions(rows, partition_by)
        for file in _write_partition(root, part, partition, limits)
    ]


def in_partitions(rows: pa.Table, by: Sequence[str]) -> Iterator[tuple[dict[str, str | None], pa.Table]]:
    """Yield each partition's values as text and its rows without these columns; its rows are next to each other."""
    if not rows.num_rows:
        return
    stored = rows.drop_columns(list(by))
    if not by:
        yield {}, stored
        return
    changes = np.zeros(rows.num_rows, dtype=bool)
    for name in by:
        codes = _codes(rows.column(name))
        changes[1:] |= codes[1:] != codes[:-1]
    starts = [0, *np.flatnonzero(changes).tolist()]
    for start, end in zip(starts, [*starts[1:], rows.num_rows], strict=True):
        values = {name: partition_text(rows.column(name)[start].as_py()) for name in by}
        yield values, stored.slice(start, end - start)


def _codes(column: pa.ChunkedArray) -> Any:
    """A number for each value of the column; equal values have equal numbers."""
    encoded = column.combine_chunks().dictionary_encode()
    return pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)


def partition_text(value: Any) -> str | None:
    """A partition's value as the log has it, where an empty text is null."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return value.isoformat() if isinstance(value, date) else str(value)


def folder_name(name: str, value: str | None) -> str:
    """The folder of the rows with a value, by Hive's rules."""
    escaped = [_NO_VALUE if text is None else _ESCAPED.sub(_escape, text) for text in (name, value)]
    return "=".join(escaped)


def _escape(character: re.Match[str]) -> str:
    return f"%{ord(character[0]):02X}"


def _write_partition(
    root: str, rows: pa.Table, partition: Mapping[str, str | None], limits: FileLimits
) -> list[DataFile]:
    files = NewFiles(root, partition, rows.schema, limits)
    try:
        files.append(rows)
        return files.close()
    except BaseException:
        files.discard()
        raise


class NewFiles:
    """The files of one partition that are being written; a full file is followed by another.

    Rows stay in the order in which they come. If they are sorted, each file is a range of keys.
    """

    def __init__(
        self, root: str, partition: Mapping[str, str | None], schema: pa.Schema, limits: FileLimits = LIMITS
    ) -> None:
        self._root, self._partition, self._schema, self._limits = root, partition, schema, limits
        self._waiting: list[pa.Table] = []
        self._file: NewFile | None = None
        self._written: list[DataFile] = []

    def append(self, rows: pa.Table) -> None:
        """Write what fills row groups; the rest waits for more rows."""
        self._waiting.append(rows)
        if (
            sum(part.num_rows for part in self._waiting) >= self._limits.group_rows
            or sum(part.nbytes for part in self._waiting) >= self._limits.group_bytes
        ):
            self._waiting = [last for last in [self._write_waiting()] if last is not None]

    def close(self) -> list[DataFile]:
        """Write the rest, and return all files; none if there were no rows."""
        last = self._write_waiting() if self._waiting else None
        if last is not None:
            self._write(last)
        self._close_file()
        return self._written

    def discard(self) -> None:
        """Remove what was written: a full disk needs its room."""
        if self._file is not None:
            self._file.discard()
        folder = Folder.of(self._root)
        for file in self._written:
            folder.remove(file.path)

    def _write_waiting(self) -> pa.Table | None:
        """Write all row groups of the waiting rows but the last, and return that one."""
        last = None
        for group in row_groups(pa.concat_tables(self._waiting), self._limits):
            if last is not None:
                self._write(last)
            last = group
        return last

    def _write(self, group: pa.Table) -> None:
        if self._file is not None and self._file.bytes + group.nbytes > self._limits.file_bytes:
            self._close_file()
        if self._file is None:
            self._file = NewFile(self._root, self._partition, self._schema)
        self._file.append(group)

    def _close_file(self) -> None:
        if self._file is not None:
            self._written.append(self._file.close())
            self._file = None


class NewFile:
    """A file of one partition that is being written, a row group at a time."""

    def __init__(self, root: str, partition: Mapping[str, str | None], schema: pa.Schema) -> None:
        folder = "".join(f"{folder_name(name, value)}/" for name, value in partition.items())
        self._path = f"{folder}part-00000-{uuid4()}.c000.snappy.parquet"
        self._folder, self._partition = Folder.of(root), partition
        self._sink = self._folder.create(self._path)
        self._statistics = FileStatistics()
        self._writer = pq.ParquetWriter(
            self._sink,
            schema,
            compression="snappy",
            coerce_timestamps="us",
            dictionary_pagesize_limit=DICTIONARY_BYTES,
            # Spark skips a file with only negative zeros by their dictionary, when it looks for zeros.
            use_dictionary=[field.name for field in schema if _has_statistics(field.type)],
            write_statistics=[field.name for field in schema if _has_statistics(field.type)],
            store_schema=False,
        )

    @property
    def bytes(self) -> int:
        """What has been written so far."""
        return int(self._sink.tell())

    def append(self, rows: pa.Table) -> None:
        """Write the rows as one row group."""
        self._writer.write_table(rows, row_group_size=max(1, rows.num_rows))
        self._statistics.add(rows)

    def close(self) -> DataFile:
        self._writer.close()
        self._sink.close()
        [found] = self._folder.found([self._path])
        modified = int(found.mtime.timestamp() * 1000)
        return DataFile(
            self._path, found.size, self._statistics.rows, self._partition, self._statistics.to_json(), modified
        )

    def discard(self) -> None:
        """Remove what was written: a full disk needs its room."""
        with suppress(Exception):
            self._writer.close()
            self._sink.close()
        self._folder.remove(self._path)


def row_count(root: str, path: str) -> int:
    """The number of a file's rows, by its footer."""
    place, system = place_of(root, path)
    return int(pq.read_metadata(place, filesystem=system).num_rows)


def stored_row_groups(root: str, path: str, columns: Sequence[str]) -> list[RowGroup]:
    """Return a file's row groups with the bounds of these columns, by its footer.

    Bounds are as Parquet stores them: texts as bytes, times and dates as whole numbers, which have the same order.
    """
    place, system = place_of(root, path)
    footer = pq.read_metadata(place, filesystem=system)
    places = {footer.schema.column(place).path: place for place in range(footer.num_columns)}
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    return [
        RowGroup(group.num_rows, group.total_byte_size, tuple(_stored_bounds(group, places[name]) for name in columns))
        for group in groups
    ]


def _stored_bounds(group: Any, place: int) -> tuple[Any, Any] | None:
    statistics = group.column(place).statistics
    if statistics is None or not statistics.has_min_max:
        return None
    return statistics.min_raw, statistics.max_raw


def _has_statistics(kind: pa.DataType) -> bool:
    """Whether row groups are skipped by a column: Arrow's bounds ignore NaN, which Spark orders after every number."""
    return not pa.types.is_floating(kind) and not pa.types.is_nested(kind)


def read_file(
    root: str,
    path: str,
    partition: Mapping[str, Any],
    schema: pa.Schema,
    filters: pc.Expression | None = None,
) -> pa.Table:
    """Return a file's rows with these columns; a column that the file lacks is null, one of its partition is constant.

    A column that was widened after the file was written is cast. Row groups that cannot pass ``filters`` are skipped.
    """
    # Old files of Spark hold instants as INT96, which have no time zone there, and years that nanoseconds cannot hold.
    with (
        _source(root, path) as file,
        pq.ParquetFile(file, coerce_int96_timestamp_unit="us") as opened,
    ):
        stored = opened.schema_arrow
        names = [name for name in schema.names if name in stored.names and name not in partition]
        is_cast = any(_differ(stored.field(name).type, schema.field(name).type) for name in names)
        rows = opened.read(names) if filters is None or is_cast else None
        count = opened.metadata.num_rows
        if rows is None:
            rows = pq.read_table(file, columns=names, filters=filters, partitioning=None)
            count = rows.num_rows
    columns = [_column_of(rows, field, partition, count) for field in schema]
    whole = pa.table(columns, schema=schema)
    # The condition is on values of the table's types, so a file of other types was read whole.
    return whole.filter(filters) if filters is not None and is_cast else whole


@contextmanager
def _source(root: str, path: str) -> Iterator[str | pa.NativeFile]:
    """A file to read: its path on this disk; elsewhere it is opened, and read at once if it is small."""
    place, system = place_of(root, path)
    if system is None:
        yield place
        return
    with system.open_input_file(place) as opened:
        yield pa.BufferReader(opened.read()) if opened.size() <= READ_AT_ONCE else opened


def read_batches(
    root: str, path: str, partition: Mapping[str, Any], schema: pa.Schema, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """A file's rows with these columns, in their order, at most ``batch_rows`` at once; about a row group is in memory.

    Columns are as in ``read_file``.
    """
    file, system = place_of(root, path)
    with pq.ParquetFile(file, filesystem=system, coerce_int96_timestamp_unit="us") as opened:
        stored = opened.schema_arrow.names
        names = [name for name in schema.names if name in stored and name not in partition]
        for batch in opened.iter_batches(batch_rows, columns=names):
            yield pa.record_batch(
                [_column_of(batch, field, partition, batch.num_rows) for field in schema], schema=schema
            )


def _column_of(rows: pa.Table | pa.RecordBatch, field: pa.Field, partition: Mapping[str, Any], count: int) -> Any:
    """A column of rows of a file: as the file has it, constant, or null; ``count``: how many rows these are."""
    if field.name in partition:
        return _constant(partition[field.name], count, field.type)
    if field.name in rows.schema.names:
        return rows.column(field.name).cast(field.type)
    return pa.nulls(count, field.type)


def _differ(stored: pa.DataType, wanted: pa.DataType) -> bool:
    return bool(stored != wanted) and not pa.types.is_nested(wanted)


def _constant(value: Any, count: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(count, kind) if value is None else pa.repeat(pa.scalar(value, kind), count)
