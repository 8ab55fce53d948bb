"""Delta's VACUUM with a chosen horizon, and what a table's history says about removed files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from featurestore.definitions.values.time_window import from_micros
from featurestore.late_spark import SparkSession
from featurestore.stores.delta.log import LogCommit
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.file_system import exact
from featurestore.stores.sessions import separate_session

_REMOVED = ("numRemovedFiles", "numTargetFilesRemoved", "numTargetDeletionVectorsAdded", "numDeletionVectorsAdded")


@dataclass(frozen=True)
class Commit:
    """What a commit says about files: whether it removed any from the newest version, and when.

    ``vacuumed_before`` is set for a vacuum: it deleted files that had left the newest version before this instant.
    """

    version: int
    at: datetime
    removes_files: bool
    vacuumed_before: datetime | None = None

    @classmethod
    def of(cls, commit: LogCommit) -> Commit:
        vacuumed = None
        if commit.operation == "VACUUM START" and commit.metric("numFilesToDelete"):
            retention = int(commit.info["operationParameters"]["specifiedRetentionMillis"])
            vacuumed = commit.at - timedelta(milliseconds=retention)
        return cls(commit.version, commit.at, any(commit.metric(name) for name in _REMOVED), vacuumed)


def commits(table: DeltaTable) -> list[Commit]:
    """Return all commits that the table's log still holds, newest first."""
    return [Commit.of(commit) for commit in table.history()]


def spark_now(spark: SparkSession) -> datetime:
    """Return the time of the clock that stamps commits, and by which VACUUM determines the age of files."""
    [row] = spark.sql("SELECT unix_micros(current_timestamp()) AS now").collect()
    return from_micros(row["now"])


def vacuum_table(spark: SparkSession, table: DeltaTable, horizon: timedelta) -> tuple[int, int]:
    """Remove unneeded files; returns their number and their bytes."""
    with table.writing():
        _session(spark).sql(_statement(table, horizon))
    for commit in table.history(limit=10):
        if commit.operation == "VACUUM START":
            return commit.metric("numFilesToDelete"), commit.metric("sizeOfDataToDelete")
    raise AssertionError(f"the history of {table} does not contain its vacuum")


def unneeded_files(spark: SparkSession, table: DeltaTable, horizon: timedelta) -> tuple[int, int]:
    """Return the number and the bytes of the files that ``vacuum_table`` would remove; removes nothing."""
    session = _session(spark)
    listed = [row["path"] for row in session.sql(f"{_statement(table, horizon)} DRY RUN").collect()]
    # Delta lists folders, too, even those of files that stay; file names contain a dot, and folder names do not.
    paths = [path for path in listed if "." in path.rpartition("/")[2]]
    return len(paths), sum(_sizes(session, paths))


def _sizes(session: SparkSession, paths: list[str]) -> list[int]:
    if not paths:
        return []
    files: list[dict[str, Any]] = (
        session.read.format("binaryFile").load([exact(path) for path in paths]).select("length").toArrow().to_pylist()
    )
    return [file["length"] for file in files]


def _statement(table: DeltaTable, horizon: timedelta) -> str:
    return f"VACUUM {table.sql} RETAIN {horizon / timedelta(hours=1):.6f} HOURS"


def _session(spark: SparkSession) -> SparkSession:
    """Return a separate session: Delta's check of the horizon must stay on in the user's session."""
    session = separate_session(spark)
    session.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    # VACUUM's commits then record what it removed.
    session.conf.set("spark.databricks.delta.vacuum.logging.enabled", "true")
    # The number of tasks in which Delta lists folders; on a laptop the default, 10,000, takes minutes, not seconds.
    session.conf.set("spark.sql.sources.parallelPartitionDiscovery.parallelism", _tasks(session))
    return session


def _tasks(session: SparkSession) -> str:
    return session.conf.get("spark.sql.shuffle.partitions", "200") or "200"
