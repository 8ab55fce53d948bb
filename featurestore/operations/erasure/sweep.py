"""Sweep some entities out of one table: their rows, every file that ever held them, and their values in the log.

Writers need not stop. The sweep deletes the rows and then commits a change of the table's properties, called the
barrier. A write that began before the barrier cannot commit after it; the write starts again. So a file that is older
than the barrier and not in the newest version will never be in any version: if it holds a row of the entities, the
sweep removes it. A younger file that holds such a row belongs to a write in progress: then the sweep makes another
pass.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import date
from uuid import uuid4

from featurestore.errors import ErasureError
from featurestore.frames.as_of.key_filter import with_keys
from featurestore.frames.rows.rows_of_entity import TARGET, rows_met
from featurestore.frames.timestamps import date_literal
from featurestore.late_spark import Column, DataFrame, F, SparkSession, StructType
from featurestore.operations.context import Context
from featurestore.stores.delta.log import DeltaLog
from featurestore.stores.delta.log_cleaning import LogCleaner
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.delta.table_files import StoredFile, TableFiles, inside
from featurestore.stores.sessions import separate_session

MARK, FILES = "featurestore_erasure", "files"
BARRIER = "featurestore.erasure"
# A write that is in progress during the first pass ends or fails before one of the next passes.
_ATTEMPTS = 10
# A condition names at most this many dates; with longer lists Spark would not use file statistics.
_LISTED_DATES = 1000


@dataclass(frozen=True)
class Sweep:
    """The plan of one table's sweep: what to erase from it.

    ``keys``: one row per entity. ``condition``: matches the entities' rows in the table
    (``frames.rows.rows_of_entity``), on the columns of ``schema``. ``partition``: partition columns and their values,
    to sweep only a part of a shared table.
    """

    table: DeltaTable
    keys: DataFrame
    condition: Column
    schema: StructType
    partition: Mapping[str, str] = field(default_factory=dict)
    # The join keys by which the table's files are sorted, if they are columns of the table.
    listed: tuple[str, ...] = ()
    # New values of columns, for rows that are updated instead of deleted.
    replaced: Mapping[str, Column] | None = None
    # Computes from the table's rows what the condition compares them with, if that is more than the keys.
    compared_with: Callable[[DataFrame], DataFrame] | None = None

    def sources(self, rows: DataFrame) -> DataFrame:
        """The rows that the condition compares these rows with."""
        return self.keys if self.compared_with is None else self.compared_with(rows)


@dataclass(frozen=True)
class Swept:
    """What a sweep did, including interrupted earlier attempts; all of it is read from the table's own log."""

    rows: int
    version_before: int | None
    version_after: int | None
    files: int
    bytes: int
    log_files: int


def erasing_session(spark: SparkSession) -> SparkSession:
    """A separate session for an erasure: the metadata of its commits names the erasure."""
    session = separate_session(spark)
    session.conf.set("spark.sql.session.timeZone", "UTC")
    # Write files of the log again in the format that Delta uses.
    session.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    session.conf.set("spark.sql.parquet.datetimeRebaseModeInWrite", "CORRECTED")
    return session


def sweep(context: Context, plan: Sweep, erasure_id: str) -> Swept:
    """Erase what the plan names. Safe to repeat. Raises ErasureError, ConfigurationError."""
    spark = plan.keys.sparkSession
    # This session's settings name the erasure in each commit.
    plan = replace(plan, table=plan.table.within(spark))
    files = TableFiles(spark, context.files, plan.table, plan.partition)
    files.check_names()
    mark = {MARK: erasure_id, **plan.partition}
    _set_commit_metadata(spark, mark)
    barrier = 0
    for _ in range(_ATTEMPTS):
        if _delete_rows(plan, files):
            context.step("erase.rows")
        version, live = files.log.newest_version(), files.live()
        holding, unreadable = _unreferenced_files(plan, files, live)
        # An unreadable file belongs to a crashed write or to one in progress; one barrier distinguishes them.
        if holding or (unreadable and not barrier):
            doomed = [*holding, *unreadable]
            _set_commit_metadata(spark, {**mark, FILES: {file.name: file.bytes for file in doomed}})
            barrier = _commit_barrier(plan.table, files)
            _set_commit_metadata(spark, mark)
            version, live = files.log.newest_version(), files.live()
            removable = [file for file in doomed if file.modified < barrier and file.name not in live]
            files.remove(removable)
            context.step("erase.files")
            if len(removable) < len(doomed):
                continue
        if not _dates_of_rows(plan):
            # A writer adds a checksum to its commit, which must be that of the cleaned one.
            with plan.table.writing():
                changed = LogCleaner(spark, files.log, live, plan.partition, version, barrier).clean()
            context.step("erase.log")
            return _swept(files.log, mark, changed)
    raise ErasureError(
        f"table {plan.table}: after {_ATTEMPTS} passes a write in progress still holds an entity that is being erased; "
        "end the jobs that write it, and erase again"
    )


def _set_commit_metadata(spark: SparkSession, metadata: Mapping[str, object]) -> None:
    """Set the metadata of the session's next commits: the erasure, and the files that are removed after them."""
    spark.conf.set("spark.databricks.delta.commitInfo.userMetadata", json.dumps(metadata))


def _unreferenced_files(plan: Sweep, files: TableFiles, live: Set[str]) -> tuple[list[StoredFile], list[StoredFile]]:
    """Among the files that are not live, those that hold a row of the entities, and those that cannot be read."""
    unreferenced = [file for file in files.stored() if file.name not in live]
    return files.holding(unreferenced, plan.schema, plan.sources, plan.condition)


def _delete_rows(plan: Sweep, files: TableFiles) -> bool:
    """Delete or update the entities' rows in the newest version; return whether there were any."""
    dates = _dates_of_rows(plan)
    if not dates:
        return False
    condition = plan.condition
    for name, value in plan.partition.items():
        condition = condition & (F.col(f"{TARGET}.{name}") == F.lit(value))
    days = [date_literal(day) for day in dates if day is not None]
    if days and len(dates) <= _LISTED_DATES:
        condition = condition & F.col(f"{TARGET}.event_date").isin(days)
    sources = plan.sources(_inside(plan))
    if plan.replaced is None:
        plan.table.delete_matched(sources, condition)
    else:
        plan.table.update_matched(sources, condition, plan.replaced)
    if files.deletes_by_vector:
        plan.table.purge_deletion_vectors()
    return True


def _dates_of_rows(plan: Sweep) -> list[date | None]:
    """The event dates of the entities' rows in the newest version; empty without rows, [None] if rows have no date."""
    rows = _inside(plan)
    if plan.listed:
        rows = _listed(rows, plan)
    matches = rows_met(rows, plan.sources(rows), plan.condition)
    if "event_date" not in rows.columns or not plan.listed:
        return [] if matches.isEmpty() else [None]
    return sorted(row["event_date"] for row in matches.select("event_date").distinct().collect())


def _inside(plan: Sweep) -> DataFrame:
    return inside(plan.table.read(), plan.partition)


def _listed(rows: DataFrame, plan: Sweep) -> DataFrame:
    """The rows of few keys, which the scan names; of many keys, all rows. The condition decides either way."""
    keys = plan.keys.toArrow().select(plan.listed)
    return with_keys(rows, keys, keys.num_rows, lambda unlisted: unlisted)


def _commit_barrier(table: DeltaTable, files: TableFiles) -> int:
    """Commit a change of the table's properties and return the commit's time, in milliseconds since 1970."""
    name = uuid4().hex
    table.set_properties({BARRIER: name})
    for commit in files.log.commits():
        if name in str(commit.info.get("operationParameters")):
            return commit.written
    raise ErasureError(f"table {table}: its log lacks a commit that was just made; erase again")


def _swept(log: DeltaLog, mark: Mapping[str, str], log_files: int) -> Swept:
    """The totals of the commits of all attempts of the erasure."""
    ours = [commit for commit in log.commits() if mark.items() <= commit.metadata.items()]
    removed: dict[str, int] = {}
    for commit in ours:
        removed |= commit.metadata.get(FILES, {})
    return Swept(
        rows=sum(commit.metric(name) for commit in ours for name in ("numTargetRowsDeleted", "numTargetRowsUpdated")),
        version_before=min((commit.version - 1 for commit in ours), default=None),
        version_after=max((commit.version for commit in ours), default=None),
        files=len(removed),
        bytes=sum(removed.values()),
        log_files=log_files,
    )
