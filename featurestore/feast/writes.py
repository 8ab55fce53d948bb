"""Append rows to Feast's sources, and logged features to their folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import deltalake
import pyarrow as pa
import pyarrow.dataset as ds
from feast import FileSource
from feast.data_source import DataSource
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.infra.offline_stores.file_source import FileLoggingDestination
from pyarrow import fs

from featurestore.errors import InvalidArgumentError, SchemaError, StorageError
from featurestore.feast.file_sources import FileTable, Place, s3_options
from featurestore.feast.parquet_files import add_to_folder, append_to_file, kind_at, writing
from featurestore.feast.sources import Session, source_table
from featurestore.stores.delta.native_errors import native_errors
from featurestore.stores.storage_faults import storage_errors


def append(source: DataSource, rows: pa.Table, repo_path: str, session: Session) -> None:
    """Append rows, which have the source's columns in its order, to a source.

    Columns are named as in the source, or as Feast names them by the source's ``field_mapping``.
    Raises ValueError for other columns, as Feast's own stores do; SchemaError for values that the source's types do not
    hold; InvalidArgumentError for a source that has no place for rows; StorageError.
    """
    table = source_table(source, repo_path, session)
    schema = table.schema
    own = {feast: stored for stored, feast in source.field_mapping.items() if stored in schema.names}
    rows = rows.rename_columns([own.get(name, name) for name in rows.column_names])
    if rows.column_names != schema.names:
        raise ValueError(
            f"{table.name}: the rows have the columns {rows.column_names}, and the source has {schema.names}; give "
            "these in this order"
        )
    try:
        typed = rows.cast(schema)
    except pa.ArrowException as error:
        raise SchemaError(
            f"{table.name}: the rows have values that its types do not hold ({error}); give values of these types: "
            f"{', '.join(f'{each.name} {each.type}' for each in schema)}"
        ) from error
    if isinstance(table, FileTable):
        _append_to_files(table, typed)
    else:
        assert isinstance(source, SparkSource)
        _append_by_spark(source, typed, session)


def _append_to_files(table: FileTable, rows: pa.Table) -> None:
    place = table.place
    if place.is_delta:
        with native_errors(place.path):
            stored = deltalake.DeltaTable(place.root, storage_options=dict(place.options) or None)
            deltalake.write_deltalake(stored, rows.cast(pa.schema(stored.schema())), mode="append")
        return
    with writing(place.path):
        folder = place.folder
        if kind_at(folder) == fs.FileType.Directory:
            files = place.listing(table.name).files
            add_to_folder(folder, rows, by=list(files[0].constants))
        elif folder.system is None:
            append_to_file(Path(folder.path), rows)
        else:
            raise StorageError(
                f"{place.path} is one file on an object store, where two writers would lose each other's rows; declare "
                "its folder, or a Delta table, as the source"
            )


def _append_by_spark(source: SparkSource, rows: pa.Table, session: Session) -> None:
    if not source.table and not source.path:
        raise InvalidArgumentError(
            f"source {source.name!r} is a query; name the table or the path to which rows are written"
        )
    writer = session().createDataFrame(rows).write.mode("append")
    with storage_errors(str(source.name)):
        if source.table:
            writer.insertInto(source.table)
            return
        formatted = source.table_format.format_type.value if source.table_format else source.file_format
        properties: Mapping[str, str] = source.table_format.properties if source.table_format else {}
        writer.format(formatted).options(**properties).save(source.path)


def write_logs(data: pa.Table | Path, destination: FileLoggingDestination, repo_path: str) -> None:
    """Add logged features to a folder of Parquet files, whose folders are named by ``partition_by`` as Hive does."""
    rows = ds.dataset(data).to_table() if isinstance(data, Path) else data
    path = FileSource.get_uri_for_file_path(repo_path, destination.path)
    place = Place(path, is_delta=False, options=s3_options(destination.s3_endpoint_override))
    with writing(path):
        add_to_folder(place.folder, rows, by=destination.partition_by or [])
