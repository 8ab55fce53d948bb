"""Write and read the Parquet files of a local Delta table with Arrow, and the statistics that its log keeps of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# Small row groups let a reader of a few keys skip most of a file.
ROW_GROUP_BYTES = 8 * 1024**2
# Room for the dictionary of a column of keys; beyond it Parquet stores each key in full.
_DICTIONARY_BYTES = 4 * 1024**2
_NARROW = {pa.int64(): (pa.int32(),), pa.float64(): (pa.float32(),)}
# Delta's own limits: statistics of the first columns, and of a text its first characters.
_INDEXED_COLUMNS = 32
_TEXT_PREFIX = 32
_LAST_CHARACTER = "\U0010ffff"
# The last instant that can be rounded up to a whole millisecond.
_LATEST = datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)


@dataclass(frozen=True)
class DataFile:
    """A file that was written: its path in the table, its bytes, its partition, and its statistics as JSON."""

    path: str
    bytes: int
    partition: Mapping[str, str | None]
    statistics: str
    modified: int


def write_files(root: str, rows: pa.Table, partition_by: Sequence[str]) -> list[DataFile]:
    """Write each partition's rows, in their order, to a new file; rows of one partition must be next to each other."""
    return [_write_file(root, part, values) for values, part in in_partitions(rows, partition_by)]


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
        values = {name: _partition_text(rows.column(name)[start].as_py()) for name in by}
        yield values, stored.slice(start, end - start)


def _codes(column: pa.ChunkedArray) -> Any:
    """A number for each value of the column; equal values have equal numbers."""
    encoded = column.combine_chunks().dictionary_encode()
    return pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)


def _partition_text(value: Any) -> str | None:
    return value.isoformat() if isinstance(value, date) else None if value is None else str(value)


def _write_file(root: str, rows: pa.Table, partition: Mapping[str, str | None]) -> DataFile:
    rows_of_group = max(1, ROW_GROUP_BYTES * rows.num_rows // max(1, rows.nbytes))
    file = NewFile(root, partition, rows.schema)
    for first in range(0, rows.num_rows, rows_of_group):
        file.append(rows.slice(first, rows_of_group))
    return file.close()


class NewFile:
    """A file of one partition that is being written, a row group at a time."""

    def __init__(self, root: str, partition: Mapping[str, str | None], schema: pa.Schema) -> None:
        folder = "".join(f"{name}={value}/" for name, value in partition.items())
        self._path = f"{folder}part-00000-{uuid4()}.c000.snappy.parquet"
        self._file, self._partition = Path(root, self._path), partition
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._statistics = FileStatistics()
        self._writer = pq.ParquetWriter(
            self._file,
            schema,
            compression="snappy",
            coerce_timestamps="us",
            dictionary_pagesize_limit=_DICTIONARY_BYTES,
            store_schema=False,
        )

    def append(self, rows: pa.Table) -> None:
        """Write the rows as one row group."""
        self._writer.write_table(rows, row_group_size=max(1, rows.num_rows))
        self._statistics.add(rows)

    def close(self) -> DataFile:
        self._writer.close()
        stat = self._file.stat()
        modified = int(stat.st_mtime * 1000)
        return DataFile(self._path, stat.st_size, self._partition, self._statistics.to_json(), modified)


class FileStatistics:
    """The number of rows, and of each of the first columns its nulls and bounds, which may be wider than its values."""

    def __init__(self) -> None:
        self._rows = 0
        self._nulls: dict[str, int] = {}
        # A column without bounds (NaN, or a type that Delta keeps none of) has None.
        self._bounds: dict[str, tuple[Any, Any] | None] = {}

    def add(self, rows: pa.Table) -> None:
        self._rows += rows.num_rows
        for name in rows.column_names[:_INDEXED_COLUMNS]:
            column = rows.column(name)
            self._nulls[name] = self._nulls.get(name, 0) + column.null_count
            if column.null_count == len(column):
                continue
            bounds, known = _bounds(column), self._bounds.get(name, ())
            if bounds is None or known is None:
                self._bounds[name] = None
            else:
                both = (*bounds, *known)
                self._bounds[name] = min(both), max(both)

    def to_json(self) -> str:
        """The statistics in the words of Delta's log."""
        smallest, largest = {}, {}
        for name, bounds in self._bounds.items():
            rounded = None if bounds is None else _rounded(*bounds)
            if rounded is not None:
                smallest[name], largest[name] = rounded
        return json.dumps(
            {"numRecords": self._rows, "minValues": smallest, "maxValues": largest, "nullCount": self._nulls}
        )


def _bounds(column: pa.ChunkedArray) -> tuple[Any, Any] | None:
    """The bounds of a column that has values; None if there are none that a reader could skip files by."""
    kind = column.type
    if not (
        pa.types.is_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_date(kind)
        or pa.types.is_timestamp(kind)
    ):
        return None
    # Spark orders NaN after every number, so a file with one has no largest number that JSON can hold.
    if pa.types.is_floating(kind) and not pc.all(pc.is_finite(column)).as_py():
        return None
    both = pc.min_max(column).as_py()
    return both["min"], both["max"]


def _rounded(least: Any, greatest: Any) -> tuple[Any, Any] | None:
    """The bounds as the log keeps them: no tighter."""
    if isinstance(least, str):
        return least[:_TEXT_PREFIX], greatest if len(greatest) <= _TEXT_PREFIX else _above(greatest)
    if isinstance(least, datetime):
        # Delta keeps milliseconds.
        if greatest > _LATEST:
            return None
        up = greatest if greatest.microsecond % 1000 == 0 else greatest + timedelta(milliseconds=1)
        return _instant(least), _instant(up)
    if isinstance(least, date):
        return least.isoformat(), greatest.isoformat()
    return least, greatest


def _above(text: str) -> str:
    """A short text that is not less than a long one."""
    return text[:_TEXT_PREFIX] + _LAST_CHARACTER


def _instant(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def read_file(
    root: str,
    path: str,
    partition: Mapping[str, Any],
    schema: pa.Schema,
    filters: pc.Expression | None = None,
) -> pa.Table:
    """Return a file's rows with these columns; a column that the file lacks is null, one of its partition is constant.

    A column that was widened after the file was written is cast, and so are timestamps of Spark's older type INT96. Row
    groups that cannot pass ``filters`` are skipped.
    """
    file = str(Path(root, path))
    with pq.ParquetFile(file, coerce_int96_timestamp_unit="us") as opened:
        stored = {field.name: field.type for field in opened.schema_arrow}
        names = [name for name in schema.names if name in stored]
        is_cast = any(_is_cast(stored[name], schema.field(name).type) for name in names)
        rows = opened.read(names) if filters is None or is_cast else None
        count = opened.metadata.num_rows
    if rows is None:
        rows = pq.read_table(file, columns=names, filters=filters, partitioning=None)
        count = rows.num_rows
    columns = []
    for field in schema:
        if field.name in partition:
            columns.append(_constant(partition[field.name], count, field.type))
        elif field.name in names:
            columns.append(rows.column(field.name).cast(field.type))
        else:
            columns.append(pa.nulls(count, field.type))
    whole = pa.table(columns, schema=schema)
    # A file of other types was read whole, because the condition is on those of the table.
    return whole.filter(filters) if filters is not None and is_cast else whole


def _is_cast(stored: pa.DataType, wanted: pa.DataType) -> bool:
    return stored in _NARROW.get(wanted, ()) or (pa.types.is_timestamp(wanted) and stored != wanted)


def _constant(value: Any, count: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(count, kind) if value is None else pa.repeat(pa.scalar(value, kind), count)
