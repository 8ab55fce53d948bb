"""Optimize: rewrite partitions as few sorted runs, files in the order in which joins read them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date

from featurestore.columnar.rows import file_layout
from featurestore.columnar.schema import PARTITION_COLUMNS
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.display.description import Display, Table, count, counted, size
from featurestore.display.displayed import Listing
from featurestore.errors import TableBusyError
from featurestore.frames.columns import column
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Scope
from featurestore.operations.job_run import recorded_run
from featurestore.operations.upkeep.retain import chosen_groups
from featurestore.stores.delta.delta_log import LogFile
from featurestore.stores.delta.table import conflicts, literal

OPTIMIZE = "optimize"
# A partition up to this size is read, sorted and written by this process, in less time than a job of Spark's begins.
_LOCAL_BYTES = 32 * 1024**2


@dataclass(frozen=True)
class OptimizeResult:
    """One feature group: how many of its ``partitions`` (the tenant's event dates) were ``rewritten``.

    ``busy``: partitions that other writers kept changing, so they were left as they were; the next run tries them
    again. Numbers of files and bytes are of all the partitions, in the newest version of the table; files that this
    version no longer has stay on disk until a vacuum. ``table_version``: of the last rewrite; None without one. With
    ``dry_run`` nothing is rewritten, and ``rewritten`` and ``files_after`` are what a run would give.
    """

    group: str
    version: int
    partitions: int
    rewritten: int
    busy: int
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    table_version: int | None
    dry_run: bool


def describe_optimized(results: Sequence[OptimizeResult]) -> Display:
    """One line per group."""
    columns = ("group", "partitions", "rewritten", "busy", "files before", "files after", "size before", "size after")
    rows = tuple(
        (
            f"{result.group} v{result.version}",
            *map(count, (result.partitions, result.rewritten, result.busy, result.files_before, result.files_after)),
            size(result.bytes_before),
            size(result.bytes_after),
        )
        for result in results
    )
    before, after = sum(result.files_before for result in results), sum(result.files_after for result in results)
    verb = "would become" if any(result.dry_run for result in results) else "became"
    return Display(f"{counted(before, 'file')} {verb} {after:,}", tables=(Table(columns, rows),))


@dataclass(frozen=True)
class PartitionFiles:
    """The sizes in bytes of one event date's files, and whether the files are sorted runs."""

    event_date: date
    sizes: tuple[int, ...]
    are_sorted_runs: bool = True

    @property
    def bytes(self) -> int:
        return sum(self.sizes)

    @property
    def target_count(self) -> int:
        """The number of files that the partition's bytes should be in."""
        limits = file_layout.LIMITS
        return 1 if self.bytes <= limits.file_bytes else -(-self.bytes // limits.target_bytes)

    @property
    def are_few(self) -> bool:
        """Whether a file holds an eighth of what it may hold, on average, and so is worth its entry in the log.

        The files of a batch that compresses well are small, because it is cut by its bytes before compression.
        """
        return len(self.sizes) <= max(1, -(-self.bytes // (file_layout.LIMITS.file_bytes // 8)))

    @property
    def is_good(self) -> bool:
        return self.are_few and self.are_sorted_runs


def optimize(scope: Scope, groups: Sequence[str] | None, *, dry_run: bool) -> Listing[OptimizeResult]:
    """Rewrite the tenant's partitions that are not a few sorted runs, each in a commit of its own.

    The rows stay the same, sorted by join keys and event timestamp, in files with small row groups and new statistics;
    a partition of several files is cut by key range. Every query gives the same answer, the Change Data Feed shows
    nothing, and rows that others append during the run stay where they are. A good partition is not touched: its files
    are few for its bytes, have small row groups, and no two files or row groups overlap in keys and time. The log and
    the files' footers tell; if only Spark reaches the files, the log and the bounds of the keys. The run covers every
    major version of a group. A table of an older version of this package, whose columns may be widened and never were,
    becomes readable to other readers than Spark. Safe to interrupt and to repeat. Raises NotFoundError.
    """
    chosen = chosen_groups(scope.context, groups)
    if dry_run:
        return Listing((_planned(group, _checked(scope, group)) for group in chosen), describe_optimized)
    with recorded_run(scope, OPTIMIZE) as job:
        results = [_optimize_group(scope, group) for group in chosen]
        job.report({"groups": [asdict(result) for result in results if result.rewritten or result.busy]})
    return Listing(results, describe_optimized)


def _optimize_group(scope: Scope, group: FeatureGroup) -> OptimizeResult:
    scope.table(group).values.drop_idle_type_widening()
    before = _checked(scope, group)
    planned = _planned(group, before)
    if not planned.rewritten:
        return _result(group, before, before, 0, 0, None, dry_run=False)
    busy = 0
    for partition in before:
        if not partition.is_good:
            try:
                if partition.bytes > _LOCAL_BYTES or not scope.table(group).merge_locally(
                    scope.tenant_id, partition.event_date
                ):
                    rewrite_partition(scope, group, partition.event_date, partition.target_count)
            except _conflicts():
                # Minutes of retries failed. The partition is still correct as it was; the result counts it as busy.
                busy += 1
            scope.step("optimize.rewritten")
    version = scope.table(group).values.version()
    after = [_partition(*files) for files in _files(scope.table(group).files(scope.tenant_id)).items()]
    return _result(group, before, after, planned.rewritten - busy, busy, version, dry_run=False)


def _conflicts() -> tuple[type[Exception], ...]:
    return (TableBusyError, *conflicts())


def rewrite_partition(scope: Scope, group: FeatureGroup, event_date: date, files: int) -> None:
    """Rewrite one event date's rows, sorted, as about this many files; only the layout changes."""
    table = scope.table(group)

    def laid_out(rows: DataFrame) -> DataFrame:
        order = [column(name) for name in table.order]
        # Each of several files is a range of keys, so that readers can skip it by its statistics.
        spread = rows.coalesce(1) if files == 1 else rows.repartitionByRange(files, *order)
        # The partition's columns come first, as the writer expects; it would otherwise sort again, by these alone.
        return spread.sortWithinPartitions(*PARTITION_COLUMNS, *order)

    if not table.merge_in_tasks(scope.tenant_id, event_date, laid_out):
        where = f"tenant_id = {literal(scope.tenant_id)} AND event_date = DATE{literal(event_date.isoformat())}"
        table.values.lay_out_anew(where, laid_out)


def _files(files: Iterable[LogFile]) -> dict[date, list[LogFile]]:
    """The files of each partition, by date."""
    of_date: dict[date, list[LogFile]] = defaultdict(list)
    for file in files:
        of_date[file.partition["event_date"]].append(file)
    return {day: of_date[day] for day in sorted(of_date)}


def _checked(scope: Scope, group: FeatureGroup) -> list[PartitionFiles]:
    """The tenant's partitions by date; only the files of those that could be good are looked at."""
    table = scope.table(group)
    by_date = _files(table.files(scope.tenant_id, with_keys=True))
    partitions = [(_partition(day, files), files) for day, files in by_date.items()]
    return [
        replace(partition, are_sorted_runs=table.are_sorted_runs(files)) if partition.are_few else partition
        for partition, files in partitions
    ]


def _partition(day: date, files: Sequence[LogFile]) -> PartitionFiles:
    return PartitionFiles(day, tuple(sorted(file.bytes for file in files)))


def _planned(group: FeatureGroup, partitions: Sequence[PartitionFiles]) -> OptimizeResult:
    to_do = [partition for partition in partitions if not partition.is_good]
    after = [
        partition
        if partition.is_good
        else PartitionFiles(partition.event_date, (partition.bytes // partition.target_count,) * partition.target_count)
        for partition in partitions
    ]
    return _result(group, partitions, after, len(to_do), 0, None, dry_run=True)


def _result(
    group: FeatureGroup,
    before: Sequence[PartitionFiles],
    after: Sequence[PartitionFiles],
    rewritten: int,
    busy: int,
    version: int | None,
    dry_run: bool,
) -> OptimizeResult:
    return OptimizeResult(
        group=group.name,
        version=group.version,
        partitions=len(before),
        rewritten=rewritten,
        busy=busy,
        files_before=_count(before),
        files_after=_count(after),
        bytes_before=sum(partition.bytes for partition in before),
        bytes_after=sum(partition.bytes for partition in (before if dry_run else after)),
        table_version=version,
        dry_run=dry_run,
    )


def _count(partitions: Iterable[PartitionFiles]) -> int:
    return sum(len(partition.sizes) for partition in partitions)
