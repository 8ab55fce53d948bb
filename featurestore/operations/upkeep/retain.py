"""Retention: rows whose time has passed are deleted, whole partitions at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.display.description import Display, Table, count, counted, size
from featurestore.display.displayed import Listing
from featurestore.errors import InvalidArgumentError
from featurestore.frames.rows.last_rows import same_identity, superseded
from featurestore.frames.schema import PARTITION_COLUMNS, values_schema
from featurestore.frames.timestamps import date_literal, partition_of
from featurestore.operations.context import Context, Scope
from featurestore.operations.job_run import recorded_run
from featurestore.stores.delta.table import literal

CLEANUP = "cleanup"


@dataclass(frozen=True)
class RetentionResult:
    """One feature group: the rows with an event date before ``before`` (UTC) that were deleted, or would be (``dry_run``).

    ``deleted_bytes``: of the files that no reader of the newest version needs any more; they stay on disk until a
    vacuum. Where rows of a file are kept it is their rows' share of the bytes. ``kept_latest``: older rows that were
    kept, because reads after the cut need them. ``table_version``: of the delete; none where nothing was.
    """

    group: str
    version: int
    before: str
    deleted_rows: int
    deleted_bytes: int
    kept_latest: int
    table_version: int | None
    dry_run: bool


def describe_retention(results: Sequence[RetentionResult]) -> Display:
    """A line a group."""
    columns = ("group", "before", "deleted rows", "size", "kept as latest")
    rows = tuple(
        (
            f"{one.group} v{one.version}",
            one.before,
            count(one.deleted_rows),
            size(one.deleted_bytes),
            count(one.kept_latest),
        )
        for one in results
    )
    deleted = counted(sum(one.deleted_rows for one in results), "row")
    verb = "would be deleted" if any(one.dry_run for one in results) else "deleted"
    return Display(
        f"{counted(len(results), 'group')} with a retention: {deleted} {verb}", tables=(Table(columns, rows),)
    )


@dataclass(frozen=True)
class _Old:
    """What of a group is older than its cut: the rows, and those of them that are to go (none: all)."""

    group: FeatureGroup
    before: date
    rows: int
    bytes: int
    doomed_rows: int
    doomed: DataFrame | None

    def result(self, deleted: int, table_version: int | None, dry_run: bool) -> RetentionResult:
        return RetentionResult(
            group=self.group.name,
            version=self.group.version,
            before=self.before.isoformat(),
            deleted_rows=deleted,
            deleted_bytes=self.bytes * deleted // self.rows if self.rows else 0,
            kept_latest=self.rows - self.doomed_rows,
            table_version=table_version,
            dry_run=dry_run,
        )


def cleanup(
    scope: Scope,
    *,
    retention_days: int | None,
    dry_run: bool,
    groups: Sequence[str] | None,
) -> Listing[RetentionResult]:
    """Delete the tenant's rows that are older than their group's ``retention``, or than ``retention_days``.

    Every major version of a group is cleaned, by its own definition. A partition is deleted when all of it is older, so
    that no file is read or written: rows live at least as long as they are to, and at most a partition (a day, or a
    month) longer. With ``keep_latest`` in the group's definition those rows stay that an as-of read after the cut still
    needs: per entity and feature the last value before it, while its TTL lasts. Groups without a retention are passed
    over. Training sets are not touched. Safe to repeat. Raises NotFoundError, InvalidArgumentError.
    """
    if retention_days is not None and (isinstance(retention_days, bool) or retention_days < 1):
        raise InvalidArgumentError(f"retention_days is {retention_days!r}; give a number of days from 1 on")
    chosen = _with_cut(scope.context, chosen_groups(scope.context, groups), retention_days)
    if dry_run:
        found = [_old(scope, group, before) for group, before in chosen]
        return Listing((old.result(old.doomed_rows, None, dry_run=True) for old in found), describe_retention)
    if not chosen:
        return Listing((), describe_retention)
    with recorded_run(scope, CLEANUP) as job:
        results = [_clean(scope, _old(scope, group, before)) for group, before in chosen]
        job.report({"groups": [asdict(result) for result in results if result.deleted_rows]})
    return Listing(results, describe_retention)


def chosen_groups(context: Context, names: Sequence[str] | None) -> list[FeatureGroup]:
    """Every major version of the named groups, or of all; raises NotFoundError."""
    state = context.refresh()
    wanted = None if names is None else {state.feature_group(name).name for name in names}
    return [group for group in state.all_feature_groups() if wanted is None or group.name in wanted]


def _with_cut(
    context: Context, groups: Sequence[FeatureGroup], retention_days: int | None
) -> list[tuple[FeatureGroup, date]]:
    """Each group that has a retention, with the first event date that stays."""
    now = context.clock().astimezone(UTC)
    chosen = []
    for group in groups:
        try:
            retention = group.retention if retention_days is None else timedelta(days=retention_days)
            if retention is not None:
                chosen.append((group, partition_of((now - retention).date(), group.partition_by)))
        except OverflowError:
            # Longer than all time: nothing is so old.
            continue
    return chosen


def _old(scope: Scope, group: FeatureGroup, before: date) -> _Old:
    table = scope.table(group)
    columns = [field.name for field in values_schema(group) if field.name not in PARTITION_COLUMNS]
    dates = (None, before - timedelta(days=1))
    values = table.read_values(scope.spark, scope.tenant_id, columns, dates, table.values.version(scope.spark))
    rows, size = _size(values)
    if not rows or not group.keep_latest:
        return _Old(group, before, rows, size, rows, None)
    doomed = superseded(values, group, datetime.combine(before, time.min, UTC))
    # Of rows that are wholly the same, an identity stands for all.
    return _Old(group, before, rows, size, _count_of(values, doomed, group), doomed)


def _count_of(values: DataFrame, doomed: DataFrame, group: FeatureGroup) -> int:
    return values.alias("target").join(doomed.alias("source"), same_identity(group, "target", "source"), "semi").count()


def _size(values: DataFrame) -> tuple[int, int]:
    """Rows, and the bytes of the files that they are in."""
    by_file = values.groupBy("_metadata.file_path", "_metadata.file_size").agg(F.count(F.lit(1)).alias("rows"))
    [told] = by_file.agg(F.sum("rows").alias("rows"), F.sum("file_size").alias("bytes")).collect()
    return told["rows"] or 0, told["bytes"] or 0


def _clean(scope: Scope, old: _Old) -> RetentionResult:
    if not old.doomed_rows:
        return old.result(0, None, dry_run=False)
    values = scope.table(old.group).values
    if old.doomed is None:
        where = f"tenant_id = {literal(scope.tenant_id)} AND event_date < DATE{literal(old.before.isoformat())}"
        deleted = values.delete_partitions(scope.spark, where)
    else:
        # Row by row: a late row that another writer appends meanwhile is not among them, and stays.
        inside = (F.col("target.tenant_id") == F.lit(scope.tenant_id)) & (
            F.col("target.event_date") < date_literal(old.before)
        )
        deleted = values.delete_matched(old.doomed, inside & same_identity(old.group, "target", "source"))
    scope.step("cleanup.deleted")
    return old.result(deleted, values.version(scope.spark), dry_run=False)
