"""Files of rows for a feature group: CSV, JSON lines, Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pyspark.sql import DataFrame, DataFrameReader

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import SchemaError
from featurestore.frames.rows.conform import check_column_names
from featurestore.frames.rows.csv_header import header_names
from featurestore.frames.rows.text_rows import rows_from_cells, rows_from_json_lines
from featurestore.frames.rows.union import union_losslessly
from featurestore.stores.delta.table import quote
from featurestore.stores.files.named import Listing, NamedFiles, explained, shown
from featurestore.stores.storage_faults import conditions, file_of

FileFormat = Literal["csv", "jsonl", "parquet"]

_SUFFIXES: dict[str, FileFormat] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".snappy", ".deflate")
# A quote within quotes is doubled, and a quoted cell may hold line ends (RFC 4180). A header that is not the one that was
# read before is refused.
_CSV = {"header": "true", "escape": '"', "multiLine": "true", "enforceSchema": "false"}
_MALFORMED = "__malformed"


def file_format(path: str) -> FileFormat:
    """The format that a file's or folder's name tells; raises SchemaError where it tells none."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() not in _COMPRESSED]
    if suffixes and suffixes[-1] in _SUFFIXES:
        return _SUFFIXES[suffixes[-1]]
    raise SchemaError(f"{path}: its name does not tell the format; name one of csv, jsonl, parquet")


def read_rows(
    named: NamedFiles, path: str, group: FeatureGroup, tenant_id: str, format: FileFormat | None = None
) -> DataFrame:
    """A file's (or folder's) rows as ``write_batch`` takes them; a value that cannot be read is a fault of its row.

    Every CSV file has a header, and is read by its own. Raises NotFoundError, InvalidArgumentError for a name that cannot be
    opened, and SchemaError for columns the group does not have.
    """
    chosen = format or file_format(path)
    with _explained(path, chosen):
        listing = named.list(path)
        if chosen == "parquet":
            return named.parquet(listing)
        if chosen == "csv":
            return _read_csv(named, listing, group)
        if listing.columns():
            raise SchemaError(
                f"{path}: folders are named as values of {listing.columns()}, which JSON lines do not take from there; "
                "ingest each folder by itself"
            )
        lines = named.load_as_one(listing, lambda file: named.spark.read.format("text"), lambda file: "")
        return rows_from_json_lines(lines, group, tenant_id)


def read_parquet(named: NamedFiles, path: str) -> DataFrame:
    """A file or folder as it is; raises NotFoundError, and SchemaError for what is not Parquet that Spark can read."""
    with _explained(path, "parquet"):
        return named.parquet(named.list(path))


@contextmanager
def _explained(path: str, format: FileFormat) -> Iterator[None]:
    """What Spark says of a file that it cannot read, as errors for people."""
    try:
        with explained(path):
            yield
    except SchemaError:
        raise
    except Exception as error:
        if {"FAILED_READ_FILE", "CANNOT_READ_FILE_FOOTER"} & {name.partition(".")[0] for name in conditions(error)}:
            raise SchemaError(f"{file_of(error) or path} is not {format}; mend the file, or name its format") from error
        raise


def _read_csv(named: NamedFiles, listing: Listing, group: FeatureGroup) -> DataFrame:
    headers = named.headers(listing)
    names = {path: _names(shown(path), record, listing.keys(path), group) for path, record in headers.items() if record}
    if not names:
        raise SchemaError(f"{shown(listing.root)} is empty; its first line must name the columns")

    def reader(path: str) -> DataFrameReader:
        columns = (*names[path], _MALFORMED, *listing.keys(path))
        schema = ", ".join(f"{quote(name)} string" for name in columns)
        options = _CSV | {"columnNameOfCorruptRecord": _MALFORMED}
        return named.spark.read.format("csv").schema(schema).options(**options)

    frames = named.load(listing, reader, headers.__getitem__)
    stripped = {path: rows.toDF(*(name.strip() for name in rows.columns)) for path, rows in frames.items()}
    return union_losslessly({shown(path): rows_from_cells(rows, group, _MALFORMED) for path, rows in stripped.items()})


def _names(file: str, record: str, from_folders: tuple[str, ...], group: FeatureGroup) -> list[str]:
    """A header's names as they stand there; raises SchemaError, which names the file."""
    try:
        names = header_names(record)
        check_column_names([*(name.strip() for name in names), *from_folders], group)
    except (SchemaError, ValueError) as error:
        raise SchemaError(f"{file}: {error}") from error
    return names
