"""Totals of a tenant's data, per feature group: rows, entities, times, files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.time_window import from_micros
from featurestore.display.description import Display, Table, count, counted, share, size, utc_text
from featurestore.display.displayed import Listing
from featurestore.frames.columns import column
from featurestore.late_spark import DataFrame, F, Row
from featurestore.operations.context import Scope
from featurestore.operations.statistics.profile import null_shares
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

    A group costs one scan of its event timestamps (Delta's own statistics truncate them to milliseconds) and, for
    ``entities``, one scan of its join keys with a shuffle of their distinct values. Without ``profiled`` there are no
    null shares, and the profiles are not read.
    """
    stats = (_stats(scope, group, entities, profiled) for group in scope.context.refresh().feature_groups())
    return Listing(stats, describe_stats)


def _stats(scope: Scope, group: FeatureGroup, entities: bool, profiled: bool) -> GroupStats:
    table = scope.table(group)
    recent = table.values.history(scope.spark, limit=_RECENT)
    version = int(recent[0]["version"])
    values = scope.read_values(group, [*group.join_keys, "event_timestamp"], version=version)
    totals = _count(values)
    last_write = _last_write(recent, scope.tenant_id)
    if last_write is None and version >= _RECENT:
        last_write = _last_write(table.values.history(scope.spark), scope.tenant_id)
    return GroupStats(
        group=group.name,
        version=group.version,
        features=tuple(group.feature_names),
        rows=totals["rows"],
        entities=_count_entities(values, group) if entities else None,
        oldest=None if totals["oldest"] is None else from_micros(totals["oldest"]),
        newest=None if totals["newest"] is None else from_micros(totals["newest"]),
        files=totals["files"],
        bytes=totals["bytes"],
        last_write=last_write,
        table_version=version,
        null_shares=null_shares(scope, group) if profiled else None,
    )


def _count(values: DataFrame) -> Row:
    """Totals of rows, times and files: first one row per file, then all files together."""
    micros = F.unix_micros("event_timestamp")
    by_file = values.groupBy("_metadata.file_path", "_metadata.file_size").agg(
        F.count(F.lit(1)).alias("rows"), F.min(micros).alias("oldest"), F.max(micros).alias("newest")
    )
    [totals] = by_file.agg(
        F.coalesce(F.sum("rows"), F.lit(0)).alias("rows"),
        F.min("oldest").alias("oldest"),
        F.max("newest").alias("newest"),
        F.count(F.lit(1)).alias("files"),
        F.coalesce(F.sum("file_size"), F.lit(0)).alias("bytes"),
    ).collect()
    return totals


def _count_entities(values: DataFrame, group: FeatureGroup) -> int:
    return values.select(*(column(key) for key in group.join_keys)).distinct().count()


def _last_write(commits: Sequence[Row], tenant_id: str) -> datetime | None:
    """The time of the newest commit that holds a batch of the tenant, UTC."""
    for commit in commits:
        record = BatchRecord.from_json(commit["userMetadata"])
        if record is not None and record.tenant_id == tenant_id:
            moment: datetime = commit["timestamp"]
            # Spark returns the process's local time, with the fold of an hour that occurs twice.
            return moment.astimezone(UTC)
    return None
