"""Optimize: rewrite partitions of many small files as few large ones, in the order in which joins read them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date

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
from featurestore.stores.delta.table import conflicts, literal

OPTIMIZE = "optimize"
_MIB = 1024**2
# One task reads, sorts and writes a file of this size in seconds, and the file's range of keys is narrow enough that
# lookups skip other files. Files ten times larger, as is usual for tables that are scanned whole, would make a lookup
# of few keys read too much.
TARGET_BYTES = 128 * _MIB
# Rewriting files larger than this gains nothing: a partition cut into files of about the target has no smaller ones.
GOOD_BYTES = TARGET_BYTES // 2
# A partition up to this size is read, sorted and written by this process, in less time than a job of Spark's begins.
_LOCAL_BYTES = TARGET_BYTES // 4


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
    """The sizes in bytes of one event date's files."""

    event_date: date
    sizes: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return sum(self.sizes)

    @property
    def target_count(self) -> int:
        """The number of files that the partition's bytes should be in."""
        return max(1, -(-self.bytes // TARGET_BYTES))

    @property
    def is_good(self) -> bool:
        return len(self.sizes) <= self.target_count or all(size >= GOOD_BYTES for size in self.sizes)


def optimize(scope: Scope, groups: Sequence[str] | None, *, dry_run: bool) -> Listing[OptimizeResult]:
    """Rewrite the tenant's partitions that have more files than their bytes need, each in a commit of its own.

    The rows stay the same, sorted by join keys and event timestamp, in files with new statistics: every query gives the
    same answer, the Change Data Feed shows nothing, and rows that others append during the run stay where they are. A
    good partition is not touched: it is one file, or has no more files than its bytes need, or its files are large. The
    run covers every major version of a group. A table of an older version of this package, whose columns may be widened
    and never were, becomes readable to other readers than Spark. Safe to interrupt and to repeat. Raises NotFoundError.
    """
    chosen = chosen_groups(scope.context, groups)
    if dry_run:
        return Listing((_planned(group, _files(scope, group)) for group in chosen), describe_optimized)
    with recorded_run(scope, OPTIMIZE) as job:
        results = [_optimize_group(scope, group) for group in chosen]
        job.report({"groups": [asdict(result) for result in results if result.rewritten or result.busy]})
    return Listing(results, describe_optimized)


def _optimize_group(scope: Scope, group: FeatureGroup) -> OptimizeResult:
    scope.table(group).values.drop_idle_type_widening()
    before = _files(scope, group)
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
    after = _files(scope, group)
    return _result(group, before, after, planned.rewritten - busy, busy, version, dry_run=False)


def _conflicts() -> tuple[type[Exception], ...]:
    return (TableBusyError, *conflicts())


def rewrite_partition(scope: Scope, group: FeatureGroup, event_date: date, files: int) -> None:
    """Rewrite one event date's rows, sorted, as this many files; only the layout changes."""

    def laid_out(rows: DataFrame) -> DataFrame:
        order = [column(name) for name in (*group.join_keys, "event_timestamp")]
        # Each of several files is a range of keys, so that readers can skip it by its statistics.
        spread = rows.coalesce(1) if files == 1 else rows.repartitionByRange(files, *order)
        # The partition's columns come first, as the writer expects; it would otherwise sort again, by these alone.
        return spread.sortWithinPartitions(*PARTITION_COLUMNS, *order)

    where = f"tenant_id = {literal(scope.tenant_id)} AND event_date = DATE{literal(event_date.isoformat())}"
    scope.table(group).values.lay_out_anew(where, laid_out)


def _files(scope: Scope, group: FeatureGroup) -> list[PartitionFiles]:
    """The tenant's partitions with their files, by date."""
    sizes: dict[date, list[int]] = defaultdict(list)
    for file in scope.table(group).files(scope.tenant_id):
        sizes[file.partition["event_date"]].append(file.bytes)
    return [PartitionFiles(day, tuple(sorted(sizes[day]))) for day in sorted(sizes)]


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
