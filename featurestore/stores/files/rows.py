"""Reads files of rows for a feature group: CSV, JSON lines, Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import SchemaError
from featurestore.frames.rows.conform import check_column_names
from featurestore.frames.rows.csv_header import header_names
from featurestore.frames.rows.text_rows import rows_from_cells, rows_from_json_lines
from featurestore.frames.rows.union import union_losslessly
from featurestore.late_spark import DataFrame, DataFrameReader
from featurestore.stores.delta.table import quote
from featurestore.stores.files.named import Listing, NamedFiles, display_path, read_errors
from featurestore.stores.storage_faults import conditions, file_of

FileFormat = Literal["csv", "jsonl", "parquet"]

_SUFFIXES: dict[str, FileFormat] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".snappy", ".deflate")
# A quote within quotes is doubled, and a quoted cell may contain line ends (RFC 4180). Spark refuses a header that
# differs from the one that was read before.
_CSV = {"header": "true", "escape": '"', "multiLine": "true", "enforceSchema": "false"}
_MALFORMED = "__malformed"


def file_format(path: str) -> FileFormat:
    """Return the format that a file's or folder's name implies; raises SchemaError if it implies none."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() not in _COMPRESSED]
    if suffixes and suffixes[-1] in _SUFFIXES:
        return _SUFFIXES[suffixes[-1]]
    raise SchemaError(f"{path}: its name does not imply a format; name one of csv, jsonl, parquet")


def read_rows(
    named: NamedFiles, path: str, group: FeatureGroup, tenant_id: str, format: FileFormat | None = None
) -> DataFrame:
    """Read a file's (or folder's) rows in the form that ``write_batch`` accepts.

    A value that cannot be read is a fault of its row. Each CSV file must have a header, which names its columns.
    Raises NotFoundError, InvalidArgumentError for a name that cannot be opened, and SchemaError for columns that the
    group does not have.
    """
    known_format = format or file_format(path)
    with _read_errors(path, known_format):
        listing = named.list(path)
        if known_format == "parquet":
            return named.parquet(listing)
        if known_format == "csv":
            return _read_csv(named, listing, group)
        if listing.columns():
            raise SchemaError(
                f"{path}: names of folders hold values of {listing.columns()}, but JSON lines cannot take values from "
                "there; ingest each folder by itself"
            )
        lines = named.load_as_one(listing, lambda file: named.spark.read.format("text"), lambda file: "")
        return rows_from_json_lines(lines, group, tenant_id)


def read_parquet(named: NamedFiles, path: str) -> DataFrame:
    """Read a file or folder unchanged; raises NotFoundError, and SchemaError for Parquet that Spark cannot read."""
    with _read_errors(path, "parquet"):
        return named.parquet(named.list(path))


@contextmanager
def _read_errors(path: str, format: FileFormat) -> Iterator[None]:
    """Translate Spark's errors about a file that it cannot read, including one of another format."""
    try:
        with read_errors(path):
            yield
    except SchemaError:
        raise
    except Exception as error:
        if {"FAILED_READ_FILE", "CANNOT_READ_FILE_FOOTER"} & {name.partition(".")[0] for name in conditions(error)}:
            raise SchemaError(f"{file_of(error) or path} is not {format}; fix the file, or name its format") from error
        raise


def _read_csv(named: NamedFiles, listing: Listing, group: FeatureGroup) -> DataFrame:
    headers = named.headers(listing)
    names = {
        path: checked_names(display_path(path), record, listing.keys(path), group)
        for path, record in headers.items()
        if record
    }
    if not names:
        raise empty_file(display_path(listing.root))

    def reader(path: str) -> DataFrameReader:
        columns = (*names[path], _MALFORMED, *listing.keys(path))
        schema = ", ".join(f"{quote(name)} string" for name in columns)
        options = _CSV | {"columnNameOfCorruptRecord": _MALFORMED}
        return named.spark.read.format("csv").schema(schema).options(**options)

    frames = named.load(listing, reader, headers.__getitem__)
    stripped = {path: rows.toDF(*(name.strip() for name in rows.columns)) for path, rows in frames.items()}
    return union_losslessly(
        {display_path(path): rows_from_cells(rows, group, _MALFORMED) for path, rows in stripped.items()}
    )


def empty_file(file: str) -> SchemaError:
    return SchemaError(f"{file} is empty; its first line must name the columns")


def checked_names(file: str, record: str, from_folders: tuple[str, ...], group: FeatureGroup) -> list[str]:
    """Return a header's names, unchanged; raises SchemaError that names the file."""
    try:
        names = header_names(record)
        check_column_names([*(name.strip() for name in names), *from_folders], group)
    except (SchemaError, ValueError) as error:
        raise SchemaError(f"{file}: {error}") from error
    return names
