"""The rows of a saved training set, read from its files without Spark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from featurestore.columnar.rows.file_layout import FileLimits
from featurestore.late_spark import DataFrame, to_arrow_schema
from featurestore.stores.delta.data_files import write_files
from featurestore.stores.delta.delta_log import DeltaLog, LogFile, Snapshot
from featurestore.stores.delta.native_errors import UnsupportedTableError
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.delta.task_files import write_in_tasks
from featurestore.stores.storage_faults import storage_errors
from featurestore.stores.training_sets.manifests import PART

# Sets are read whole or by columns, so that their row groups are larger than those of values, which are looked up.
LIMITS = FileLimits(group_rows=1 << 17, group_bytes=1 << 26, file_bytes=1 << 27)


def begin_table(table: NativeTable, rows: pa.Table, metadata: str) -> None:
    """Create the table of a set's rows, with these rows in its first commit; ``metadata``: the commit's."""
    saved = rows.cast(_as_saved(rows.schema))
    table.begin(write_files(table.path, saved, (), LIMITS), saved.schema, metadata)


def begin_in_tasks(table: NativeTable, rows: DataFrame, metadata: str) -> None:
    """The same for rows of Spark, whose tasks write the files."""
    schema = _as_saved(to_arrow_schema(rows.schema, timezone="UTC"))
    with storage_errors(table.path):
        files = write_in_tasks(rows, table.path, schema, (), LIMITS)
    table.begin(files, schema, metadata)


def _as_saved(schema: pa.Schema) -> pa.Schema:
    """The columns as a table has them: each may hold nulls, and each list, whatever is known of these rows."""
    return pa.schema([(field.name, _with_nulls(field.type)) for field in schema])


def _with_nulls(kind: pa.DataType) -> pa.DataType:
    return pa.list_(kind.value_type) if pa.types.is_list(kind) else kind


@dataclass(frozen=True)
class LocalRows:
    """One version of the table of a training set's rows."""

    table: NativeTable
    snapshot: Snapshot

    @classmethod
    def of(cls, table: NativeTable | None) -> LocalRows | None:
        """The newest version; None if only Spark can read the table."""
        try:
            snapshot = None if table is None else table.snapshot()
        except UnsupportedTableError:
            return None
        return None if table is None or snapshot is None or not snapshot.is_plain else cls(table, snapshot)

    @property
    def schema(self) -> pa.Schema:
        """The columns of the rows, in the order of the table."""
        return pa.schema([field for field in self.snapshot.schema if field.name != PART])

    @property
    def files(self) -> list[LogFile]:
        return self.snapshot.files

    def read(self, file: LogFile, columns: Sequence[str]) -> pa.Table:
        """Return one file's rows with these columns."""
        return self.table.read_data(file, self._fields(columns))

    def row_files(self, columns: Sequence[str]) -> RowFiles:
        return RowFiles(self.table.path, tuple(self.files), self._fields(columns))

    def read_all(self, columns: Sequence[str]) -> pa.Table:
        """Return all rows with these columns, in no particular order."""
        parts = [self.read(file, columns) for file in self.files]
        return pa.concat_tables(parts) if parts else self._fields(columns).empty_table()

    def _fields(self, columns: Sequence[str]) -> pa.Schema:
        return pa.schema([self.snapshot.schema.field(name) for name in columns])


@dataclass(frozen=True)
class RowFiles:
    """The files of a set's rows and the columns to read, without delta-rs, which a forked process may not use."""

    root: str
    files: tuple[LogFile, ...]
    schema: pa.Schema

    def batches(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Return all rows, at most ``batch_rows`` at once, file by file in the log's order."""
        log = DeltaLog(self.root)
        for file in self.files:
            yield from log.read_batches(file, self.schema, batch_rows)
