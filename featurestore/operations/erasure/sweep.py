"""Sweep one table clean of some entities: their rows, every file that ever held them, and what the log tells of them.

Nothing here needs writers to stand aside. Rows are deleted; then a commit changes the table's properties, which no write
that began before it survives (it begins anew). So a file that is older than that commit and not in the newest version
will never be in one: where it holds a row of the entities, it is removed. A file that is younger and holds one belongs to
a write that is under way: then all of this is done again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import date
from uuid import uuid4

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from featurestore.errors import ErasureError
from featurestore.frames.as_of.key_filter import with_keys
from featurestore.frames.rows.rows_of_entity import TARGET, rows_met
from featurestore.frames.timestamps import date_literal
from featurestore.operations.context import Context
from featurestore.stores.delta.log import DeltaLog
from featurestore.stores.delta.log_cleaning import LogCleaner
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.delta.table_files import StoredFile, TableFiles, inside
from featurestore.stores.sessions import separate_session

MARK, FILES = "featurestore_erasure", "files"
BARRIER = "featurestore.erasure"
# A write that is under way when it is first looked for is over, or fails, by one of the next times.
_ATTEMPTS = 10
# A condition names at most so many dates; Spark does not compare more with the statistics of files.
_LISTED_DATES = 1000


@dataclass(frozen=True)
class Sweep:
    """What is to be erased from a table.

    ``keys``: the entities, a row each. ``condition``: which rows of the table are theirs (``frames.rows_of_entity``),
    by the columns of ``schema``. ``partition``: the values of the partitions that are meant, of a table that is shared.
    """

    table: DeltaTable
    keys: DataFrame
    condition: Column
    schema: StructType
    partition: Mapping[str, str] = field(default_factory=dict)
    # Join keys by which the files are sorted, where they are columns of the table.
    listed: tuple[str, ...] = ()
    # Columns that the rows get another value in, in the place of being deleted.
    replaced: Mapping[str, Column] | None = None
    # Gives what the condition compares rows with, where that depends on the rows and is not just the keys.
    compared_with: Callable[[DataFrame], DataFrame] | None = None

    def sources(self, rows: DataFrame) -> DataFrame:
        """What the condition compares these rows with."""
        return self.keys if self.compared_with is None else self.compared_with(rows)


@dataclass(frozen=True)
class Swept:
    """What was done, with what earlier tries did that were interrupted: the table's own log tells it."""

    rows: int
    version_before: int | None
    version_after: int | None
    files: int
    bytes: int
    log_files: int


def erasing_session(spark: SparkSession) -> SparkSession:
    """Ours: its commits say what they are for."""
    session = separate_session(spark)
    session.conf.set("spark.sql.session.timeZone", "UTC")
    # Files of the log are written again as Delta writes them.
    session.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    session.conf.set("spark.sql.parquet.datetimeRebaseModeInWrite", "CORRECTED")
    return session


def sweep(context: Context, what: Sweep, erasure_id: str) -> Swept:
    """Erase. Safe to repeat. Raises ErasureError, ConfigurationError."""
    spark = what.keys.sparkSession
    files = TableFiles(spark, context.files, what.table, what.partition)
    files.check_names()
    mark = {MARK: erasure_id, **what.partition}
    _say(spark, mark)
    barrier = 0
    # Until a pass leaves nothing.
    for _ in range(_ATTEMPTS):
        if _delete_rows(what, files):
            context.step("erase.rows")
        version, live = files.log.newest_version(), files.live()
        met, unreadable = _holding(what, files, live)
        # What cannot be read may be of a crash, or of a write under way, which goes on: one barrier tells them apart.
        if met or (unreadable and not barrier):
            doomed = [*met, *unreadable]
            _say(spark, {**mark, FILES: {file.name: file.bytes for file in doomed}})
            barrier = _barrier(what.table, files)
            _say(spark, mark)
            version, live = files.log.newest_version(), files.live()
            over = [file for file in doomed if file.modified < barrier and file.name not in live]
            files.remove(over)
            context.step("erase.files")
            if len(over) < len(doomed):
                continue
        if not _dates_of_rows(what):
            changed = LogCleaner(spark, files.log, live, what.partition, version, barrier).clean()
            context.step("erase.log")
            return _swept(files.log, mark, changed)
    raise ErasureError(
        f"table {what.table}: after {_ATTEMPTS} passes there is still a write under way of an entity that is to be erased; end "
        "the jobs that write it, and erase again"
    )


def _say(spark: SparkSession, metadata: Mapping[str, object]) -> None:
    """What the next commits of the session tell: what they are for, and which files are removed after them."""
    spark.conf.set("spark.databricks.delta.commitInfo.userMetadata", json.dumps(metadata))


def _holding(what: Sweep, files: TableFiles, live: Set[str]) -> tuple[list[StoredFile], list[StoredFile]]:
    """Files that are not live: those that hold a row of theirs, and those that cannot be read."""
    unreferenced = [file for file in files.stored() if file.name not in live]
    return files.holding(unreferenced, what.schema, what.sources, what.condition)


def _delete_rows(what: Sweep, files: TableFiles) -> bool:
    """Whether there were any."""
    dates = _dates_of_rows(what)
    if not dates:
        return False
    theirs = what.condition
    for name, value in what.partition.items():
        theirs = theirs & (F.col(f"{TARGET}.{name}") == F.lit(value))
    days = [date_literal(day) for day in dates if day is not None]
    if days and len(dates) <= _LISTED_DATES:
        theirs = theirs & F.col(f"{TARGET}.event_date").isin(days)
    sources = what.sources(_inside(what))
    if what.replaced is None:
        what.table.delete_matched(sources, theirs)
    else:
        what.table.update_matched(sources, theirs, what.replaced)
    if files.deletes_by_vector:
        what.table.purge_deletion_vectors(files.spark)
    return True


def _dates_of_rows(what: Sweep) -> list[date | None]:
    """The dates of the rows that are theirs in the newest version; [None] where rows have none."""
    rows = _inside(what)
    if what.listed:
        rows = _listed(rows, what)
    met = rows_met(rows, what.sources(rows), what.condition)
    if "event_date" not in rows.columns or not what.listed:
        return [] if met.isEmpty() else [None]
    return sorted(row["event_date"] for row in met.select("event_date").distinct().collect())


def _inside(what: Sweep) -> DataFrame:
    return inside(what.table.read(what.keys.sparkSession), what.partition)


def _listed(rows: DataFrame, what: Sweep) -> DataFrame:
    """The rows of few keys, which the scan names; of many keys, all rows. The condition decides either way."""
    keys = what.keys.toArrow().select(what.listed)
    return with_keys(rows, keys, keys.num_rows, lambda unlisted: unlisted)


def _barrier(table: DeltaTable, files: TableFiles) -> int:
    """Commit a change of the table's properties; gives when, in milliseconds since 1970."""
    name = uuid4().hex
    table.set_properties(files.spark, {BARRIER: name})
    for commit in files.log.commits():
        if name in str(commit.info.get("operationParameters")):
            return commit.written
    raise ErasureError(f"table {table}: its log does not tell of a commit that was just made; erase again")


def _swept(log: DeltaLog, mark: Mapping[str, str], log_files: int) -> Swept:
    """What the commits of all tries of the erasure say."""
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
