"""Delta's VACUUM by Spark, with a chosen horizon."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from featurestore.definitions.values.time_window import from_micros
from featurestore.late_spark import SparkSession
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.file_system import exact
from featurestore.stores.sessions import separate_session
from featurestore.stores.vacuuming.history import removed_by_last_vacuum


def now(spark: SparkSession) -> datetime:
    """Return the time of the clock that stamps commits, and by which VACUUM determines the age of files."""
    [row] = spark.sql("SELECT unix_micros(current_timestamp()) AS now").collect()
    return from_micros(row["now"])


def vacuum(table: DeltaTable, horizon: timedelta) -> tuple[int, int]:
    """Remove unneeded files and empty folders; returns their number, and the bytes of the files."""
    with table.writing():
        _session(table.spark).sql(_statement(table, horizon))
    return removed_by_last_vacuum(table)


def unneeded_files(table: DeltaTable, horizon: timedelta) -> tuple[int, int]:
    """Return the number and the bytes of the files that ``vacuum`` would remove; removes nothing."""
    session = _session(table.spark)
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
    # Delta rounds to whole hours, and must not keep files for less time than the horizon. Less than an hour is none.
    hours = 0 if horizon < timedelta(hours=1) else -(-horizon // timedelta(hours=1))
    return f"VACUUM {table.sql} RETAIN {hours} HOURS"


def _session(spark: SparkSession) -> SparkSession:
    """Return a separate session: Delta's check of the horizon must stay on in the user's session."""
    session = separate_session(spark)
    session.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    # By default Delta ignores the hours that a statement names, unless they are 0, and goes by the table's properties.
    session.conf.set("spark.databricks.delta.vacuum.retentionWindowIgnore.enabled", "false")
    # VACUUM's commits then record what it removed.
    session.conf.set("spark.databricks.delta.vacuum.logging.enabled", "true")
    # The number of tasks in which Delta lists folders; on a laptop the default, 10,000, takes minutes, not seconds.
    session.conf.set("spark.sql.sources.parallelPartitionDiscovery.parallelism", _tasks(session))
    return session


def _tasks(session: SparkSession) -> str:
    return session.conf.get("spark.sql.shuffle.partitions", "200") or "200"
