"""A Delta table through delta-rs and Arrow, without Spark: its small reads and its writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote, unquote

import deltalake
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, CommitProperties, RemoveAction, create_table_with_add_actions
from numpy.typing import NDArray

from featurestore.columnar.rows.file_layout import LIMITS, FileLimits
from featurestore.errors import InvariantError, StorageError, TableBusyError
from featurestore.stores.delta.commit_checksum import complete_checksums
from featurestore.stores.delta.data_files import DataFile, partition_text, read_file, write_files
from featurestore.stores.delta.delta_log import DeltaLog, LogFile, checked, has_plain_files
from featurestore.stores.delta.log import COMMIT, LogCommit, Transaction
from featurestore.stores.delta.native_errors import is_unsupported, native_errors
from featurestore.stores.delta.own_commits import CHANGES, UNENCODED, OwnCommit, adding, changing, removing
from featurestore.stores.delta.which_rows import Where, arrow_condition, columns_of
from featurestore.stores.writer_lock import Lock

Params = ParamSpec("Params")
Result = TypeVar("Result")

# Writer features that a writer of plain files keeps up without doing anything; so do older tables, by their properties.
_PLAIN_WRITES = frozenset({"appendOnly", "invariants", "changeDataFeed", "checkConstraints", "timestampNtz"})
_NO_PLAIN_WRITES = (
    "delta.enableRowTracking", "delta.enableDeletionVectors", "delta.enableTypeWidening", "delta.appendOnly",
)  # fmt: skip
_NOT_PLAIN_COLUMNS = ("delta.invariants", "delta.generationExpression")
_CONSTRAINTS = "delta.constraints."
# A reader opens each commit since the last checkpoint. This is Delta's own default, and delta-rs's is 100.
CHECKPOINTS = {"delta.checkpointInterval": "10"}
_TYPE_WIDENING = "typeWidening"


def _writing(
    call: Callable[Concatenate[NativeTable, Params], Result],
) -> Callable[Concatenate[NativeTable, Params], Result]:
    """Decorate a write: it holds the table's lock, and is made anew on a newer version if another commit came first."""

    @wraps(call)
    def wrapped(table: NativeTable, /, *args: Params.args, **kwargs: Params.kwargs) -> Result:
        # Readers do not need it, and it takes a while to import.
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

        again = Retrying(
            retry=retry_if_exception_type(CommitFailedError),
            wait=wait_random_exponential(multiplier=0.02, max=1),
            stop=stop_after_attempt(40),
            reraise=True,
        )
        with table.lock.held("delta-rs"):
            result = again(call, table, *args, **kwargs)
            # The commit is made; what a full disk refuses here, the next writer makes good.
            with suppress(OSError):
                table.complete_checksums()
            return result

    return checked(wrapped)


@dataclass(frozen=True)
class WriteGround:
    """A table's metadata; files that were written while it was another one may not be committed."""

    table_id: str
    schema: str
    properties: Mapping[str, str]


@dataclass(frozen=True)
class ChangedFile:
    """A file with changed rows: its path in the table's folder, and the values of its partition as text."""

    path: str
    partition: Mapping[str, str | None]


@dataclass(frozen=True)
class DoomedRows:
    """Rows of one file that are to be deleted: the mask has a value for each of its rows, in their order."""

    file: LogFile
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class NativeTable(DeltaLog):
    """A table at a local path, whose writers hold its lock, or at the URI of an object store."""

    lock: Lock

    @property
    def is_local(self) -> bool:
        return "://" not in self.path

    def complete_checksums(self) -> None:
        """Write the checksums of the newest commits of a local table, under the lock."""
        if not self.is_local:
            return
        log = Path(self.path, "_delta_log")
        versions = [int(file.stem) for file in log.glob("*.json") if COMMIT.fullmatch(file.name)]
        if versions:
            complete_checksums(log, max(versions))

    @checked
    def exists(self) -> bool:
        return self._exists()

    def _exists(self) -> bool:
        # Most tables that are asked for exist, and the library creates the folder of one that does not.
        return (not self.is_local or Path(self.path, "_delta_log").is_dir()) and deltalake.DeltaTable.is_deltatable(
            self.path
        )

    @_writing
    def create(
        self, schema: pa.Schema, partition_by: Sequence[str] = (), properties: Mapping[str, str] | None = None
    ) -> None:
        """Create the table if it does not exist; leave an existing table as it is."""
        if self._exists():
            return
        self._make_folder()
        deltalake.DeltaTable.create(
            self.path, schema, mode="ignore", partition_by=list(partition_by),
            configuration=CHECKPOINTS | dict(properties or {}), raise_if_key_not_exists=False,
        )  # fmt: skip

    @_writing
    def add_columns(self, fields: Sequence[pa.Field]) -> None:
        """Add the columns that the table lacks."""
        table = self.open_alone()
        known = {field.name.lower() for field in table.schema().fields}
        lacking = [field for field in fields if field.name.lower() not in known]
        if lacking:
            table.alter.add_columns(deltalake.Schema.from_arrow(pa.schema(lacking)).fields)

    @_writing
    def set_properties(self, properties: Mapping[str, str]) -> None:
        if properties:
            self.open_alone().alter.set_table_properties(dict(properties), raise_if_not_exists=False)

    @checked
    def history(self, limit: int | None = None) -> list[LogCommit]:
        """Return the commits that the log still has, newest first, with the times of their files, as Spark has them."""
        commits = [dict(commit) for commit in self.open().history(limit)]
        names, log = [f"{commit['version']:020}.json" for commit in commits], "_delta_log"
        # A request tells of one file, or lists up to a thousand.
        is_listed = not self.is_local and len(names) > 1
        files = self.folder.listed(log) if is_listed else self.folder.found([f"{log}/{name}" for name in names])
        written = {file.base_name: file.mtime_ns for file in files if file.is_file}
        return [
            LogCommit.of(commit | {"timestamp": written[name] // 1_000_000} if name in written else commit)
            for commit, name in zip(commits, names, strict=True)
        ]

    def _make_folder(self) -> None:
        if self.is_local:
            Path(self.path).mkdir(parents=True, exist_ok=True)

    @checked
    def takes_plain_writes(self) -> bool:
        """Whether a writer of plain Parquet files may commit; not if rows have identities, or columns can widen."""
        try:
            return _takes_plain_writes(self.open())
        except DeltaError as error:
            if is_unsupported(error):
                return False
            raise

    def _open_to_write(self) -> deltalake.DeltaTable:
        """The newest version, under the lock; raises StorageError if a plain writer would spoil it."""
        table = self.open()
        self._check_plain_writes(table)
        return table

    def _check_plain_writes(self, table: deltalake.DeltaTable) -> None:
        if not _takes_plain_writes(table):
            raise StorageError(
                f"table {self.path}: it has features that only Spark may write (deletion vectors, row tracking, type "
                "widening, constraints or append-only); nothing was written. Set small_tables to 'spark', or remove "
                "the feature"
            )

    @checked
    def has_idle_type_widening(self) -> bool:
        """Whether columns may be widened and none was, so that other readers refuse the table for nothing."""
        table = self.open()
        if _TYPE_WIDENING not in (table.protocol().reader_features or ()):
            return False
        return not any("delta.typeChanges" in field.metadata for field in table.schema().fields)

    @_writing
    def begin(self, files: Sequence[DataFile], schema: pa.Schema, metadata: str) -> None:
        """Create the table with these files, which were written into its folder, all in its first commit.

        ``metadata``: the commit's user metadata. Raises TableBusyError, and removes the files, if another writer has
        created the table.
        """
        if self._exists():
            for file in files:
                self.folder.remove(file.path)
            raise TableBusyError(
                f"table {self.path}: another writer has created it meanwhile; nothing was written. Try again"
            )
        self._make_folder()
        create_table_with_add_actions(
            self.path,
            deltalake.Schema.from_arrow(schema),
            [_add_action(file) for file in files],
            configuration=CHECKPOINTS,
            commit_properties=CommitProperties(custom_metadata=_custom_metadata(files, (), metadata)),
        )

    @_writing
    def append(
        self,
        rows: pa.Table,
        transaction: Transaction | None = None,
        metadata: str | None = None,
        limits: FileLimits = LIMITS,
    ) -> None:
        """Append rows, which are in the order of the partitions.

        With a ``transaction`` a repeated append changes nothing. ``metadata``: the commit's user metadata.
        """
        table = self._open_to_write()
        if _is_repeated(table, transaction):
            return
        by = table.metadata().partition_columns
        added = write_files(self.path, _typed(rows, pa.schema(table.schema())), by, limits)
        self._commit(table, added, (), transaction=transaction, metadata=metadata)

    @checked
    def write_ground(self) -> WriteGround:
        """What a writer of files that are committed later starts from."""
        return _ground(self.open())

    @_writing
    def append_files(
        self,
        files: Sequence[DataFile],
        ground: WriteGround,
        transaction: Transaction | None = None,
        metadata: str | None = None,
    ) -> bool:
        """Append files that were written into the table's folder since ``ground``; see ``append``.

        Returns False, and removes the files, if they must be written again: the table's metadata changed meanwhile,
        as an erasure changes it so that no older file comes in after it, or a vacuum removed some.
        """
        table = self.open()
        if _is_repeated(table, transaction):
            # Whoever wrote it: these may be the committed files themselves.
            return True
        if not self._are_current(table, files, ground):
            return False
        self._check_plain_writes(table)
        self._commit(table, files, (), transaction=transaction, metadata=metadata)
        return True

    @_writing
    def exchange_files(self, added: Sequence[DataFile], removed: Sequence[LogFile], ground: WriteGround) -> bool:
        """Put files that were written since ``ground`` in the place of others that hold the same rows.

        Returns False, and removes the files, if they must be written again: see ``append_files``, or others removed or
        rewrote one of the files meanwhile.
        """
        table = self.open()
        if not self._are_current(table, added, ground, removed):
            return False
        if sum(file.rows for file in added) != sum(file.rows for file in removed):
            raise InvariantError(
                f"table {self.path}: the rewritten files do not have as many rows as the files that they replace; "
                "nothing was committed. Please report this"
            )
        self._check_plain_writes(table)
        self._commit(table, added, removed, data_change=False, is_decided=True)
        return True

    def _are_current(
        self,
        table: deltalake.DeltaTable,
        written: Sequence[DataFile],
        ground: WriteGround,
        replaced: Sequence[LogFile] = (),
    ) -> bool:
        """Whether files that were written since ``ground`` may be committed; if not, they are removed."""
        folder, paths = self.folder, [file.path for file in written]
        live = {file.path for file in self.files_of(table)} if replaced else set()
        if (
            _ground(table) == ground
            and all(found.is_file for found in folder.found(paths))
            and all(file.path in live for file in replaced)
        ):
            return True
        for path in paths:
            folder.remove(path)
        return False

    @checked
    def has_committed(self, transaction: Transaction) -> bool:
        """Whether a commit of this transaction exists."""
        return _is_repeated(self.open(), transaction)

    def _commit(
        self,
        table: deltalake.DeltaTable,
        added: Sequence[DataFile],
        removed: Sequence[LogFile],
        data_change: bool = True,
        is_decided: bool = False,
        transaction: Transaction | None = None,
        metadata: str | None = None,
    ) -> None:
        added, removed = list(added), list(removed)
        now = int(datetime.now(UTC).timestamp() * 1000)
        for file in removed:
            if file.logged != quote(file.path, safe=UNENCODED):
                # The library encodes the path anew, and a file that is removed by another spelling stays.
                raise StorageError(
                    f"table {self.path}: {file.logged}: its path has characters that Spark and delta-rs spell "
                    "differently, so only Spark can remove it; nothing was written. Set small_tables to 'spark' for "
                    "this write"
                )
        actions: list[AddAction | RemoveAction] = [_add_action(file, data_change) for file in added]
        actions += [
            RemoveAction(
                path=file.path, data_change=data_change, deletion_timestamp=now, size=file.bytes,
                partition_values={name: partition_text(value) for name, value in file.partition.items()},
            )
            for file in removed
        ]  # fmt: skip
        properties = CommitProperties(
            custom_metadata=_custom_metadata(added, removed, metadata),
            app_transactions=None if transaction is None else [deltalake.Transaction(*transaction)],
            # What was decided by the rows of this version is decided anew on the next one. A transaction need not be:
            # the library refuses one that another writer has committed meanwhile.
            max_commit_retries=0 if is_decided else None,
        )
        table.create_write_transaction(
            actions,
            mode="append",
            schema=table.schema(),
            partition_by=table.metadata().partition_columns,
            commit_properties=properties,
        )

    @checked
    def read(self, where: Where = (), columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows that pass ``where``, with these columns, by default all; in no particular order.

        Raises StorageError if only Spark can tell which rows the table has.
        """
        table = self.open()
        if not has_plain_files(table):
            raise StorageError(
                f"table {self.path}: it has features that only Spark reads (deletion vectors or mapped columns); set "
                "small_tables to 'spark', or remove the feature"
            )
        schema = pa.schema(table.schema())
        names = list(schema.names if columns is None else columns)
        needed = pa.schema([schema.field(name) for name in dict.fromkeys((*names, *columns_of(where)))])
        condition = arrow_condition(where, schema)
        files = self._may_hold(self.files_of(table), where, schema)
        parts = [self.read_data(file, needed).filter(condition) for file in files]
        whole = pa.concat_tables(parts) if parts else needed.empty_table()
        return whole.select(names)

    @checked
    def changed_partitions(self, after: int, up_to: int) -> list[Mapping[str, str]] | None:
        """Return the partitions that got or lost rows in the versions ``after < v <= up_to``, each value as text.

        None if the log no longer has one of these commits.
        """
        parts: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        for version in range(after + 1, up_to + 1):
            try:
                actions = self.actions(version)
            except FileNotFoundError:
                return None
            for action in actions:
                file = action.get("add") or action.get("remove")
                if file is None or not file.get("dataChange"):
                    continue
                if file.get("partitionValues") is None:
                    return None
                parts[tuple(sorted(file["partitionValues"].items()))] = file["partitionValues"]
        return list(parts.values())

    @checked
    def changed_files(self, after: int, up_to: int) -> list[ChangedFile]:
        """Return the files whose rows are the Change Data Feed of the versions ``after < v <= up_to``.

        These are the files of changes of a commit, or if it has none, those that it added and removed; but for commits
        that only rewrote rows. Raises StorageError if the log no longer has a commit, or the feed was not recorded.
        """
        is_recorded = self._records_changes(dict(self.open(after + 1).metadata().configuration))
        files: list[ChangedFile] = []
        for version in range(after + 1, up_to + 1):
            actions = self.actions(version)
            for metadata in (action["metaData"] for action in actions if "metaData" in action):
                is_recorded = self._records_changes(metadata.get("configuration") or {})
            if not is_recorded:
                raise StorageError(f"table {self.path}: the Change Data Feed has no changes of version {version}")
            files += self._changed_in(actions)
        return files

    @staticmethod
    def _records_changes(properties: Mapping[str, str]) -> bool:
        return properties.get("delta.enableChangeDataFeed") == "true"

    def _changed_in(self, actions: Sequence[Mapping[str, Any]]) -> Iterator[ChangedFile]:
        """The files of changes in one commit."""
        recorded = [action["cdc"] for action in actions if "cdc" in action]
        files = [action.get("add") or action.get("remove") for action in actions]
        changed = recorded or [file for file in files if file is not None and file.get("dataChange")]
        if not recorded and any(_merged_no_row(action["commitInfo"]) for action in actions if "commitInfo" in action):
            return
        for file in changed:
            if file.get("partitionValues") is None or file.get("deletionVector") is not None:
                raise StorageError(
                    f"table {self.path}: {file['path']}: only Spark can tell which of its rows a commit changed"
                )
            yield ChangedFile(unquote(file["path"]), file["partitionValues"])

    def actions(self, version: int) -> list[dict[str, Any]]:
        """What a commit did; raises FileNotFoundError if the log no longer has it."""
        text = self.folder.read(f"_delta_log/{version:020}.json").decode()
        # Texts may hold what ``splitlines`` takes for the end of a line.
        return [json.loads(line) for line in text.split("\n") if line.strip()]

    def read_changed(self, file: ChangedFile, schema: pa.Schema) -> pa.Table:
        """Return these columns of a file of changes, none of which is a partition's."""
        with native_errors(self.path, file.path):
            return read_file(self.path, file.path, {}, schema)

    def _may_hold(self, files: Sequence[LogFile], where: Where, schema: pa.Schema) -> list[LogFile]:
        """The files of partitions that may hold rows that pass ``where``."""
        by = list(files[0].partition) if files else []
        tests = [test for test in where if columns_of([test]) <= set(by)]
        if not tests:
            return list(files)
        columns = [pa.array([file.partition[name] for file in files], schema.field(name).type) for name in by]
        table = pa.table([*columns, pa.array(range(len(files)))], [*by, "__number"])
        return [files[number] for number in table.filter(arrow_condition(tests, schema)).column("__number").to_pylist()]

    @_writing
    def replace(self, rows: pa.Table, where: Where) -> None:
        """Replace the rows that pass ``where`` with these, in one commit."""
        self._rewrite(where, lambda _: None, rows)

    @_writing
    def update(self, where: Where, values: Mapping[str, Any]) -> None:
        """Give columns new values in the rows that pass ``where``, in one commit."""

        def changed(rows: pa.Table) -> pa.Table:
            for name, value in values.items():
                place, field = rows.schema.get_field_index(name), rows.schema.field(name)
                scalar = pa.scalar(value, field.type)
                column = pa.nulls(rows.num_rows, field.type) if value is None else pa.repeat(scalar, rows.num_rows)
                rows = rows.set_column(place, field, column)
            return rows

        self._rewrite(where, changed, None)

    @_writing
    def delete(self, where: Where) -> None:
        """Delete the rows that pass ``where``, in one commit."""
        self._rewrite(where, lambda _: None, None)

    @_writing
    def compact(
        self,
        where: Where = (),
        in_order: Callable[[pa.Table], pa.Table] = lambda rows: rows,
        fewest_files: int = 2,
        limits: FileLimits = LIMITS,
    ) -> None:
        """Rewrite the files of partitions that have at least ``fewest_files`` as few ones, in one commit.

        No row changes. ``where``: a condition on partition columns. ``in_order`` sorts the rows of a partition.
        """
        table = self._open_to_write()
        schema, by = pa.schema(table.schema()), table.metadata().partition_columns
        parts: dict[tuple[Any, ...], list[LogFile]] = {}
        for file in self._may_hold(self.files_of(table), where, schema):
            parts.setdefault(tuple(file.partition.values()), []).append(file)
        chosen = [files for files in parts.values() if len(files) >= fewest_files]
        removed = [file for files in chosen for file in files]
        written = []
        for files in chosen:
            rows = pa.concat_tables([self.read_data(file, schema) for file in files])
            written += write_files(self.path, in_order(rows), by, limits)
        if removed:
            self._commit(table, written, removed, data_change=False, is_decided=True)

    @_writing
    def delete_partitions(self, where: Where) -> int:
        """Delete all rows of the partitions that pass ``where``, without reading a file; returns their number."""
        table = self._open_to_write()
        files = self._may_hold(self.files_of(table), where, pa.schema(table.schema()))
        if files:
            self._commit(table, (), files, is_decided=True)
        return sum(file.rows for file in files)

    @_writing
    def delete_rows(self, doomed: Sequence[DoomedRows]) -> bool:
        """Delete these rows in one commit, and write anew the files that keep others, in the same order.

        Returns False, and deletes nothing, if others removed or rewrote one of the files meanwhile. The Change Data
        Feed has the deleted rows alone.
        """
        table = self._open_to_write()
        live = {file.path for file in self.files_of(table)}
        if not all(rows.file.path in live for rows in doomed):
            return False
        schema, by = pa.schema(table.schema()), table.metadata().partition_columns
        kept, changes, deleted = [], [], 0
        for rows in doomed:
            whole = self.read_data(rows.file, schema)
            gone = whole.filter(pa.array(rows.mask))
            deleted += gone.num_rows
            kept += write_files(self.path, whole.filter(pa.array(~rows.mask)), by)
            changes.append(gone.append_column("_change_type", pa.repeat("delete", gone.num_rows)))
        # Where whole files go, the feed has their rows by themselves.
        has_feed = bool(kept) and table.metadata().configuration.get("delta.enableChangeDataFeed") == "true"
        told = (
            [file for rows in changes for file in write_files(f"{self.path}/{CHANGES}", rows, by)] if has_feed else []
        )
        metrics = {"numRemovedFiles": len(doomed), "numFiles": len(kept), "numDeletedRows": deleted,
                   "numOutputRows": sum(file.rows for file in kept), "numAddedChangeFiles": len(told)}  # fmt: skip
        actions = [*(removing(rows.file) for rows in doomed), *map(adding, kept), *map(changing, told)]
        commit = OwnCommit("DELETE", {}, metrics, actions)
        if not commit.is_made(self.folder, int(table.version()) + 1):
            raise CommitFailedError("another writer committed first")
        return True

    def _rewrite(self, where: Where, changed: Callable[[pa.Table], pa.Table | None], added: pa.Table | None) -> None:
        """Write anew the files with rows that pass ``where``: with what ``changed`` makes of these rows."""
        table = self._open_to_write()
        schema, by = pa.schema(table.schema()), table.metadata().partition_columns
        condition = arrow_condition(where, schema)
        removed, written = [], []
        for file in self._may_hold(self.files_of(table), where, schema):
            rows = self.read_data(file, schema)
            met = rows.filter(condition)
            if not met.num_rows:
                continue
            removed.append(file)
            kept = rows.filter(~pc.coalesce(condition, pc.scalar(False)))
            made = changed(met)
            written += write_files(self.path, kept if made is None else pa.concat_tables([kept, made]), by)
        if added is not None and added.num_rows:
            written += write_files(self.path, _typed(added, schema), by)
        if written or removed:
            self._commit(table, written, removed, is_decided=True)


def _add_action(file: DataFile, data_change: bool = True) -> AddAction:
    return AddAction(file.path, file.bytes, file.partition, file.modified, data_change, file.statistics)


def _custom_metadata(added: Sequence[DataFile], removed: Sequence[LogFile], metadata: str | None) -> dict[str, Any]:
    """What a commit says of itself, as Spark's own commits say it."""
    custom: dict[str, Any] = {
        "operationMetrics": {
            "numFiles": str(len(added)),
            "numOutputRows": str(sum(file.rows for file in added)),
            "numOutputBytes": str(sum(file.bytes for file in added)),
            "numRemovedFiles": str(len(removed)),
        }
    }
    return custom if metadata is None else custom | {"userMetadata": metadata}


def _merged_no_row(commit: Mapping[str, Any]) -> bool:
    """Whether a merge rewrote files without a change of any row; Delta's feed leaves these files out."""
    metrics = commit.get("operationMetrics") or {}
    counts = [metrics.get(f"numTargetRows{change}") for change in ("Inserted", "Updated", "Deleted")]
    return commit.get("operation") == "MERGE" and counts == ["0", "0", "0"]


def _typed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows in the table's types: Spark refuses files of others, even if Arrow could cast them."""
    return rows.cast(pa.schema([schema.field(name) for name in rows.column_names]))


def _is_repeated(table: deltalake.DeltaTable, transaction: Transaction | None) -> bool:
    if transaction is None:
        return False
    last = table.transaction_version(transaction.app_id)
    return last is not None and last >= transaction.version


def _ground(table: deltalake.DeltaTable) -> WriteGround:
    metadata = table.metadata()
    return WriteGround(str(metadata.id), table.schema().to_json(), dict(metadata.configuration))


def _takes_plain_writes(table: deltalake.DeltaTable) -> bool:
    protocol, properties = table.protocol(), table.metadata().configuration
    if protocol.min_reader_version > 1 or not set(protocol.writer_features or ()) <= _PLAIN_WRITES:
        return False
    is_free = not any(name.startswith(_CONSTRAINTS) for name in properties)
    is_plain = not any(name in _NOT_PLAIN_COLUMNS for field in table.schema().fields for name in field.metadata)
    return is_free and is_plain and not any(properties.get(name) == "true" for name in _NO_PLAIN_WRITES)
