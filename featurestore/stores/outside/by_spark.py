"""A user's table that only Spark reads: its columns, its state, and a tenant's rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from featurestore.config import Settings
from featurestore.definitions.source import Source
from featurestore.errors import StorageError
from featurestore.frames.columns import column
from featurestore.kinds.kind import Moments
from featurestore.kinds.moment import TIMESTAMP
from featurestore.late_spark import Column, DataFrame, F, T, from_arrow_type, spark_errors, to_arrow_schema
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.file_system import exact
from featurestore.stores.files.named import NamedFiles
from featurestore.stores.outside.casts import plain_type
from featurestore.stores.outside.pins import FilePin, SourcePin
from featurestore.stores.outside.rows import WantedColumn, WantedRows
from featurestore.stores.sources import read_source, source_path
from featurestore.stores.storage_faults import storage_errors


@dataclass(frozen=True)
class SparkSource:
    """A source of one tenant, read by Spark; ``pinned``: the state to read, None for the newest."""

    named: NamedFiles
    name: str
    source: Source
    tenant_id: str
    settings: Settings
    pinned: SourcePin | None

    @property
    def schema(self) -> pa.Schema:
        """The columns of the source in plain types."""
        stored = to_arrow_schema(self._rows.schema, timezone="UTC")
        return pa.schema([pa.field(each.name, plain_type(each.type)) for each in stored])

    def frame(self, wanted: WantedRows) -> DataFrame:
        """The wanted rows; lazy."""
        rows = self._rows
        for name in wanted.required:
            rows = rows.where(column(name).isNotNull())
        return rows.select(*(self._cast(each, wanted).alias(name) for name, each in wanted.columns.items()))

    def _cast(self, wanted: WantedColumn, rows: WantedRows) -> Column:
        columns = [self._of_source(source, wanted, rows) for source in wanted.sources]
        value = columns[0] if len(columns) == 1 else F.coalesce(*columns)
        if wanted.length is None:
            return value
        text = f"column {wanted.source!r} has a list that has not {wanted.length} elements"
        fits = value.isNull() | (F.size(value) == F.lit(wanted.length))
        return F.when(fits, value).otherwise(F.raise_error(F.lit(text)))

    def _of_source(self, source: str, wanted: WantedColumn, rows: WantedRows) -> Column:
        stored, value = self._rows.schema[source].dataType, column(source)
        if wanted.type is None:
            return value
        target = from_arrow_type(wanted.type)
        if isinstance(target, T.TimestampType):
            moments = Moments(rows.zone, "up" if wanted.rounded_up else "down")
            reading = TIMESTAMP.read_column(value, stored, moments)
            assert reading is not None
            return reading.value
        return value.cast(target)

    @cached_property
    def _rows(self) -> DataFrame:
        """The tenant's rows in the pinned state."""
        if self.pinned is None or self.pinned.kind != "delta":
            # A table whose state is not known is read as it is.
            is_known = self.pinned is not None and self.pinned.is_known
            if self.pinned and is_known and (changes := self.pinned.changes_to(self._state)) is not None:
                raise StorageError(f"source {self.name!r}: {self.pinned} cannot be read again: {changes}")
            return read_source(self.named, self.name, self.source, self.tenant_id, self.settings)
        rows = self._table.read(self.pinned.version)
        if self.source.tenant_column is None:
            return rows
        return rows.where(column(self.source.tenant_column) == F.lit(self.tenant_id))

    @property
    def pin(self) -> SourcePin:
        """The state that is read."""
        return self.pinned or self._state

    @cached_property
    def _state(self) -> SourcePin:
        if self.source.path is not None and self.source.format != "delta":
            return self._files
        try:
            table_id, version = str(self._table.detail()["id"]), self._table.version()
        except (spark_errors.AnalysisException, StorageError) as error:
            if self.source.table is None:
                raise
            if isinstance(error, spark_errors.AnalysisException) and not _is_not_delta(error):
                raise
            return SourcePin(kind="table", place=self._place)
        return SourcePin(kind="delta", place=self._place, table_id=table_id, version=version)

    @property
    def _files(self) -> SourcePin:
        """All files below the path, by a listing that reads none of them."""
        reader = self.named.spark.read.format("binaryFile").option("recursiveFileLookup", "true")
        with storage_errors():
            files = reader.load(exact(self._place)).select("path", "length", "modificationTime").toArrow().to_pylist()
        pins = [
            FilePin(path=file["path"], bytes=file["length"], modified=int(file["modificationTime"].timestamp() * 1e9))
            for file in files
        ]
        return SourcePin(kind="parquet", place=self._place, files=tuple(sorted(pins, key=lambda pin: pin.path)))

    @property
    def _place(self) -> str:
        return self.source.table or source_path(self.source, self.tenant_id, self.settings)

    @property
    def _table(self) -> DeltaTable:
        session = self.named.spark
        if self.source.table is not None:
            return DeltaTable(lambda: session, name=tuple(self.source.table.split(".")))
        return DeltaTable(lambda: session, path=self._place)


def _is_not_delta(error: spark_errors.AnalysisException) -> bool:
    return str(error.getCondition()).startswith(("DELTA_TABLE_ONLY_OPERATION", "DELTA_ONLY_OPERATION",
                                                 "DELTA_MISSING_DELTA_TABLE", "EXPECT_TABLE_NOT_VIEW"))  # fmt: skip
