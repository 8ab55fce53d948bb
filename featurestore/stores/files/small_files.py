"""Small local files of rows, read without Spark: the same rows, reasons and errors as ``rows.read_rows``.

What leaves room for doubt goes by Spark: then the functions here return None.
"""

from __future__ import annotations

import gzip
import posixpath
import zlib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore.columnar.rows.local_rows import arrow_from_table
from featurestore.columnar.text.csv_records import csv_records
from featurestore.columnar.text.text_rows import arrow_from_json_lines, arrow_from_records
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import SchemaError
from featurestore.frames.rows.csv_header import header_names, header_record
from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.stores.files.rows import FileFormat, checked_names, empty_file, file_format

_MOST_BYTES = 1 << 26
# Endings of files that Hadoop decompresses; of these, only gzip is read here.
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".snappy", ".deflate", ".passthrough")
_STARTS_OF_PARQUET = (b"PAR1", b"PARE")
_BYTE_ORDER_MARK = "\ufeff"
# Types that Spark and Arrow read alike from Parquet, within lists too.
_PLAIN_TYPES = frozenset({
    pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.string(),
    pa.large_string(), pa.binary(), pa.date32(),
})  # fmt: skip
# Spark reads earlier ones by the calendar of the file's writer.
_FIRST_DATE, _FIRST_MOMENT = date(1582, 10, 15), datetime(1900, 1, 1, tzinfo=UTC)


def read_small_file(
    path: str, group: FeatureGroup, tenant_id: str, format: FileFormat | None, most_rows: int
) -> pa.Table | None:
    """Read a file's rows in the form that ``check_local_rows`` accepts; None if Spark must read them.

    Raises SchemaError for columns that the group does not have.
    """
    known_format = format or file_format(path)
    try:
        file = _local_file(path)
        if file is None:
            return None
        if known_format == "parquet":
            return _read_parquet(file, group, most_rows)
        text = _text(file)
        if text is None:
            return None
        if known_format == "csv":
            return _read_csv(file, text, group, most_rows)
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return arrow_from_json_lines(lines, group, tenant_id) if len(lines) <= most_rows + 1 else None
    except (UndecidedError, UnicodeDecodeError, OSError, EOFError, zlib.error, pa.ArrowException):
        # Spark decides, or words the error.
        return None


def read_small_parquet(place: Path, most_rows: int) -> pa.Table | None:
    """The rows of a file, or of all files of a folder without sub-folders; None if Spark must read them.

    Raises SchemaError for a file that is not Parquet.
    """
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    visible = [_local_file(str(file)) for file in files if not file.name.startswith(("_", "."))]
    parts: list[pa.Table] = []
    for file in visible:
        if file is None:
            return None
        if _start(file) not in _STARTS_OF_PARQUET:
            raise SchemaError(f"{file} is not parquet; fix the file, or name its format")
        part = _plain_parquet(file, most_rows)
        if part is None or (parts and part.schema != parts[0].schema):
            return None
        parts.append(part)
        most_rows -= part.num_rows
    return pa.concat_tables(parts) if parts else None


def _start(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(4)


def _local_file(path: str) -> Path | None:
    """The file, if Hadoop would read just its bytes: by a plain name, without a file of checksums beside it."""
    file = Path(posixpath.normpath(str(Path(path).absolute())))
    hidden = file.name.startswith(("_", ".")) or file.name.endswith("._COPYING_")
    if hidden or ":" in str(file) or not file.is_file() or file.with_name(f".{file.name}.crc").exists():
        return None
    return file if file.stat().st_size <= _MOST_BYTES else None


def _text(file: Path) -> str | None:
    """The file's text without its byte order mark; None if it is too long, or of a compression for Hadoop."""
    if file.name.endswith(".gz"):
        with gzip.open(file) as unpacked:
            content = unpacked.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            return None
    elif file.name.lower().endswith(_COMPRESSED):
        return None
    else:
        content = file.read_bytes()
    text = content.decode("utf-8").removeprefix(_BYTE_ORDER_MARK)
    return None if text.startswith(_BYTE_ORDER_MARK) else text


def _read_csv(file: Path, text: str, group: FeatureGroup, most_rows: int) -> pa.Table | None:
    record = header_record(text)
    if record is None:
        raise empty_file(str(file))
    checked_names(str(file), record, (), group)
    names = header_names(record)
    records = csv_records(text)
    if list(records[0].cells) != names or len(records) > most_rows + 1:
        return None
    return arrow_from_records([name.strip() for name in names], records[1:], group)


def parquet_names(place: Path) -> list[str] | None:
    """The columns of a Parquet file, or of a folder's first one and of the names of its folders; None if nobody knows.

    Files that cannot be read are Spark's to report.
    """
    files = [place] if place.is_file() else sorted(place.rglob("*.parquet"))
    try:
        stored = pq.read_schema(files[0]).names if files else None
    except (OSError, pa.ArrowException):
        return None
    if stored is None:
        return None
    return [*stored, *(folder.partition("=")[0] for folder in files[0].relative_to(place).parts if "=" in folder)]


def _read_parquet(file: Path, group: FeatureGroup, most_rows: int) -> pa.Table | None:
    rows = _plain_parquet(file, most_rows)
    return None if rows is None else arrow_from_table(rows, group)


def _plain_parquet(file: Path, most_rows: int) -> pa.Table | None:
    """A file's rows if Spark and Arrow read them alike."""
    with pq.ParquetFile(file) as parquet:
        schema, physical = parquet.schema_arrow, parquet.schema
        metadata = parquet.metadata
        names = [name.lower() for name in schema.names]
        is_plain = (
            metadata.num_rows <= most_rows
            and len(set(names)) == len(names)
            and all(_is_plain(field.type) for field in schema)
            and all(physical.column(place).physical_type != "INT96" for place in range(metadata.num_columns))
            and not any(key.startswith(b"org.apache.spark") for key in metadata.metadata or {})
        )
        rows = parquet.read() if is_plain else None
    if rows is None or any(_has_old_times(column) for column in rows.columns):
        return None
    # Names of columns and values alone, as Spark gives them: pandas would read an index from the schema.
    return rows.replace_schema_metadata(None)


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_plain(kind.value_type)
    is_micros = pa.types.is_timestamp(kind) and kind.unit == "us"
    return bool(kind in _PLAIN_TYPES or is_micros or pa.types.is_decimal128(kind))


def _has_old_times(column: Any) -> bool:
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _has_old_times(pc.list_flatten(column))
    if pa.types.is_date32(kind):
        return bool(pc.any(pc.less(column, pa.scalar(_FIRST_DATE))).as_py())
    if pa.types.is_timestamp(kind):
        instants = column.cast(pa.timestamp("us"))
        return bool(pc.any(pc.less(instants, pa.scalar(_FIRST_MOMENT.replace(tzinfo=None), instants.type))).as_py())
    return False
