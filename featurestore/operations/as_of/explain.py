"""What an as-of join would do: its host and why, and how much of what is there it may read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featurestore.columnar.as_of.spine_keys import SpineKeys
from featurestore.display.description import Display, Table, count, size
from featurestore.display.displayed import Displayed
from featurestore.late_spark import DataFrame
from featurestore.operations.as_of.hosts import Host, HostChoice
from featurestore.operations.as_of.in_process import spine_keys, threads
from featurestore.operations.as_of.in_tasks import spread_of
from featurestore.operations.as_of.join import LocalSpine, choose_for_spark
from featurestore.operations.as_of.lookup_files import JoinFiles, LookupFiles, join_files
from featurestore.operations.context import Scope
from featurestore.operations.reading.request import AsOfRequest, Spine, check_joinable
from featurestore.operations.windows.window_lookup import WindowLookup
from featurestore.stores.outside.rows import OutsideFile
from featurestore.stores.value_files.faults import value_file_errors
from featurestore.stores.value_files.parquet import ParquetValues

# The footers of more files are not opened: their rows and bytes are the whole files' then.
_MOST_OPENED = 500


@dataclass(frozen=True)
class JoinRead:
    """What one lookup may read, and what its group has.

    - ``files``, ``row_groups``, ``rows``, ``bytes``: at most these are read. They hold keys of the spine (of a Spark
      DataFrame: any keys) in partitions that its times reach; ``bytes`` are those of the columns that the join needs,
      as they are stored. ``row_groups`` is None if there are too many files to open.
    - ``all_files``, ``all_bytes``: of the tenant in the version that is read.
    """

    group: str
    features: tuple[str, ...]
    files: int
    row_groups: int | None
    rows: int
    bytes: int
    all_files: int
    all_bytes: int


@dataclass(frozen=True)
class JoinExplanation(Displayed):
    """An as-of join before it runs.

    - ``host``: where it runs, and ``why``; ``tasks``: threads in this process, or tasks of Spark for each combination
      of key columns; None by shuffle, where Spark decides;
    - ``reads``: one for each lookup; empty if only Spark can read the tables.
    """

    host: Host
    why: str
    tasks: tuple[int, ...] | None
    reads: tuple[JoinRead, ...]

    def display(self) -> Display:
        """The host with its reason, and a row for each lookup."""
        tasks = None if self.tasks is None else ", ".join(map(str, self.tasks))
        facts = (("host", self.host), ("why", self.why), ("threads" if self.host == "in_process" else "tasks", tasks))
        columns = ("group", "features", "files", "row groups", "rows", "bytes", "of files", "of bytes")
        rows = [
            (
                *(read.group, len(read.features), count(read.files), count(read.row_groups), count(read.rows)),
                *(size(read.bytes), count(read.all_files), size(read.all_bytes)),
            )
            for read in self.reads
        ]
        tables = (Table(columns, tuple(rows), "reads at most"),) if rows else ()
        return Display("as-of join", facts=tuple(fact for fact in facts if fact[1] is not None), tables=tables)

    def __repr__(self) -> str:
        return f"JoinExplanation(host={self.host!r}, why={self.why!r}, tasks={self.tasks})"


def explain_point_in_time(scope: Scope, spine: Spine, request: AsOfRequest, host: Host | None) -> JoinExplanation:
    """Explain the join without making it; raises as ``get_point_in_time`` would.

    Opens the footers of the files, and reads no value. Runs no Spark job.
    """
    if isinstance(spine, DataFrame):
        check_joinable(spine, request)
        files = join_files(scope, request, None)
        choice = choose_for_spark(scope, spine, files, host)
        return _explained(scope, choice, files, [None] * len(files.lookups))
    local = LocalSpine.of(scope, spine, request)
    choice = local.choose(scope, host)
    keys = [spine_keys(local.rows, each) for each in local.files.lookups]
    return _explained(scope, choice, local.files, keys)


def _explained(scope: Scope, choice: HostChoice, files: JoinFiles, keys: Sequence[SpineKeys | None]) -> JoinExplanation:
    reads = [_join_read(each, known) for each, known in zip(files.lookups, keys, strict=True)]
    reads += [_events_read(each) for each in files.windows]
    return JoinExplanation(choice.host, choice.why, _tasks(scope, choice.host, files), tuple(reads))


def _tasks(scope: Scope, host: Host, files: JoinFiles) -> tuple[int, ...] | None:
    if host == "in_process":
        return (threads(),)
    if host == "by_shuffle":
        return None
    return tuple(ranges.tasks for ranges in spread_of(scope, files.lookups) if ranges is not None)


def _join_read(each: LookupFiles, keys: SpineKeys | None) -> JoinRead:
    held = [
        file
        for partition in each.files.partitions
        for file in partition.files
        if isinstance(file, ParquetValues | OutsideFile) and _may_hold(keys, file)
    ]
    with value_file_errors(each.files.table):
        counts = [_read_of(file, each, keys) for file in held] if len(held) <= _MOST_OPENED else None
    return JoinRead(
        group=each.lookup.group.name,
        features=each.rules.features,
        files=len(held),
        row_groups=None if counts is None else sum(groups for groups, _, _ in counts),
        rows=sum(file.rows for file in held) if counts is None else sum(rows for _, rows, _ in counts),
        bytes=sum(file.bytes for file in held) if counts is None else sum(size for _, _, size in counts),
        all_files=each.files.all_files,
        all_bytes=each.files.all_bytes,
    )


def _events_read(each: WindowLookup) -> JoinRead:
    """All files of the events: which rows count is known when they are read."""
    files = each.events.files
    size = sum(file.bytes for file in files)
    return JoinRead(
        group=each.lookup.group.name,
        features=each.lookup.features,
        files=len(files),
        row_groups=None,
        rows=each.events.rows,
        bytes=size,
        all_files=len(files),
        all_bytes=size,
    )


def _may_hold(keys: SpineKeys | None, file: ParquetValues | OutsideFile) -> bool:
    if keys is None:
        return True
    start, end = keys.range_of(file.bounds)
    return start < end


def _read_of(file: ParquetValues | OutsideFile, each: LookupFiles, keys: SpineKeys | None) -> tuple[int, int, int]:
    """Row groups, rows and bytes of one file."""
    opened = file.open()
    needed = [*each.rules.keys, "event_timestamp", *each.rules.features]
    if each.rules.known_at is not None:
        needed.append("created_timestamp")
    chosen = list(range(len(opened.row_groups)))
    if keys is not None:
        starts, ends = keys.ranges_of([group.bounds for group in opened.row_groups])
        chosen = np.flatnonzero(starts < ends).tolist()
    rows = sum(opened.row_groups[number].rows for number in chosen)
    return len(chosen), rows, opened.stored_bytes(chosen, needed)
