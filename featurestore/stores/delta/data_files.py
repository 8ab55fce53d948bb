"""Write and read the Parquet files of a local Delta table with Arrow, and the statistics that its log keeps of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
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
# Delta's own limits: statistics of the first columns, and of a text its first characters.
_INDEXED_COLUMNS = 32
_TEXT_PREFIX = 32
_LAST_CHARACTER = "\U0010ffff"
# Python's instants in microseconds since 1970, up to the last that is a whole millisecond, and its days.
_INSTANTS = (-62_135_596_800_000_000, 253_402_300_799_999_000)
_DAYS = (-719_162, 2_932_896)
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


def _folder_name(name: str, value: str | None) -> str:
    escaped = [_NO_VALUE if text is None else _ESCAPED.sub(_escape, text) for text in (name, value)]
    return "=".join(escaped)


def _escape(character: re.Match[str]) -> str:
    return f"%{ord(character[0]):02X}"


def _write_file(root: str, rows: pa.Table, partition: Mapping[str, str | None]) -> DataFile:
    rows_of_group = max(1, ROW_GROUP_BYTES * rows.num_rows // max(1, rows.nbytes))
    file = NewFile(root, partition, rows.schema)
    try:
        for first in range(0, rows.num_rows, rows_of_group):
            file.append(rows.slice(first, rows_of_group))
        return file.close()
    except BaseException:
        file.discard()
        raise


class NewFile:
    """A file of one partition that is being written, a row group at a time."""

    def __init__(self, root: str, partition: Mapping[str, str | None], schema: pa.Schema) -> None:
        folder = "".join(f"{_folder_name(name, value)}/" for name, value in partition.items())
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
            # Spark skips a file with only negative zeros by their dictionary, when it looks for zeros.
            use_dictionary=[field.name for field in schema if _has_statistics(field.type)],
            write_statistics=[field.name for field in schema if _has_statistics(field.type)],
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
        return DataFile(
            self._path, stat.st_size, self._statistics.rows, self._partition, self._statistics.to_json(), modified
        )

    def discard(self) -> None:
        """Remove what was written: a full disk needs its room."""
        with suppress(Exception):
            self._writer.close()
        self._file.unlink(missing_ok=True)


def _has_statistics(kind: pa.DataType) -> bool:
    """Whether row groups are skipped by a column: Arrow's bounds ignore NaN, which Spark orders after every number."""
    return not pa.types.is_floating(kind) and not pa.types.is_nested(kind)


class FileStatistics:
    """The number of rows, and of each of the first columns its nulls and bounds, which may be wider than its values."""

    def __init__(self) -> None:
        self.rows = 0
        self._nulls: dict[str, int] = {}
        # A column without bounds (NaN, or a type that Delta keeps none of) has None.
        self._bounds: dict[str, tuple[Any, Any] | None] = {}

    def add(self, rows: pa.Table) -> None:
        self.rows += rows.num_rows
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
            {"numRecords": self.rows, "minValues": smallest, "maxValues": largest, "nullCount": self._nulls}
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
    if pa.types.is_timestamp(kind):
        return _instant_bounds(column)
    both = pc.min_max(column)
    if pa.types.is_date32(kind):
        days = both.cast(pa.struct([("min", pa.int32()), ("max", pa.int32())])).as_py()
        if not (_DAYS[0] <= days["min"] and days["max"] <= _DAYS[1]):
            return None
    bounds = both.as_py()
    return bounds["min"], bounds["max"]


def _instant_bounds(column: pa.ChunkedArray) -> tuple[datetime, datetime] | None:
    """None for times without a zone, and for instants that Python has not."""
    if column.type.tz is None:
        return None
    instants = pc.min_max(column.cast(pa.timestamp("us", "UTC")))
    micros = instants.cast(pa.struct([("min", pa.int64()), ("max", pa.int64())])).as_py()
    if not (_INSTANTS[0] <= micros["min"] and micros["max"] <= _INSTANTS[1]):
        return None
    bounds = instants.as_py()
    return bounds["min"], bounds["max"]


def _rounded(least: Any, greatest: Any) -> tuple[Any, Any] | None:
    """The bounds as the log keeps them: no tighter. None if nothing so short is surely larger."""
    if isinstance(least, str):
        low, high, cut = least[:_TEXT_PREFIX], greatest[:_TEXT_PREFIX], greatest[_TEXT_PREFIX:]
        return None if cut > _LAST_CHARACTER else (low, high + _LAST_CHARACTER if cut else high)
    if isinstance(least, datetime):
        # Delta keeps milliseconds.
        up = greatest if greatest.microsecond % 1000 == 0 else greatest + timedelta(milliseconds=1)
        return _instant(least), _instant(up)
    if isinstance(least, date):
        return least.isoformat(), greatest.isoformat()
    return least, greatest


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

    A column that was widened after the file was written is cast. Row groups that cannot pass ``filters`` are skipped.
    """
    file = str(Path(root, path))
    # Old files of Spark hold instants as INT96, which have no time zone there, and years that nanoseconds cannot hold.
    with pq.ParquetFile(file, coerce_int96_timestamp_unit="us") as opened:
        stored = opened.schema_arrow
        names = [name for name in schema.names if name in stored.names and name not in partition]
        is_cast = any(_differ(stored.field(name).type, schema.field(name).type) for name in names)
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
    # The condition is on values of the table's types, so a file of other types was read whole.
    return whole.filter(filters) if filters is not None and is_cast else whole


def _differ(stored: pa.DataType, wanted: pa.DataType) -> bool:
    return bool(stored != wanted) and not pa.types.is_nested(wanted)


def _constant(value: Any, count: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(count, kind) if value is None else pa.repeat(pa.scalar(value, kind), count)
