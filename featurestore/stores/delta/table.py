"""Delta tables by path or by catalog name: create, append, read, history. The only place that spells table SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

import delta.exceptions
import delta.tables
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql.types import StructField, StructType
from pyspark.sql.utils import is_remote
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from featurestore.stores.delta.log_remains import check_log
from featurestore.stores.storage_faults import storage_errors

Asked = ParamSpec("Asked")
Given = TypeVar("Given")

# That another writer committed first. In Python, unlike in Java, none of these is a kind of another.
CONFLICTS = (
    delta.exceptions.ConcurrentAppendException,
    delta.exceptions.ConcurrentDeleteDeleteException,
    delta.exceptions.ConcurrentDeleteReadException,
    delta.exceptions.ConcurrentTransactionException,
    delta.exceptions.ConcurrentWriteException,
    delta.exceptions.DeltaConcurrentModificationException,
    delta.exceptions.MetadataChangedException,
    delta.exceptions.ProtocolChangedException,
)
# What was read is read again, and the change made anew. With these waits a writer stands aside for some minutes before it
# gives up and says so.
_again = retry(
    retry=retry_if_exception_type(CONFLICTS),
    wait=wait_random_exponential(multiplier=0.2, max=20),
    stop=stop_after_attempt(15),
    reraise=True,
)


def _checked(call: Callable[Asked, Given]) -> Callable[Asked, Given]:
    """A table's method that names the table, and the file, in faults of its storage; also in those that Delta passes over."""

    @wraps(call)
    def wrapped(*given: Asked.args, **named: Asked.kwargs) -> Given:
        table = given[0]
        assert isinstance(table, DeltaTable)
        if table.path is not None:
            check_log(table.path, table.begins_with_rows)
        with storage_errors(str(table)):
            return call(*given, **named)

    return wrapped


def _with_retries(write: Callable[Asked, Given]) -> Callable[Asked, Given]:
    """A write that is retried where another came first, and tells faults of the storage plainly."""
    return _checked(_again(write))


def quote(identifier: str) -> str:
    """A Spark SQL identifier, whatever characters it has."""
    return "`" + identifier.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A Spark SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def column_sql(field: StructField) -> str:
    """A column as CREATE TABLE and ADD COLUMNS spell it."""
    return f"{quote(field.name)} {field.dataType.simpleString()}"


def in_few_files(rows: DataFrame, *by: str) -> DataFrame:
    """The rows spread over tasks so that each value of ``by`` is written as few files; without ``by``, all of them.

    Adaptive execution joins what is small, and cuts a value that is huge into several tasks. Spark ignores the hint where that
    is off: then a value is one task's work and one file, however large.
    """
    if (rows.sparkSession.conf.get("spark.sql.adaptive.enabled") or "").lower() != "false":
        return rows.hint("rebalance", *by)
    return rows.repartition(*by) if by else rows.repartition(1)


def _pairs(properties: Mapping[str, str]) -> str:
    return ", ".join(f"{literal(key)} = {literal(value)}" for key, value in properties.items())


@dataclass(frozen=True)
class Transaction:
    """An append that happens once: Delta skips a second one of the same application id and version."""

    app_id: str
    version: int = 1


@dataclass(frozen=True)
class DeltaTable:
    """One Delta table, at a path or under a catalog name; exactly one of the two."""

    path: str | None = None
    name: tuple[str, ...] = ()
    # Its first commit is one of rows; other tables are created empty.
    begins_with_rows: bool = False

    @property
    def sql(self) -> str:
        return f"delta.{quote(self.path)}" if self.path is not None else ".".join(quote(part) for part in self.name)

    def __str__(self) -> str:
        return self.path if self.path is not None else ".".join(self.name)

    @_checked
    def exists(self, spark: SparkSession) -> bool:
        if self.path is None:
            return spark.catalog.tableExists(self.sql)
        # Many tables come with their first row, and are asked for often before: an answer from the file system is enough.
        if not is_remote() and not delta.tables.DeltaTable.isDeltaTable(spark, self.path):
            return False
        try:
            # A client of Spark Connect asks its server only now.
            _ = spark.read.format("delta").load(self.path).schema
        except AnalysisException as error:
            if error.getCondition() in ("PATH_NOT_FOUND", "DELTA_TABLE_NOT_FOUND", "DELTA_PATH_DOES_NOT_EXIST"):
                return False
            if error.getCondition() == "DELTA_READ_TABLE_WITHOUT_COLUMNS":
                return True
            raise
        return True

    @_checked
    def create(
        self,
        spark: SparkSession,
        schema: StructType,
        partitioned_by: Sequence[str] = (),
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """Create the table where it is not there yet; a table that is there is left as it is."""
        partition = f" PARTITIONED BY ({', '.join(quote(name) for name in partitioned_by)})" if partitioned_by else ""
        pairs = _pairs(properties or {})
        tail = f" TBLPROPERTIES ({pairs})" if pairs else ""
        body = ", ".join(column_sql(column) for column in schema)
        spark.sql(f"CREATE TABLE IF NOT EXISTS {self.sql} ({body}) USING DELTA{partition}{tail}")

    @_with_retries
    def add_columns(self, spark: SparkSession, columns: Sequence[StructField]) -> None:
        if columns:
            spark.sql(f"ALTER TABLE {self.sql} ADD COLUMNS ({', '.join(column_sql(column) for column in columns)})")

    @_with_retries
    def change_type(self, spark: SparkSession, column: StructField) -> None:
        """Widen a column's type in place (Delta type widening)."""
        spark.sql(f"ALTER TABLE {self.sql} ALTER COLUMN {quote(column.name)} TYPE {column.dataType.simpleString()}")

    @_with_retries
    def set_properties(self, spark: SparkSession, properties: Mapping[str, str]) -> None:
        if properties:
            spark.sql(f"ALTER TABLE {self.sql} SET TBLPROPERTIES ({_pairs(properties)})")

    @_with_retries
    def append(self, rows: DataFrame, transaction: Transaction | None = None, metadata: str | None = None) -> None:
        writer = rows.write.format("delta").mode("append")
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
        """Put the rows in the place of those that the SQL condition is true for, in one commit; they must all meet it."""
        self._overwrite(rows, where, data_change=True)

    @_with_retries
    def lay_out_anew(self, spark: SparkSession, where: str, laid_out: Callable[[DataFrame], DataFrame]) -> None:
        """Write the rows that the SQL condition is true for anew, the same rows in other files, in one commit.

        The Change Data Feed shows nothing, and rows that are appended meanwhile are no conflict: they stay where they
        are. Each try reads them anew; a frame that was made before another's commit would meet it in every try.
        """
        self._overwrite(laid_out(self.read(spark).where(where)), where, data_change=False)

    def _overwrite(self, rows: DataFrame, where: str, data_change: bool) -> None:
        writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", where)
        writer = writer.option("dataChange", str(data_change).lower())
        if self.path is not None:
            writer.save(self.path)
        else:
            writer.saveAsTable(self.sql)

    @_checked
    def read(self, spark: SparkSession, version: int | None = None) -> DataFrame:
        """All rows of the newest version, or of the given one; the snapshot is fixed when this returns."""
        if version is None and is_remote():
            # Each query of the frame would find the version that is the newest then.
            version = self.version(spark)
        reader = spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.path) if self.path is not None else reader.table(self.sql)

    def changes(self, spark: SparkSession, start_version: int, end_version: int) -> DataFrame:
        """Rows that the commits from ``start_version`` to ``end_version``, both included, inserted, updated or deleted, with
        ``_change_type``, ``_commit_version`` and ``_commit_timestamp``: the Change Data Feed.

        What the log or the files do not hold any more is an error, of this call or of the query.
        """
        reader = spark.read.format("delta").option("readChangeFeed", "true")
        reader = reader.option("startingVersion", start_version).option("endingVersion", end_version)
        return reader.load(self.path) if self.path is not None else reader.table(self.sql)

    @_with_retries
    def delete(self, spark: SparkSession, condition: Column) -> None:
        """Delete the rows that the condition is true for; where it is of partition columns alone, files are not read."""
        self._api(spark).delete(condition)

    @_with_retries
    def delete_partitions(self, spark: SparkSession, where: str) -> int:
        """Delete the rows that a SQL condition on partition columns is true for, without a look into their files; gives
        how many there were."""
        [told] = spark.sql(f"DELETE FROM {self.sql} WHERE {where}").collect()
        return int(told["num_affected_rows"])

    @_with_retries
    def delete_matched(self, source: DataFrame, condition: Column) -> int:
        """Delete the rows (``target``) that meet a row of ``source`` under the condition; gives how many there were."""
        target = self._api(source.sparkSession).alias("target")
        merged = target.merge(source.alias("source"), condition).whenMatchedDelete().execute()
        [told] = merged.collect()
        return int(told["num_deleted_rows"])

    @_with_retries
    def update(self, spark: SparkSession, condition: Column, values: Mapping[str, Column]) -> None:
        self._api(spark).update(condition, dict(values))

    @_with_retries
    def update_matched(self, source: DataFrame, condition: Column, values: Mapping[str, Column]) -> None:
        """Update the rows (``target``) that meet a row of ``source`` under the condition; no row may meet two."""
        target = self._api(source.sparkSession).alias("target")
        target.merge(source.alias("source"), condition).whenMatchedUpdate(set=dict(values)).execute()

    def drop(self, spark: SparkSession) -> None:
        """Drop a table of the catalog, where it is there; the files of a table at a path are not the catalog's to remove."""
        spark.sql(f"DROP TABLE IF EXISTS {self.sql}")

    def _api(self, spark: SparkSession) -> delta.tables.DeltaTable:
        if self.path is not None:
            return delta.tables.DeltaTable.forPath(spark, self.path)
        return delta.tables.DeltaTable.forName(spark, self.sql)

    @_checked
    def history(self, spark: SparkSession, limit: int | None = None) -> list[Row]:
        """Commits, newest first, with ``version``, ``operation``, ``userMetadata`` and ``operationMetrics``."""
        tail = f" LIMIT {int(limit)}" if limit is not None else ""
        return spark.sql(f"DESCRIBE HISTORY {self.sql}{tail}").collect()

    @_checked
    def detail(self, spark: SparkSession) -> Row:
        """What the table is, with ``location`` (a URI) and ``properties``."""
        return spark.sql(f"DESCRIBE DETAIL {self.sql}").collect()[0]

    @_with_retries
    def purge_deletion_vectors(self, spark: SparkSession) -> None:
        """Rewrite the files of which rows are deleted only by name; only a table that allows such has any."""
        spark.sql(f"REORG TABLE {self.sql} APPLY (PURGE)")

    def version(self, spark: SparkSession) -> int:
        return int(self.history(spark, limit=1)[0]["version"])
