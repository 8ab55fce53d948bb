"""The rows of a saved training set, read from its files without Spark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from featurestore.stores.delta.delta_log import LogFile, Snapshot
from featurestore.stores.delta.native_errors import UnsupportedTableError
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.training_sets.manifests import PART


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

    def read_all(self, columns: Sequence[str]) -> pa.Table:
        """Return all rows with these columns, in no particular order."""
        parts = [self.read(file, columns) for file in self.files]
        return pa.concat_tables(parts) if parts else self._fields(columns).empty_table()

    def _fields(self, columns: Sequence[str]) -> pa.Schema:
        return pa.schema([self.snapshot.schema.field(name) for name in columns])
