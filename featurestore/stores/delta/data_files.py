"""Write and read the Parquet files of a local Delta table with Arrow, and the statistics that its log keeps of them."""

from __future__ import annotations

import json
import re
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
# Delta's own limits: statistics of the first columns, and of a text its first characters.
_INDEXED_COLUMNS = 32
_TEXT_PREFIX = 32
_LAST_CHARACTER = "\U0010ffff"
# Python's instants in microseconds since 1970, but for those that cannot be rounded up to a whole millisecond; its days.
_INSTANTS = (-62_135_596_800_000_000, 253_402_300_799_999_000)
_DAYS = (-719_162, 2_932_896)
# The folder of rows without a partition's value, and what Hive escapes in the names of other folders.
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_ESCAPED = re.compile(r"[\x00-\x1f\x7f\"#%'*/:=?\\{}\[\]^]")


@dataclass(frozen=True)
class DataFile:
    """A file that was written: its path in the table's folder, its bytes, its partition, and its statistics as JSON."""

    path: str
    bytes: int
    partition: Mapping[str, str | None]
    statistics: str
    modified: int


def write_files(root: str, rows: pa.Table, partition_by: Sequence[str]) -> list[DataFile]:
    """Write each partition's rows, in their order, to a new file; rows of one partition must be next to each other."""
    return [_write_file(root, part, values) for values, part in _partitions(rows, partition_by)]


def _partitions(rows: pa.Table, by: Sequence[str]) -> Iterator[tuple[dict[str, str | None], pa.Table]]:
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
    folder = "".join(f"{_folder_name(name, value)}/" for name, value in partition.items())
    path = f"{folder}part-00000-{uuid4()}.c000.snappy.parquet"
    file = Path(root, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    rows_of_group = max(1, ROW_GROUP_BYTES * rows.num_rows // max(1, rows.nbytes))
    pq.write_table(
        rows,
        file,
        row_group_size=rows_of_group,
        compression="snappy",
        coerce_timestamps="us",
        dictionary_pagesize_limit=_DICTIONARY_BYTES,
        store_schema=False,
    )
    stat = file.stat()
    return DataFile(path, stat.st_size, partition, statistics_of(rows), int(stat.st_mtime * 1000))


def statistics_of(rows: pa.Table) -> str:
    """The number of rows, and of each of the first columns its nulls and bounds, which may be wider than its values."""
    smallest, largest, nulls = {}, {}, {}
    for name in rows.column_names[:_INDEXED_COLUMNS]:
        column = rows.column(name)
        nulls[name] = column.null_count
        bounds = _bounds(column)
        if bounds is not None:
            smallest[name], largest[name] = bounds
    return json.dumps({"numRecords": rows.num_rows, "minValues": smallest, "maxValues": largest, "nullCount": nulls})


def _bounds(column: pa.ChunkedArray) -> tuple[Any, Any] | None:
    kind = column.type
    if column.null_count == len(column) or not (
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
    least, greatest = both.as_py().values()
    if isinstance(least, str):
        return _text_bounds(least, greatest)
    if isinstance(least, date):
        return least.isoformat(), greatest.isoformat()
    return least, greatest


def _text_bounds(least: str, greatest: str) -> tuple[str, str] | None:
    low, high, cut = least[:_TEXT_PREFIX], greatest[:_TEXT_PREFIX], greatest[_TEXT_PREFIX:]
    if cut > _LAST_CHARACTER:
        return None
    return low, high + _LAST_CHARACTER if cut else high


def _instant_bounds(column: pa.ChunkedArray) -> tuple[str, str] | None:
    """The bounds in whole milliseconds, which are all that Delta keeps; none for times without a zone."""
    if column.type.tz is None:
        return None
    micros = pc.min_max(column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())).as_py()
    if not (_INSTANTS[0] <= micros["min"] and micros["max"] <= _INSTANTS[1]):
        return None
    up = -(-micros["max"] // 1000) * 1000
    return _instant(micros["min"]), _instant(up)


def _instant(micros: int) -> str:
    at = datetime(1970, 1, 1) + timedelta(microseconds=micros)  # noqa: DTZ001
    return at.isoformat(timespec="milliseconds") + "Z"


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
