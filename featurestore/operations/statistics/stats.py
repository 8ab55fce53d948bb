"""Totals of a tenant's data, per feature group: rows, entities, times, files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.display.description import Display, Table, count, counted, share, size, utc_text
from featurestore.display.displayed import Listing
from featurestore.errors import NotFoundError
from featurestore.frames.columns import column
from featurestore.late_spark import F
from featurestore.operations.context import Scope, State
from featurestore.operations.statistics.profile import null_shares
from featurestore.stores.delta.log import LogCommit
from featurestore.stores.group_table import BatchRecord

# Commits searched for a tenant's last batch before the table's whole history is read.
_RECENT = 100


@dataclass(frozen=True)
class GroupStats:
    """One tenant's part of a feature group, all from one version of its table.

    ``rows``: as written; corrections and the rows that they corrected both count. ``entities``: distinct join keys,
    exact; None if they were not requested. ``oldest``, ``newest``: event timestamps, UTC; None without rows. ``files``,
    ``bytes``: of the table's current version (older versions stay on disk for a while, too). ``last_write``: when the
    tenant's last batch was committed, UTC; None without one in the table's history. ``null_shares``: by feature, of the
    rows after corrections, from the last ``profile``; None if rows changed since.

    Of a group in place, the user's table is read: its rows with all join keys and an event timestamp, and the files
    that may hold them. ``table_version`` is then that of a Delta table, or 0, and ``last_write`` is None.
    """

    group: str
    version: int
    features: tuple[str, ...]
    rows: int
    entities: int | None
    oldest: datetime | None
    newest: datetime | None
    files: int
    bytes: int
    last_write: datetime | None
    table_version: int
    null_shares: dict[str, float] | None = None

    @classmethod
    def without_rows(cls, group: FeatureGroup) -> GroupStats:
        """Of a group in place whose table is not there for the tenant."""
        names = tuple(group.feature_names)
        return cls(group.name, group.version, names, 0, None, None, None, 0, 0, None, 0)


def describe_stats(stats: Sequence[GroupStats]) -> Display:
    """One line per group."""
    columns = ("group", "rows", "entities", "oldest", "newest", "files", "size", "last write", "most often null")
    rows = [
        (
            f"{group.group} v{group.version}",
            count(group.rows),
            count(group.entities),
            utc_text(group.oldest),
            utc_text(group.newest),
            count(group.files),
            size(group.bytes),
            utc_text(group.last_write),
            _most_often_null(group.null_shares),
        )
        for group in stats
    ]
    total = f"{counted(len(stats), 'feature group')}: {counted(sum(group.rows for group in stats), 'row')}"
    return Display(f"{total}, {size(sum(group.bytes for group in stats))}", tables=(Table(columns, tuple(rows)),))


def _most_often_null(shares: dict[str, float] | None) -> str:
    """The feature with the largest null share; empty if the shares are unknown or no value is missing."""
    if not shares or not any(shares.values()):
        return ""
    name = max(shares, key=lambda feature: shares[feature])
    return f"{name} {share(shares[name])}"


def get_stats(scope: Scope, *, entities: bool, profiled: bool = True) -> Listing[GroupStats]:
    """One ``GroupStats`` per current feature group (its highest version), by name; groups without rows are included.

    Rows, files and sizes come from the table's log; the oldest and the newest event timestamp from the files that hold
    them; ``entities`` costs one scan of the join keys. Without ``profiled`` there are no null shares, and the profiles
    are not read.
    """
    stats = (_stats(scope, group, entities, profiled) for group in scope.context.refresh().stored_feature_groups())
    return Listing(stats, describe_stats)


def _stats(scope: Scope, group: FeatureGroup, entities: bool, profiled: bool) -> GroupStats:
    if group.in_place is not None:
        return _in_place(scope, group, entities, profiled)
    table = scope.table(group)
    recent = table.values.history(limit=_RECENT)
    version = recent[0].version
    files = table.files(scope.tenant_id, version)
    oldest, newest = table.extent(files) or (None, None)
    last_write = _last_write(recent, scope.tenant_id)
    if last_write is None and version >= _RECENT:
        last_write = _last_write(table.values.history(), scope.tenant_id)
    return GroupStats(
        group=group.name,
        version=group.version,
        features=tuple(group.feature_names),
        rows=sum(file.rows for file in files),
        entities=_count_entities(scope, group, version) if entities else None,
        oldest=None if oldest is None else oldest.astimezone(UTC),
        newest=None if newest is None else newest.astimezone(UTC),
        files=len(files),
        bytes=sum(file.bytes for file in files),
        last_write=last_write,
        table_version=version,
        null_shares=null_shares(scope, group) if profiled else None,
    )


def _in_place(scope: Scope, group: FeatureGroup, entities: bool, profiled: bool) -> GroupStats:
    table = scope.context.in_place(group)
    try:
        state = table.state(scope.tenant_id)
    except NotFoundError:
        # Not every tenant has rows in every group.
        return GroupStats.without_rows(group)
    columns = ["event_timestamp", *(group.join_keys if entities else ())]
    local = table.read_local(scope.tenant_id, columns, version=state.pin)
    if local is None:
        rows = scope.read_values(group, columns, version=state.pin)
        event = F.col("event_timestamp")
        totals = rows.agg(F.count(F.lit(1)).alias("rows"), F.min(event).alias("min"), F.max(event).alias("max"))
        [total] = totals.toArrow().to_pylist()
    else:
        total = {"rows": local.num_rows, **pc.min_max(local.column("event_timestamp")).as_py()}
    return replace(
        GroupStats.without_rows(group),
        rows=total["rows"],
        entities=_count_distinct(scope, group, local, state.pin) if entities else None,
        oldest=None if total["min"] is None else total["min"].astimezone(UTC),
        newest=None if total["max"] is None else total["max"].astimezone(UTC),
        files=state.files,
        bytes=state.bytes,
        table_version=state.pin.version or 0,
        null_shares=null_shares(scope, group) if profiled else None,
    )


def _count_entities(scope: Scope, group: FeatureGroup, version: int) -> int:
    return _count_distinct(
        scope, group, scope.table(group).read_local(scope.tenant_id, group.join_keys, version=version), version
    )


def _count_distinct(scope: Scope, group: FeatureGroup, local: pa.Table | None, version: State) -> int:
    if local is not None:
        return int(local.group_by(group.join_keys).aggregate([]).num_rows)
    values = scope.read_values(group, group.join_keys, version=version)
    return values.select(*(column(key) for key in group.join_keys)).distinct().count()


def _last_write(commits: Sequence[LogCommit], tenant_id: str) -> datetime | None:
    """The time of the newest commit that holds a batch of the tenant, UTC."""
    for commit in commits:
        record = BatchRecord.from_json(commit.user_metadata)
        if record is not None and record.tenant_id == tenant_id:
            return commit.at
    return None
