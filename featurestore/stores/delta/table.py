"""Delta tables by path or by catalog name: create, append, read, history. The only place that spells table SQL."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, wraps
from typing import ParamSpec, TypeVar

import pyarrow as pa

from featurestore.columnar.rows.file_layout import DICTIONARY_BYTES, ROW_GROUP_BYTES, ROW_GROUP_ROWS
from featurestore.late_spark import (
    Column,
    DataFrame,
    Row,
    SparkSession,
    StructField,
    StructType,
    delta_exceptions,
    delta_tables,
    from_arrow_schema,
    from_arrow_type,
    is_remote,
    spark_errors,
    to_arrow_schema,
)
from featurestore.stores.delta.delta_log import DeltaLog
from featurestore.stores.delta.log import LogCommit, Transaction
from featurestore.stores.delta.log_remains import check_log
from featurestore.stores.delta.native_errors import UnsupportedTableError
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.object_commits import check_commits
from featurestore.stores.sessions import session_with
from featurestore.stores.storage_faults import storage_errors
from featurestore.stores.writer_lock import Lock

Params = ParamSpec("Params")
Result = TypeVar("Result")
Reader = TypeVar("Reader", bound=DeltaLog)


@cache
def conflicts() -> tuple[type[Exception], ...]:
    """Delta's errors that another writer committed first. In Python, unlike in Java, none is a subclass of another."""
    return (
        delta_exceptions.ConcurrentAppendException,
        delta_exceptions.ConcurrentDeleteDeleteException,
        delta_exceptions.ConcurrentDeleteReadException,
        delta_exceptions.ConcurrentTransactionException,
        delta_exceptions.ConcurrentWriteException,
        delta_exceptions.DeltaConcurrentModificationException,
        delta_exceptions.MetadataChangedException,
        delta_exceptions.ProtocolChangedException,
    )


# As our own files have them.
_ROW_GROUPS = {
    "parquet.block.size": str(ROW_GROUP_BYTES),
    "parquet.block.row.count.limit": str(ROW_GROUP_ROWS),
    "parquet.dictionary.page.size": str(DICTIONARY_BYTES),
}
_NEEDS_FEATURES = ("delta.enable", "delta.feature.", "delta.columnMapping.", "delta.checkpointPolicy")


def _checked(call: Callable[Params, Result]) -> Callable[Params, Result]:
    """Decorate a table's method: storage faults, including those that Delta ignores, name the table and the file."""

    @wraps(call)
    def wrapped(*args: Params.args, **kwargs: Params.kwargs) -> Result:
        table = args[0]
        assert isinstance(table, DeltaTable)
        # PySpark raises Delta's errors as such once the module that has them is loaded.
        conflicts()
        if table.path is not None:
            check_log(table.path, table.begins_with_rows)
        with storage_errors(str(table)):
            return call(*args, **kwargs)

    return wrapped


def _with_retries(write: Callable[Params, Result]) -> Callable[Params, Result]:
    """Decorate a write by Spark: it holds the table's lock, and is retried if another writer committed first.

    Storage faults are reported as ``_checked`` does.
    """

    @wraps(write)
    def wrapped(*args: Params.args, **kwargs: Params.kwargs) -> Result:
        table = args[0]
        assert isinstance(table, DeltaTable)
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

        # A retry reads again and makes the change anew. With these waits a writer retries for some minutes.
        again = Retrying(
            retry=retry_if_exception_type(conflicts()),
            wait=wait_random_exponential(multiplier=0.2, max=20),
            stop=stop_after_attempt(15),
            reraise=True,
        )
        if table.path is not None and not table.is_sole_writer:
            check_commits(table.session, table.path)
        with table.writing():
            return again(write, *args, **kwargs)

    return _checked(wrapped)


def quote(identifier: str) -> str:
    """Return a Spark SQL identifier; it may contain any characters."""
    return "`" + identifier.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Return a Spark SQL string literal, in which Spark replaces no variable such as ``${name}``."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\u0024{") + "'"


def column_sql(field: StructField) -> str:
    """Return the column's definition for CREATE TABLE and ADD COLUMNS."""
    return f"{quote(field.name)} {field.dataType.simpleString()}"


def spark_schema(schema: pa.Schema) -> StructType:
    """An Arrow schema in Spark's types."""
    return from_arrow_schema(schema, prefer_timestamp_ntz=True)


def _either(reader: Reader | None, natively: Callable[[Reader], Result], by_spark: Callable[[], Result]) -> Result:
    """By delta-rs if there is a ``reader``, and it knows all that is in the table's log; else by Spark."""
    if reader is None:
        return by_spark()
    try:
        return natively(reader)
    except UnsupportedTableError:
        return by_spark()


def _pairs(properties: Mapping[str, str]) -> str:
    return ", ".join(f"{literal(key)} = {literal(value)}" for key, value in properties.items())


@dataclass(frozen=True)
class DeltaTable:
    """One Delta table, at a path or under a catalog name; exactly one of the two."""

    session: Callable[[], SparkSession] = field(compare=False, repr=False)
    path: str | None = None
    name: tuple[str, ...] = ()
    # The table's first commit contains rows; other tables are created empty.
    begins_with_rows: bool = False
    # The same table, written without Spark; None if only Spark may write it.
    native: NativeTable | None = field(default=None, compare=False, repr=False)
    # Its log and its files without Spark; None if only Spark may read them.
    log: DeltaLog | None = field(default=None, compare=False, repr=False)
    # Whether no other process writes the table, so that Spark's commits need not be safe from others'.
    is_sole_writer: bool = field(default=True, compare=False, repr=False)
    # Held by each write; None if Spark's commits need none.
    lock: Lock | None = field(default=None, compare=False, repr=False)

    @property
    def spark(self) -> SparkSession:
        """The session that reads and writes the table; starts Spark if none runs yet."""
        return self.session()

    def within(self, spark: SparkSession) -> DeltaTable:
        """The same table, read and written by another session alone, whose settings then hold for every commit."""
        return dataclasses.replace(self, session=lambda: spark, native=None, log=None)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the table's lock while Spark writes it."""
        if self.lock is None:
            yield
        else:
            with self.lock.held("Spark"):
                yield

    @property
    def sql(self) -> str:
        return f"delta.{quote(self.path)}" if self.path is not None else ".".join(quote(part) for part in self.name)

    def __str__(self) -> str:
        return self.path if self.path is not None else ".".join(self.name)

    def exists(self) -> bool:
        return self._exists() if self.native is None else self.native.exists()

    @_checked
    def _exists(self) -> bool:
        if self.path is None:
            return self.spark.catalog.tableExists(self.sql)
        # Many tables are created with their first row and looked up often before; the file system answers fastest.
        if not is_remote() and not delta_tables.DeltaTable.isDeltaTable(self.spark, self.path):
            return False
        try:
            # A Spark Connect client sends its request only here.
            _ = self.spark.read.format("delta").load(self.path).schema
        except spark_errors.AnalysisException as error:
            if error.getCondition() in ("PATH_NOT_FOUND", "DELTA_TABLE_NOT_FOUND", "DELTA_PATH_DOES_NOT_EXIST"):
                return False
            if error.getCondition() == "DELTA_READ_TABLE_WITHOUT_COLUMNS":
                return True
            raise
        return True

    def create(
        self, schema: pa.Schema, partitioned_by: Sequence[str] = (), properties: Mapping[str, str] | None = None
    ) -> None:
        """Create the table if it does not exist; leave an existing table as it is."""
        if self.native is not None:
            return self.native.create(schema, partitioned_by, properties)
        return self._create(schema, partitioned_by, properties or {})

    @_with_retries
    def _create(self, schema: pa.Schema, partitioned_by: Sequence[str], properties: Mapping[str, str]) -> None:
        partition = f" PARTITIONED BY ({', '.join(quote(name) for name in partitioned_by)})" if partitioned_by else ""
        pairs = _pairs(properties)
        tail = f" TBLPROPERTIES ({pairs})" if pairs else ""
        body = ", ".join(column_sql(column) for column in spark_schema(schema))
        self.spark.sql(f"CREATE TABLE IF NOT EXISTS {self.sql} ({body}) USING DELTA{partition}{tail}")

    def schema(self) -> pa.Schema:
        """The columns of the newest version."""
        return _either(self.log, lambda log: log.schema(), lambda: to_arrow_schema(self.read().schema))

    def add_columns(self, columns: Sequence[pa.Field]) -> None:
        """Add columns that the table lacks."""
        if not columns:
            return None
        if self.native is not None and self.native.takes_plain_writes():
            return self.native.add_columns(columns)
        return self._add_columns(columns)

    @_with_retries
    def _add_columns(self, columns: Sequence[pa.Field]) -> None:
        added = ", ".join(column_sql(column) for column in spark_schema(pa.schema(columns)))
        self.spark.sql(f"ALTER TABLE {self.sql} ADD COLUMNS ({added})")

    @_with_retries
    def change_type(self, column: pa.Field) -> None:
        """Widen a column's type in place (Delta type widening): its files stay as they are.

        Other readers than Spark refuse the table from then on, so the feature is enabled only once a column needs it.
        """
        # By Spark, which enables the feature with the property; delta-rs would set the property alone.
        self.spark.sql(f"ALTER TABLE {self.sql} SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true')")
        kind = from_arrow_type(column.type).simpleString()
        self.spark.sql(f"ALTER TABLE {self.sql} ALTER COLUMN {quote(column.name)} TYPE {kind}")

    def drop_idle_type_widening(self) -> None:
        """Let other readers open a table whose columns may be widened and never were; others stay as they are.

        Delta does this at once. Every version stays, and a column can be widened later. The log alone decides whether
        there is anything to do; a log that only Spark reads is not looked at.
        """
        if self.native is None or not _either(
            self.native, lambda native: native.has_idle_type_widening(), lambda: False
        ):
            return
        with self.writing():
            # Another writer may have done it, or widened a column, before this one held the lock.
            if self.native.has_idle_type_widening():
                self._drop_type_widening()

    @_with_retries
    def _drop_type_widening(self) -> None:
        self.spark.sql(f"ALTER TABLE {self.sql} DROP FEATURE typeWidening")

    def table_id(self) -> str:
        """The id that the table got when it was created."""
        return _either(self.log, lambda log: log.table_id(), lambda: str(self.detail()["id"]))

    def properties(self) -> Mapping[str, str]:
        return _either(self.log, lambda log: log.properties(), lambda: dict(self.detail()["properties"]))

    def set_properties(self, properties: Mapping[str, str]) -> None:
        if not properties:
            return None
        # Delta-rs sets a property without the table feature that Delta demands with it.
        is_plain = not any(name.startswith(_NEEDS_FEATURES) for name in properties)
        if self.native is not None and is_plain and self.native.takes_plain_writes():
            return self.native.set_properties(properties)
        return self._set_properties(properties)

    @_with_retries
    def _set_properties(self, properties: Mapping[str, str]) -> None:
        self.spark.sql(f"ALTER TABLE {self.sql} SET TBLPROPERTIES ({_pairs(properties)})")

    @_with_retries
    def append(
        self,
        rows: DataFrame,
        transaction: Transaction | None = None,
        metadata: str | None = None,
        rows_of_file: int | None = None,
    ) -> None:
        """Append rows. With ``rows_of_file``, a task that has more of them writes several files."""
        writer = rows.write.format("delta").mode("append")
        if rows_of_file is not None:
            writer = writer.option("maxRecordsPerFile", rows_of_file)
        if transaction is not None:
            writer = writer.option("txnAppId", transaction.app_id).option("txnVersion", transaction.version)
        if metadata is not None:
            writer = writer.option("userMetadata", metadata)
        if self.path is not None:
            writer.save(self.path)
        else:
            writer.saveAsTable(self.sql)

    @_with_retries
    def replace(self, rows: DataFrame, where: str) -> None:
        """Replace the rows that match the SQL condition, in one commit; all new rows must match it, too."""
        self._overwrite(rows, where, data_change=True)

    @_with_retries
    def lay_out_anew(self, where: str, laid_out: Callable[[DataFrame], DataFrame]) -> None:
        """Rewrite the rows that match the SQL condition, unchanged, into other files, in one commit.

        The Change Data Feed records nothing. Rows that others append meanwhile cause no conflict and stay in place.
        Each retry reads the rows again: a frame made before another writer's commit would conflict with it every time.
        """
        # Delta takes the size of row groups only from the session, which belongs to the user.
        table = self.within(session_with(self.spark, _ROW_GROUPS))
        table._overwrite(laid_out(table.read().where(where)), where, data_change=False)

    def _overwrite(self, rows: DataFrame, where: str, data_change: bool) -> None:
        writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", where)
        writer = writer.option("dataChange", str(data_change).lower())
        if self.path is not None:
            writer.save(self.path)
        else:
            writer.saveAsTable(self.sql)

    @_checked
    def read(self, version: int | None = None) -> DataFrame:
        """Return all rows of the newest version, or of ``version``; the snapshot is fixed when this returns."""
        if version is None and is_remote():
            # Otherwise each query of the frame would read the version that is newest at that time.
            version = self.version()
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.path) if self.path is not None else reader.table(self.sql)

    def changes(self, start_version: int, end_version: int) -> DataFrame:
        """Read the Change Data Feed from ``start_version`` to ``end_version``, both inclusive.

        One row per inserted, updated or deleted row, with ``_change_type``, ``_commit_version`` and
        ``_commit_timestamp``. If the log or the files no longer contain a version, this call or the query raises.
        """
        reader = self.spark.read.format("delta").option("readChangeFeed", "true")
        reader = reader.option("startingVersion", start_version).option("endingVersion", end_version)
        return reader.load(self.path) if self.path is not None else reader.table(self.sql)

    @_with_retries
    def delete(self, condition: Column) -> None:
        """Delete the rows that match the condition; if it uses only partition columns, no files are read."""
        self._api().delete(condition)

    @_with_retries
    def delete_partitions(self, where: str) -> int:
        """Delete the rows that match a condition on partition columns, without reading files; returns their number."""
        [metrics] = self.spark.sql(f"DELETE FROM {self.sql} WHERE {where}").collect()
        return int(metrics["num_affected_rows"])

    @_with_retries
    def delete_matched(self, source: DataFrame, condition: Column) -> int:
        """Delete the rows (``target``) that match a row of ``source`` by the condition; returns their number."""
        target = self._api().alias("target")
        [metrics] = target.merge(source.alias("source"), condition).whenMatchedDelete().execute().collect()
        return int(metrics["num_deleted_rows"])

    @_with_retries
    def update(self, condition: Column, values: Mapping[str, Column]) -> None:
        self._api().update(condition, dict(values))

    @_with_retries
    def update_matched(self, source: DataFrame, condition: Column, values: Mapping[str, Column]) -> None:
        """Update the rows (``target``) that match a row of ``source`` by the condition; no row may match two."""
        target = self._api().alias("target")
        target.merge(source.alias("source"), condition).whenMatchedUpdate(set=dict(values)).execute()

    def drop(self) -> None:
        """Drop a catalog's table if it exists; the catalog does not remove the files of a table at a path."""
        self.spark.sql(f"DROP TABLE IF EXISTS {self.sql}")

    def _api(self) -> delta_tables.DeltaTable:
        if self.path is not None:
            return delta_tables.DeltaTable.forPath(self.spark, self.path)
        return delta_tables.DeltaTable.forName(self.spark, self.sql)

    def history(self, limit: int | None = None) -> list[LogCommit]:
        """Return the commits that the log still has, newest first."""
        return _either(self.native, lambda native: native.history(limit), lambda: self._history(limit))

    @_checked
    def _history(self, limit: int | None) -> list[LogCommit]:
        tail = f" LIMIT {int(limit)}" if limit is not None else ""
        rows = self.spark.sql(f"DESCRIBE HISTORY {self.sql}{tail}").collect()
        return [LogCommit.of(row.asDict(recursive=True)) for row in rows]

    @_checked
    def detail(self) -> Row:
        """Return the table's description, with ``location`` (a URI) and ``properties``."""
        return self.spark.sql(f"DESCRIBE DETAIL {self.sql}").collect()[0]

    @_with_retries
    def purge_deletion_vectors(self) -> None:
        """Rewrite the files with rows that only a deletion vector marks as deleted; many tables have none."""
        self.spark.sql(f"REORG TABLE {self.sql} APPLY (PURGE)")

    def may_have_committed(self, transaction: Transaction) -> bool:
        """Whether a commit of this transaction exists; True if only its history can tell."""
        return _either(self.native, lambda native: native.has_committed(transaction), lambda: True)

    def version(self) -> int:
        """The number of the newest version."""
        return _either(self.log, lambda log: log.version(), lambda: self._history(1)[0].version)
