"""The exports' part of an erasure: folders that the store wrote, and that may hold the entities, are deleted."""

from __future__ import annotations

import json
import re

from featurestore.frames.rows.rows_of_entity import by_columns, rows_met
from featurestore.operations.erasure.erasing import Erasing
from featurestore.operations.erasure.training_sets import lookups_of
from featurestore.stores.small_tables.export_log import MARKS, ExportLog, ExportRecord
from featurestore.stores.training_sets.manifests import Manifest


def erase_exports(erasing: Erasing) -> list[str]:
    """Delete exports of training sets that hold the entities, and all others of the tenant: what is in these is not known.

    Before the training sets are erased from, which tell which of their exports hold the entities. Gives what is left:
    a folder that was written to, and does not look like an export of the tenant's any more.
    """
    context = erasing.context
    # A path that was exported to again, after its folder was removed, holds what came last.
    newest = {
        record.path: record for record in ExportLog(context.layout.exports).of_tenant(context.spark, erasing.tenant_id)
    }
    sets = {
        (manifest.name, manifest.version): manifest
        for manifest in context.training_sets.list(context.spark, erasing.tenant_id)
    }
    doomed = [
        record for record in newest.values() if _may_hold(erasing, record, sets.get((record.name, record.version)))
    ]
    there = [record for record in doomed if context.files.exists(record.path)]
    known = [record for record in there if _is_ours(erasing, record)]
    folders = [record.path for record in known] + [folder for record in doomed for folder in _begun(erasing, record)]
    if folders:
        erasing.plan(folders)
        for folder in folders:
            context.files.delete(folder)
        context.step("erase.exports")
    return [
        f"{record.path} was exported to, and now lacks {MARKS[record.kind]} of this tenant; look at it, and remove it by hand"
        for record in there
        if record not in known
    ]


def _is_ours(erasing: Erasing, record: ExportRecord) -> bool:
    """Whether the folder still says that it is the export."""
    try:
        told = json.loads(erasing.context.files.read_text(f"{record.path}/{MARKS[record.kind]}"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("tenant_id") == erasing.tenant_id


def _may_hold(erasing: Erasing, record: ExportRecord, manifest: Manifest | None) -> bool:
    if record.kind != "training_set" or manifest is None:
        return True
    rows = erasing.context.training_sets.read(erasing.spark, manifest)
    lookups = lookups_of(erasing, manifest, rows.schema)
    return bool(lookups) and not rows_met(rows, erasing.keys, by_columns(lookups)).isEmpty()


def _begun(erasing: Erasing, record: ExportRecord) -> list[str]:
    """What tries of the export left beside it that never ended, or are under way."""
    parent, _, name = record.path.rpartition("/")
    beside = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{32}}")
    found = erasing.context.files.folders_in(parent or "/")
    return [f"{parent}/{folder}" for folder in found if beside.fullmatch(folder)]
