"""Optimize: a partition that is many small files becomes few large ones, in the order in which joins read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.display.description import Display, Table, count, counted, size
from featurestore.display.displayed import Listing
from featurestore.frames.columns import column
from featurestore.frames.schema import PARTITION_COLUMNS
from featurestore.operations.context import Scope
from featurestore.operations.job_run import recorded_run
from featurestore.operations.upkeep.retain import chosen_groups
from featurestore.stores.delta.table import CONFLICTS, literal

OPTIMIZE = "optimize"
_MIB = 1024**2
# A file that one task reads, sorts and writes in seconds, and that holds a range of keys narrow enough for others to be
# skipped; ten times more, as is usual for tables that are scanned whole, would make a lookup of few keys read too much.
TARGET_BYTES = 128 * _MIB
# Rewriting larger files than this gains nothing; a partition cut into files of about the target has no smaller ones.
GOOD_BYTES = TARGET_BYTES // 2


@dataclass(frozen=True)
class OptimizeResult:
    """One feature group: of its ``partitions`` (the tenant's event dates), how many were rewritten.

    ``busy``: partitions that other writers changed again and again, and that were left as they were; the next run looks
    at them again. ``files`` and ``bytes`` are of all the partitions, in the newest version of the table; the files that
    are not in it any more stay on disk until a vacuum. ``table_version``: of the last rewrite; none without one.
    With ``dry_run`` nothing is rewritten, and ``rewritten`` and ``files_after`` tell what would be.
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
    """A line a group."""
    columns = ("group", "partitions", "rewritten", "busy", "files before", "files after", "size before", "size after")
    rows = tuple(
        (
            f"{one.group} v{one.version}",
            *map(count, (one.partitions, one.rewritten, one.busy, one.files_before, one.files_after)),
            size(one.bytes_before),
            size(one.bytes_after),
        )
        for one in results
    )
    before, after = sum(one.files_before for one in results), sum(one.files_after for one in results)
    verb = "would become" if any(one.dry_run for one in results) else "became"
    return Display(f"{counted(before, 'file')} {verb} {after:,}", tables=(Table(columns, rows),))


@dataclass(frozen=True)
class PartitionFiles:
    """The files of one event date, by their bytes."""

    event_date: date
    sizes: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return sum(self.sizes)

    @property
    def wanted(self) -> int:
        """How many files its bytes should be."""
        return max(1, -(-self.bytes // TARGET_BYTES))

    @property
    def is_good(self) -> bool:
        return len(self.sizes) <= self.wanted or all(size >= GOOD_BYTES for size in self.sizes)


def optimize(scope: Scope, groups: Sequence[str] | None, *, dry_run: bool) -> Listing[OptimizeResult]:
    """Rewrite the tenant's partitions that are more files than their bytes need, each in a commit of its own.

    The rows stay what they are, sorted by join keys and event timestamp, in files with new statistics: every query gives
    the same answer, the Change Data Feed shows nothing, and rows that are appended meanwhile stay where they are. A
    partition that is good is not touched: it is one file, or no more than its bytes need, or its files are large. Every
    major version of a group is looked at. Safe to interrupt and to repeat. Raises NotFoundError.
    """
    chosen = chosen_groups(scope.context, groups)
    if dry_run:
        return Listing((_planned(group, _files(scope, group)) for group in chosen), describe_optimized)
    with recorded_run(scope, OPTIMIZE) as job:
        results = [_optimize_group(scope, group) for group in chosen]
        job.report({"groups": [asdict(result) for result in results if result.rewritten or result.busy]})
    return Listing(results, describe_optimized)


def _optimize_group(scope: Scope, group: FeatureGroup) -> OptimizeResult:
    before = _files(scope, group)
    planned = _planned(group, before)
    if not planned.rewritten:
        return _result(group, before, before, 0, 0, None, dry_run=False)
    busy = 0
    for partition in before:
        if not partition.is_good:
            try:
                rewrite_partition(scope, group, partition.event_date, partition.wanted)
            except CONFLICTS:
                # After minutes of trying: the partition is good as it was, and the result tells of it.
                busy += 1
            scope.step("optimize.rewritten")
    version = scope.table(group).values.version(scope.spark)
    after = _files(scope, group)
    return _result(group, before, after, planned.rewritten - busy, busy, version, dry_run=False)


def rewrite_partition(scope: Scope, group: FeatureGroup, event_date: date, files: int) -> None:
    """Write one event date's rows anew, sorted, as so many files; nothing but the layout changes."""
    order = [column(name) for name in (*group.join_keys, "event_timestamp")]

    def laid_out(rows: DataFrame) -> DataFrame:
        # Several files are ranges of keys, so that each of them can be skipped by its statistics.
        spread = rows.coalesce(1) if files == 1 else rows.repartitionByRange(files, *order)
        # By the partition's columns first, as the writer wants it: it would else sort by these again, and lose the rest.
        return spread.sortWithinPartitions(*PARTITION_COLUMNS, *order)

    where = f"tenant_id = {literal(scope.tenant_id)} AND event_date = DATE{literal(event_date.isoformat())}"
    scope.table(group).values.lay_out_anew(scope.spark, where, laid_out)


def _files(scope: Scope, group: FeatureGroup) -> list[PartitionFiles]:
    """The tenant's partitions with their files, by date; reads no column of the files."""
    table = scope.table(group).values
    rows = table.read(scope.spark).where(F.col("tenant_id") == F.lit(scope.tenant_id))
    by_file = rows.groupBy("event_date", "_metadata.file_path", "_metadata.file_size").agg(F.count(F.lit(1)))
    by_date = by_file.groupBy("event_date").agg(F.collect_list("file_size").alias("sizes"))
    told = by_date.toArrow().to_pylist()
    found = [PartitionFiles(row["event_date"], tuple(sorted(row["sizes"]))) for row in told]
    return sorted(found, key=lambda partition: partition.event_date)


def _planned(group: FeatureGroup, partitions: Sequence[PartitionFiles]) -> OptimizeResult:
    to_do = [partition for partition in partitions if not partition.is_good]
    after = [
        PartitionFiles(one.event_date, one.sizes if one.is_good else (one.bytes // one.wanted,) * one.wanted)
        for one in partitions
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
        bytes_before=sum(one.bytes for one in before),
        bytes_after=sum(one.bytes for one in before) if dry_run else sum(one.bytes for one in after),
        table_version=version,
        dry_run=dry_run,
    )


def _count(partitions: Iterable[PartitionFiles]) -> int:
    return sum(len(partition.sizes) for partition in partitions)
