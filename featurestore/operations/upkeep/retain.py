"""Delete rows that are older than the retention of their group, whole partitions at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa

from featurestore.columnar.schema import PARTITION_COLUMNS, TIME_COLUMNS, values_schema
from featurestore.columnar.values.superseded import is_superseded
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.display.description import Display, Table, count, counted, size
from featurestore.display.displayed import Listing
from featurestore.errors import InvalidArgumentError, TableBusyError
from featurestore.frames.rows.superseded_rows import same_identity, superseded_rows
from featurestore.frames.timestamps import date_literal, partition_of
from featurestore.late_spark import DataFrame, F
from featurestore.operations.context import Context, Scope, check_stored
from featurestore.operations.job_run import recorded_run
from featurestore.stores.delta.native_table import DoomedRows

CLEANUP = "cleanup"
# Erasures and optimize may rewrite the files of old rows while they are judged.
_MOST_TRIES = 10


@dataclass(frozen=True)
class RetentionResult:
    """One feature group: its rows dated before ``before`` (UTC) that were deleted, or would be (``dry_run``).

    ``deleted_bytes``: the bytes that a vacuum can free. If a file keeps some of its rows, only the share of its deleted
    rows is counted. ``kept_latest``: older
    rows that were kept because reads after the cut need them. ``table_version``: of the delete; None if nothing was
    deleted.
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
    """One line per group."""
    columns = ("group", "before", "deleted rows", "size", "kept as latest")
    rows = tuple(
        (
            f"{result.group} v{result.version}",
            result.before,
            count(result.deleted_rows),
            size(result.deleted_bytes),
            count(result.kept_latest),
        )
        for result in results
    )
    deleted = counted(sum(result.deleted_rows for result in results), "row")
    verb = "would be deleted" if any(result.dry_run for result in results) else "deleted"
    return Display(
        f"{counted(len(results), 'group')} with a retention: {deleted} {verb}", tables=(Table(columns, rows),)
    )


@dataclass(frozen=True)
class _ExpiredRows:
    """A group's rows older than its cut, and the rows among them to delete: ``doomed``, ``to_delete``, or else all.

    ``doomed``: by their places in files, for this process; ``to_delete``: by their identities, for Spark. ``version``:
    of the table, in which they were counted.
    """

    group: FeatureGroup
    before: date
    version: int
    rows: int
    bytes: int
    rows_to_delete: int
    to_delete: DataFrame | None = None
    doomed: tuple[DoomedRows, ...] | None = None

    @property
    def keeps_none(self) -> bool:
        return not self.rows or not self.group.keep_latest

    @property
    def cut(self) -> datetime:
        return datetime.combine(self.before, time.min, UTC)

    @property
    def dates(self) -> tuple[None, date]:
        """Their partitions; the bound is inclusive."""
        return None, self.before - timedelta(days=1)

    def result(self, deleted: int, table_version: int | None, dry_run: bool) -> RetentionResult:
        return RetentionResult(
            group=self.group.name,
            version=self.group.version,
            before=self.before.isoformat(),
            deleted_rows=deleted,
            deleted_bytes=self.bytes * deleted // self.rows if self.rows else 0,
            kept_latest=self.rows - self.rows_to_delete,
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

    Every major version of a group is cleaned by its own definition. A partition is deleted once all of it is older, so
    that no file is read or written: rows live at least as long as declared, and at most one partition (a day or a
    month) longer. With ``keep_latest`` in the group's definition, the rows stay that an as-of read after the cut still
    needs: the last value before the cut per entity and feature, while its TTL lasts. Groups without a retention are
    skipped. Training sets are not touched. Safe to repeat. Raises NotFoundError, InvalidArgumentError.
    """
    if retention_days is not None and (isinstance(retention_days, bool) or retention_days < 1):
        raise InvalidArgumentError(f"retention_days is {retention_days!r}; give a number of days from 1 on")
    chosen = _with_cut(scope.context, chosen_groups(scope.context, groups), retention_days)
    if dry_run:
        return Listing((_would_delete(scope, group, before) for group, before in chosen), describe_retention)
    if not chosen:
        return Listing((), describe_retention)
    with recorded_run(scope, CLEANUP) as job:
        results = [_clean(scope, _old(scope, group, before)) for group, before in chosen]
        job.report({"groups": [asdict(result) for result in results if result.deleted_rows]})
    return Listing(results, describe_retention)


def chosen_groups(context: Context, names: Sequence[str] | None) -> list[FeatureGroup]:
    """Every major version of the named groups, or of all groups, that is stored.

    Raises NotFoundError, and InvalidArgumentError for a name whose newest version is in place.
    """
    state = context.refresh()
    for name in names or ():
        check_stored(state.feature_group(name))
    stored = (group for group in state.all_feature_groups() if group.in_place is None)
    return [group for group in stored if names is None or group.name in names]


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
            # The retention reaches back before the year 1: no row is that old.
            continue
    return chosen


def _would_delete(scope: Scope, group: FeatureGroup, before: date) -> RetentionResult:
    expired = _expired(scope, group, before)
    old = _with_doomed(scope, expired) or _with_superseded(scope, expired)
    return old.result(old.rows_to_delete, None, dry_run=True)


def _expired(scope: Scope, group: FeatureGroup, before: date) -> _ExpiredRows:
    """The group's old rows by the table's log, all of them to delete."""
    version = scope.table(group).values.version()
    files = scope.table(group).files(scope.tenant_id, version)
    expired = [file for file in files if file.partition["event_date"] < before]
    rows, size = sum(file.rows for file in expired), sum(file.bytes for file in expired)
    return _ExpiredRows(group, before, version, rows, size, rows)


def _with_doomed(scope: Scope, old: _ExpiredRows) -> _ExpiredRows | None:
    """The same rows with those among them to delete, without Spark; None if only Spark can read them."""
    if old.keeps_none:
        return old
    group = old.group
    columns = [*group.join_keys, *TIME_COLUMNS, *(group.feature_names if group.nulls == "skip" else ())]
    files = scope.table(group).read_by_file(scope.tenant_id, columns, old.dates, old.version)
    if files is None:
        return None
    rows = pa.concat_tables([rows for _, rows in files])
    mask = is_superseded(rows, group.join_keys, group.feature_names, group.nulls, ttl=group.ttl, cut=old.cut)
    ends = np.cumsum([rows.num_rows for _, rows in files])
    masks = zip(files, np.split(mask, ends[:-1]), strict=True)
    doomed = tuple(DoomedRows(file, in_file) for (file, _), in_file in masks if in_file.any())
    return replace(old, rows_to_delete=int(mask.sum()), doomed=doomed)


def _old(scope: Scope, group: FeatureGroup, before: date) -> _ExpiredRows:
    expired = _expired(scope, group, before)
    old = _with_doomed(scope, expired)
    if old is not None and (not old.doomed or scope.table(group).takes_local_writes()):
        return old
    return _with_superseded(scope, expired)


def _with_superseded(scope: Scope, old: _ExpiredRows) -> _ExpiredRows:
    """The same rows with those among them to delete, by Spark."""
    if old.keeps_none:
        return old
    columns = [name for name in values_schema(old.group).names if name not in PARTITION_COLUMNS]
    values = scope.read_values(old.group, columns, old.dates, old.version)
    to_delete = superseded_rows(values, old.group, old.cut)
    # One identity in `to_delete` represents all rows that are wholly the same.
    return replace(old, rows_to_delete=_count_of(values, to_delete, old.group), to_delete=to_delete)


def _count_of(values: DataFrame, to_delete: DataFrame, group: FeatureGroup) -> int:
    return (
        values.alias("target").join(to_delete.alias("source"), same_identity(group, "target", "source"), "semi").count()
    )


def _clean(scope: Scope, old: _ExpiredRows) -> RetentionResult:
    for _ in range(_MOST_TRIES):
        if not old.rows_to_delete:
            return old.result(0, None, dry_run=False)
        deleted = _delete(scope, old)
        if deleted is not None:
            scope.step("cleanup.deleted")
            return old.result(deleted, scope.table(old.group).values.version(), dry_run=False)
        old = _old(scope, old.group, old.before)
    raise TableBusyError(
        f"table {scope.table(old.group).values}: others changed the files of old rows during each of {_MOST_TRIES} "
        "tries to delete some of them; nothing was deleted. Try again"
    )


def _delete(scope: Scope, old: _ExpiredRows) -> int | None:
    """Delete the rows, and return their number; None, and nothing is deleted, if their files are others by now.

    Only these rows are deleted: a late row that another writer appends during the run stays.
    """
    table = scope.table(old.group)
    if old.doomed is not None:
        return old.rows_to_delete if table.delete_rows_locally(old.doomed) else None
    if old.to_delete is None:
        return table.delete_before(scope.tenant_id, old.before)
    inside = (F.col("target.tenant_id") == F.lit(scope.tenant_id)) & (
        F.col("target.event_date") < date_literal(old.before)
    )
    return table.values.delete_matched(old.to_delete, inside & same_identity(old.group, "target", "source"))
