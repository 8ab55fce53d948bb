"""Reads sources for one tenant: a transformation sees that tenant's rows and no others."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from featurestore.config import Settings
from featurestore.definitions.names import check_tenant_id
from featurestore.definitions.source import Source
from featurestore.errors import InvalidArgumentError, NotFoundError, SchemaError
from featurestore.frames.columns import column
from featurestore.frames.rows.csv_header import doubled, header_names
from featurestore.frames.rows.union import union_losslessly
from featurestore.late_spark import (
    ArrayType,
    DataFrame,
    DataFrameReader,
    DataType,
    F,
    SparkSession,
    StructType,
    spark_errors,
)
from featurestore.stores.delta.table import quote
from featurestore.stores.file_system import has_pattern
from featurestore.stores.files.named import Listing, NamedFiles, display_path, read_errors
from featurestore.stores.layout import local_folder
from featurestore.stores.sessions import separate_session
from featurestore.stores.storage_faults import storage_errors

# Path, size in bytes and time of the last change of each file.
FileStates: TypeAlias = frozenset[tuple[str, int, int]]
# How Spark says that there is no such table or place.
NOTHING_THERE = ("PATH_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND", "DELTA_TABLE_NOT_FOUND")
# Unless the options set a mode, a row that does not fit its header is an error: Spark would read part of it, or nulls.
_STRICT = {"mode": "FAILFAST", "columnPruning": "false"}


@storage_errors()
def read_source(named: NamedFiles, name: str, source: Source, tenant_id: str, settings: Settings) -> DataFrame:
    """Return the source's rows of one tenant, or all rows of a shared source. Raises NotFoundError if nothing is there.

    Each file is read by its own columns, and files in sub-folders are read, too; see ``docs/definitions.md``.
    """
    try:
        rows = _read(named, source, tenant_id, settings)
    except (spark_errors.AnalysisException, NotFoundError) as error:
        if isinstance(error, NotFoundError) or error.getCondition() in NOTHING_THERE:
            where = (
                error if isinstance(error, NotFoundError) else source.table or source_path(source, tenant_id, settings)
            )
            raise _nothing_at(name, where) from error
        raise
    if source.tenant_column is None:
        return rows
    return rows.where(column(source.tenant_column) == F.lit(check_tenant_id(tenant_id)))


def check_landed(name: str, source: Source, tenant_id: str, settings: Settings) -> None:
    """Raise NotFoundError if the source is a place on this machine's disk at which nothing is; needs no Spark."""
    if source.path is None:
        return
    path = source_path(source, tenant_id, settings)
    place = local_folder(path)
    if place is not None and not place.exists():
        raise _nothing_at(name, f"{path}: there is no such file or folder")


def landed_files(source: Source, tenant_id: str, settings: Settings) -> FileStates | None:
    """The files of a source on this machine's disk, by which any change shows; None for others, or if files vanish."""
    place = None if source.path is None else local_folder(source_path(source, tenant_id, settings))
    try:
        return None if place is None else frozenset(_states(place))
    except OSError:
        # Whoever opens the source says what is wrong.
        return None


def _states(place: Path) -> Iterator[tuple[str, int, int]]:
    facts = place.stat()
    if not stat.S_ISDIR(facts.st_mode):
        yield str(place), facts.st_size, facts.st_mtime_ns
        return
    for entry in place.iterdir():
        yield from _states(entry)


def _nothing_at(name: str, where: object) -> NotFoundError:
    return NotFoundError(f"source {name!r}: there is nothing at {where}; land the data, or correct the source")


def source_path(source: Source, tenant_id: str, settings: Settings) -> str:
    """Return the source's path with its placeholders filled in."""
    assert source.path is not None
    return source.path.format(
        tenant_id=check_tenant_id(tenant_id), landing=settings.landing, warehouse=settings.warehouse
    )


def _read(named: NamedFiles, source: Source, tenant_id: str, settings: Settings) -> DataFrame:
    if source.table is not None:
        return named.spark.read.table(".".join(quote(part) for part in source.table.split(".")))
    path = source_path(source, tenant_id, settings)
    if source.format == "delta":
        return named.spark.read.format("delta").options(**source.options).load(path)
    with read_errors(path):
        return _read_files(named, path, source.format, source.options)


def _read_files(named: NamedFiles, path: str, format: str, options: Mapping[str, str]) -> DataFrame:
    listing = named.list(path, options)
    if format == "parquet":
        return named.parquet(listing, options)
    lower_options = {name.lower(): value for name, value in options.items()}
    if lower_options.get("multiline", "").lower() == "true" and has_pattern("".join(listing.paths)):
        raise InvalidArgumentError(
            f"{path}: with the option multiLine Spark reads names with any of *?[]{{}}\\ as patterns; rename such files"
        )
    strict = {} if "mode" in lower_options else _STRICT

    def reader(spark: SparkSession) -> DataFrameReader:
        return spark.read.format(format).options(**strict).options(**options)

    if format == "json":
        schema = _json_schema(named, listing, reader)
        return named.load_as_one(listing, lambda file: reader(named.spark).schema(schema), lambda file: "")
    if lower_options.get("header", "").lower() != "true":
        return named.load_as_one(listing, lambda file: reader(named.spark), lambda file: "")
    headers = _checked_headers(named, listing, lower_options)
    frames = named.load(listing, lambda file: reader(named.spark), headers.get)
    return union_losslessly(
        {display_path(file): rows.toDF(*(name.strip() for name in rows.columns)) for file, rows in frames.items()}
    )


def _checked_headers(named: NamedFiles, listing: Listing, options: Mapping[str, str]) -> dict[str, str]:
    """Return the header of each file that has one; raises SchemaError if it cannot be read or has a name twice."""
    separator, quotes = options.get("sep", options.get("delimiter", ",")), options.get("quote", '"')
    encoding = options.get("encoding", options.get("charset", "utf-8-sig"))
    headers = {}
    for file, record in named.headers(listing, encoding, quotes, options.get("comment", "")).items():
        if record is not None:
            headers[file] = record
            try:
                names = header_names(record, separator, quotes)
            except ValueError as error:
                raise SchemaError(f"{display_path(file)}: {error}") from error
            listing.check_columns(names)
            if twice := doubled(names):
                raise SchemaError(
                    f"{display_path(file)}: columns {twice} come twice in its header; rename or drop one of each"
                )
    if not headers:
        raise SchemaError(f"{display_path(listing.root)} is empty; its first line must name the columns")
    return headers


def _json_schema(named: NamedFiles, listing: Listing, reader: Callable[[SparkSession], DataFrameReader]) -> StructType:
    """Return the columns of all rows; raises SchemaError for keys that differ only in case: Spark would read one."""
    by_case = replace(named, spark=separate_session(named.spark))
    by_case.spark.conf.set("spark.sql.caseSensitive", "true")
    schema = by_case.load_as_one(
        replace(listing, flat=True), lambda file: reader(by_case.spark), lambda file: ""
    ).schema
    listing.check_columns(schema.names)
    twice = _doubled_keys(schema)
    if twice:
        raise SchemaError(
            f"{display_path(listing.root)}: keys {twice} differ only in case, and SQL ignores case; use one"
        )
    return schema


def _doubled_keys(kind: DataType) -> list[str]:
    """Return the keys of an object that differ only in case, at any depth."""
    if isinstance(kind, ArrayType):
        return _doubled_keys(kind.elementType)
    if not isinstance(kind, StructType):
        return []
    return doubled(kind.names) + [key for field in kind for key in _doubled_keys(field.dataType)]
