"""Save the rows of a retrieval as a dataset of Feast's."""

from __future__ import annotations

from dataclasses import dataclass

import deltalake
import pyarrow as pa
from feast import FileSource
from feast.data_format import DeltaFormat
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SavedDatasetSparkStorage
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.saved_dataset import SavedDatasetStorage
from pyarrow import fs

from featurestore.errors import InvalidArgumentError, SchemaError
from featurestore.feast.file_sources import Place, s3_options
from featurestore.feast.parquet_files import kind_at, replace_all, writing
from featurestore.feast.sources import Session
from featurestore.late_spark import spark_errors
from featurestore.stores.delta.native_errors import native_errors
from featurestore.stores.storage_faults import storage_errors

# How Spark says that something is there.
_EXISTS = ("PATH_ALREADY_EXISTS", "TABLE_OR_VIEW_ALREADY_EXISTS", "DELTA_PATH_EXISTS")


def _has_no_delta_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_duration(kind) or pa.types.is_time(kind))


@dataclass(frozen=True)
class SavedDatasets:
    """Where a project's datasets are saved: by Arrow, delta-rs, or Spark, which ``session`` starts."""

    repo_path: str
    session: Session

    def check(self, storage: SavedDatasetStorage, allow_overwrite: bool) -> None:
        """Raise SavedDatasetLocationAlreadyExists if something is there that may not be replaced.

        Only Spark finds what is there for itself, when it writes.
        """
        if allow_overwrite or isinstance(storage, SavedDatasetSparkStorage):
            return
        place = self._place(storage)
        with writing(place.path):
            if kind_at(place.folder) != fs.FileType.NotFound:
                raise SavedDatasetLocationAlreadyExists(location=place.path)

    def write(self, rows: pa.Table, storage: SavedDatasetStorage, allow_overwrite: bool) -> None:
        """Put the rows in the place of whatever is there; raises as ``check`` does."""
        if isinstance(storage, SavedDatasetSparkStorage):
            self._write_by_spark(rows, storage, "overwrite" if allow_overwrite else "error")
            return
        place = self._place(storage)
        if not place.is_delta:
            with writing(place.path):
                replace_all(place.folder, rows)
            return
        if refused := [f"{each.name} ({each.type})" for each in rows.schema if _has_no_delta_type(each.type)]:
            raise SchemaError(
                f"{place.path} was not written: Delta has no type for {', '.join(refused)}; leave these columns out of "
                "the entity rows, or save as ParquetFormat"
            )
        with native_errors(place.path):
            deltalake.write_deltalake(
                place.root,
                rows,
                mode="overwrite" if allow_overwrite else "error",
                schema_mode="overwrite" if allow_overwrite else None,
                storage_options=dict(place.options) or None,
            )

    def _place(self, storage: SavedDatasetStorage) -> Place:
        if not isinstance(storage, SavedDatasetFileStorage):
            raise InvalidArgumentError(
                "a dataset is saved to SavedDatasetFileStorage or SavedDatasetSparkStorage, not to "
                f"{type(storage).__name__}"
            )
        given = storage.file_options
        path = FileSource.get_uri_for_file_path(self.repo_path, given.uri)
        return Place(path, isinstance(given.file_format, DeltaFormat), s3_options(given.s3_endpoint_override))

    def _write_by_spark(self, rows: pa.Table, storage: SavedDatasetSparkStorage, mode: str) -> None:
        given = storage.spark_options
        location = given.path or given.table
        if not location:
            raise InvalidArgumentError("a dataset is saved to a table or a path, and this storage names a query")
        formatted = given.table_format.format_type.value if given.table_format else given.file_format or "parquet"
        writer = self.session().createDataFrame(rows).write.mode(mode).format(formatted)
        try:
            with storage_errors(location):
                if given.path:
                    writer.save(given.path)
                else:
                    writer.saveAsTable(given.table)
        except spark_errors.AnalysisException as error:
            if error.getCondition() in _EXISTS:
                raise SavedDatasetLocationAlreadyExists(location=location) from error
            raise
