"""Delta's VACUUM with a horizon that is given, and what a table's history tells of files that were needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql import Row, SparkSession

from featurestore.definitions.values.time_window import from_micros
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.file_system import exact
from featurestore.stores.sessions import separate_session

_REMOVED = ("numRemovedFiles", "numTargetFilesRemoved", "numTargetDeletionVectorsAdded", "numDeletionVectorsAdded")


@dataclass(frozen=True)
class Commit:
    """What a commit says of files: whether it took any out of the newest version, and when.

    ``vacuumed_before``: of a vacuum, since when files must have been out of the newest version to stay on disk.
    """

    version: int
    at: datetime
    removes_files: bool
    vacuumed_before: datetime | None = None

    @classmethod
    def of(cls, row: Row) -> Commit:
        metrics: Mapping[str, str] = row["operationMetrics"] or {}
        # Spark gives the process's local time, with the fold of an hour that comes twice.
        at = row["timestamp"].astimezone(UTC)
        vacuumed = None
        if row["operation"] == "VACUUM START" and metrics.get("numFilesToDelete", "0") != "0":
            vacuumed = at - timedelta(milliseconds=int(row["operationParameters"]["specifiedRetentionMillis"]))
        return cls(int(row["version"]), at, any(metrics.get(name, "0") != "0" for name in _REMOVED), vacuumed)


def commits(spark: SparkSession, table: DeltaTable) -> list[Commit]:
    """All that the table's log still holds, newest first."""
    return [Commit.of(row) for row in table.history(spark)]


def spark_now(spark: SparkSession) -> datetime:
    """The clock that commits are stamped by, and by which VACUUM tells how old a file is."""
    [row] = spark.sql("SELECT unix_micros(current_timestamp()) AS now").collect()
    return from_micros(row["now"])


def vacuum_table(spark: SparkSession, table: DeltaTable, horizon: timedelta) -> tuple[int, int]:
    """Remove files; gives how many, and their bytes."""
    session = _session(spark)
    session.sql(_statement(table, horizon))
    for row in table.history(session, limit=10):
        if row["operation"] == "VACUUM START":
            metrics = row["operationMetrics"]
            return int(metrics["numFilesToDelete"]), int(metrics["sizeOfDataToDelete"])
    raise AssertionError(f"the history of {table} does not tell of its vacuum")


def unneeded_files(spark: SparkSession, table: DeltaTable, horizon: timedelta) -> tuple[int, int]:
    """The same of what would be removed; removes nothing."""
    session = _session(spark)
    listed = [row["path"] for row in session.sql(f"{_statement(table, horizon)} DRY RUN").collect()]
    # Folders are listed, too, also those of files that stay; no folder's name has a dot, and every file's has.
    paths = [path for path in listed if "." in path.rpartition("/")[2]]
    return len(paths), sum(_sizes(session, paths))


def _sizes(session: SparkSession, paths: list[str]) -> list[int]:
    if not paths:
        return []
    told: list[dict[str, Any]] = (
        session.read.format("binaryFile").load([exact(path) for path in paths]).select("length").toArrow().to_pylist()
    )
    return [row["length"] for row in told]


def _statement(table: DeltaTable, horizon: timedelta) -> str:
    return f"VACUUM {table.sql} RETAIN {horizon / timedelta(hours=1):.6f} HOURS"


def _session(spark: SparkSession) -> SparkSession:
    """Ours: in a session that is somebody else's, Delta's own check of the horizon must stay as it is."""
    session = separate_session(spark)
    session.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    # The commits that VACUUM leaves tell what it removed.
    session.conf.set("spark.databricks.delta.vacuum.logging.enabled", "true")
    # Delta lists folders in so many tasks; the default, 10,000, takes minutes on a laptop where seconds are enough.
    session.conf.set("spark.sql.sources.parallelPartitionDiscovery.parallelism", _tasks(session))
    return session


def _tasks(session: SparkSession) -> str:
    return session.conf.get("spark.sql.shuffle.partitions", "200") or "200"
