"""The log of a Delta table and the data files that it names, read by delta-rs and Arrow, without Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import unquote

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import DeltaError

from featurestore.columnar.rows.file_layout import RowGroup
from featurestore.errors import StorageError
from featurestore.object_stores import is_object_store
from featurestore.stores.delta.data_files import read_batches, read_file, row_count, stored_row_groups
from featurestore.stores.delta.log_remains import check_log
from featurestore.stores.delta.native_errors import native_errors
from featurestore.stores.delta.shared_tables import SharedTables
from featurestore.stores.places import Folder

Params = ParamSpec("Params")
Result = TypeVar("Result")
Log = TypeVar("Log", bound="DeltaLog")

# Reader features with which the log and the Parquet files alone still say everything about a table's rows.
_PLAIN_FEATURES = frozenset(
    {"typeWidening", "typeWidening-preview", "timestampNtz", "vacuumProtocolCheck", "v2Checkpoint"}
)
_MAPPING = "delta.columnMapping.mode"
_VECTORS = "delta.enableDeletionVectors"
_SHARED = SharedTables()


def checked(call: Callable[Concatenate[Log, Params], Result]) -> Callable[Concatenate[Log, Params], Result]:
    """Decorate a method: faults of storage, such as lost commits, name the table."""

    @wraps(call)
    def wrapped(table: Log, /, *args: Params.args, **kwargs: Params.kwargs) -> Result:
        check_log(table.path, table.begins_with_rows)
        with native_errors(table.path):
            return call(table, *args, **kwargs)

    return wrapped


@dataclass(frozen=True)
class LogFile:
    """A data file of one version of the table, as its log describes it; ``bounds``: column -> smallest and largest."""

    path: str
    bytes: int
    rows: int
    partition: Mapping[str, Any]
    bounds: Mapping[str, tuple[Any, Any]]
    # Whether the bounds are exact; those of the log are in milliseconds, and texts are cut.
    is_exact: bool = False
    # The path as the log spells it, which encodes some characters.
    logged: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """One version of a table. ``is_plain``: the Parquet files that the log names, and no more, hold its rows."""

    version: int
    schema: pa.Schema
    files: list[LogFile]
    is_plain: bool


@dataclass(frozen=True)
class DeltaLog:
    """A table's log, at a local path or at a URI that delta-rs and Arrow open.

    ``begins_with_rows``: the table's first commit has rows, others are created empty.
    """

    path: str
    begins_with_rows: bool = field(default=False, kw_only=True)
    # How delta-rs reaches a store of another environment than this process's.
    options: Mapping[str, str] | None = field(default=None, kw_only=True, repr=False)

    @property
    def folder(self) -> Folder:
        return Folder.of(self.path, self.options)

    def open(self, version: int | None = None) -> deltalake.DeltaTable:
        """The table in one version, by default the newest, at which it must stay: other threads may have it, too.

        To read it and to commit files leaves it there. Raises StorageError if the log does not have the version.
        """
        # Who names the access to a store may name another's the next time.
        if not is_object_store(self.path) or self.options is not None:
            return self.open_alone(version)
        return _SHARED.opened(self.folder, version, lambda: self.open_alone(version))

    def open_alone(self, version: int | None = None) -> deltalake.DeltaTable:
        """The same as ``open`` for the caller alone, who may bring it to another version."""
        if version is None:
            return deltalake.DeltaTable(self.path, storage_options=self._options)
        try:
            return deltalake.DeltaTable(self.path, version=version, storage_options=self._options)
        except DeltaError as error:
            newest = self.open_alone().version()
            raise StorageError(
                f"table {self.path}: version {version} cannot be read, the newest is {newest}; the log no longer has "
                "it, or does not have it yet: read another version"
            ) from error

    @property
    def _options(self) -> dict[str, str] | None:
        return None if self.options is None else dict(self.options)

    @checked
    def schema(self) -> pa.Schema:
        return pa.schema(self.open().schema())

    @checked
    def table_id(self) -> str:
        return str(self.open().metadata().id)

    @checked
    def properties(self) -> dict[str, str]:
        return dict(self.open().metadata().configuration)

    @checked
    def version(self) -> int:
        return int(self.open().version())

    @checked
    def snapshot(
        self, version: int | None = None, within: Mapping[str, str] | None = None, bounded: Sequence[str] = ()
    ) -> Snapshot:
        """Return the newest version of the table, or ``version``, by its log alone; raises UnsupportedTableError.

        ``within``: values of partition columns, which all its files have. ``bounded``: the columns whose bounds the
        files have.
        """
        table = self.open(version)
        files = self.files_of(table, within or {}, bounded)
        return Snapshot(int(table.version()), pa.schema(table.schema()), files, has_plain_files(table))

    def read_data(self, file: LogFile, schema: pa.Schema, filters: pc.Expression | None = None) -> pa.Table:
        """Return the rows of one file with these columns."""
        with native_errors(self.path, file.path):
            return read_file(self.path, file.path, file.partition, schema, filters)

    def read_batches(self, file: LogFile, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Return the rows of one file with these columns, at most ``batch_rows`` at once."""
        with native_errors(self.path, file.path):
            yield from read_batches(self.path, file.path, file.partition, schema, batch_rows)

    @checked
    def row_groups(self, file: LogFile, columns: Sequence[str]) -> list[RowGroup]:
        """Return a file's row groups with the bounds of these columns, by its footer."""
        with native_errors(self.path, file.path):
            return stored_row_groups(self.path, file.path, columns)

    def files_of(
        self, table: deltalake.DeltaTable, within: Mapping[str, str] | None = None, bounded: Sequence[str] = ()
    ) -> list[LogFile]:
        """The files with these values of partition columns, and with the bounds of these columns."""
        actions = pa.table(table.get_add_actions(flatten=True))
        names = actions.column_names
        partitions = {name: f"partition.{name}" for name in table.metadata().partition_columns}
        bounded = [name for name in bounded if f"min.{name}" in names and f"max.{name}" in names]
        for name, value in (within or {}).items():
            actions = actions.filter(pc.equal(actions.column(partitions[name]), value))
        needed = ["path", "size_bytes", "num_records", *partitions.values()]
        needed += [f"{end}.{name}" for name in bounded for end in ("min", "max")]
        actions = actions.select([name for name in needed if name in names])
        counts = "num_records" if "num_records" in names else None
        return [
            LogFile(
                path=unquote(row["path"]),
                logged=row["path"],
                bytes=row["size_bytes"],
                rows=self._rows_of(unquote(row["path"])) if counts is None or row[counts] is None else row[counts],
                partition={name: row.get(column) for name, column in partitions.items()},
                bounds={name: (row[f"min.{name}"], row[f"max.{name}"]) for name in bounded},
            )
            for row in actions.to_pylist()
        ]

    def _rows_of(self, path: str) -> int:
        """The number of rows by the file's own footer, for a writer that left no statistics in the log."""
        with native_errors(self.path, path):
            return row_count(self.path, path)

    @checked
    def extent(self, files: Sequence[LogFile], column: str) -> tuple[Any, Any] | None:
        """Return the exact bounds of a column of instants in these files; None if all its values are null.

        The log's own bounds are in milliseconds, so the files at the ends say it.
        """
        slack = timedelta(milliseconds=1)
        logged = [file.bounds.get(column) for file in files]
        known = [bounds for bounds in logged if bounds is not None and None not in bounds]
        # Between these, a file cannot hold the oldest or the newest.
        try:
            inner = (min(low for low, _ in known) + slack, max(high for _, high in known) - slack) if known else None
        except OverflowError:
            # All are at one end of Python's years.
            inner = None
        schema = pa.schema([pa.field(column, pa.timestamp("us", "UTC"))])
        exact = []
        for file, bounds in zip(files, logged, strict=True):
            if inner is None or bounds is None or None in bounds or bounds[0] <= inner[0] or bounds[1] >= inner[1]:
                found = pc.min_max(self.read_data(file, schema).column(column)).as_py()
                if found["min"] is not None:
                    exact.append((found["min"], found["max"]))
        return (min(low for low, _ in exact), max(high for _, high in exact)) if exact else None


def has_plain_files(table: deltalake.DeltaTable) -> bool:
    """Whether the Parquet files that the log names hold the table's rows, and no others."""
    protocol, properties = table.protocol(), table.metadata().configuration
    features = set(protocol.reader_features or ()) if protocol.min_reader_version >= 3 else set()
    if protocol.min_reader_version == 2 or features - _PLAIN_FEATURES:
        return False
    return properties.get(_MAPPING, "none") == "none" and properties.get(_VECTORS) != "true"
