"""Decide how a sync brings vectors up to date: not at all, by the change feed, or by all rows again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from featurestore.stores.postgres.sync import Watermark

Mode = Literal["none", "incremental", "full"]


@dataclass(frozen=True)
class DeltaState:
    """The Delta table now. ``synced_commit``: the time of the commit synced last; None if the log no longer has it."""

    table_id: str
    version: int
    timestamp: datetime
    synced_commit: datetime | None


@dataclass(frozen=True)
class SyncPlan:
    """What to do, why, and from which version (not included; None: from nothing) to which.

    ``due_since``: rows with event timestamps after this instant have become valid since the last sync.
    """

    mode: Mode
    reason: str
    from_version: int | None
    to_version: int
    due_since: datetime | None = None

    def in_full(self, reason: str) -> SyncPlan:
        return SyncPlan("full", reason, self.from_version, self.to_version)


def make_sync_plan(
    watermark: Watermark | None, delta: DeltaState, now: datetime, full: bool, changed: str | None
) -> SyncPlan:
    """Plan a sync. ``changed``: the change of the tables' columns that invalidates earlier syncs, if any."""
    synced = watermark.delta_version if watermark is not None else None
    reason_for_full = _reason_for_full(watermark, delta, now, full, changed)
    if watermark is None or reason_for_full is not None:
        return SyncPlan("full", reason_for_full or "it was never synced", synced, delta.version)
    due = watermark.next_event_timestamp is not None and watermark.next_event_timestamp <= now
    if watermark.delta_version == delta.version and not due:
        return SyncPlan("none", f"version {delta.version} is synced", synced, delta.version)
    reason = f"version {synced} is synced" + (", and rows that were dated ahead have become valid" if due else "")
    return SyncPlan("incremental", reason, synced, delta.version, watermark.synced_at if due else None)


def _reason_for_full(
    watermark: Watermark | None, delta: DeltaState, now: datetime, full: bool, changed: str | None
) -> str | None:
    if changed is not None:
        return changed
    if watermark is None:
        return "it was never synced"
    if watermark.delta_table_id != delta.table_id:
        return "the Delta table is not the table that was synced"
    if watermark.delta_version > delta.version:
        return f"version {watermark.delta_version} is synced and the Delta table is at {delta.version}: it was restored"
    if delta.synced_commit is None:
        return f"the Delta table's log does not reach back to version {watermark.delta_version}, which is synced"
    if watermark.delta_timestamp != delta.synced_commit:
        return f"version {watermark.delta_version} of the Delta table is not the commit that was synced"
    if now < watermark.synced_at:
        return f"the clock is behind the last sync, which was at {watermark.synced_at.isoformat()}"
    return "it was requested" if full else None
