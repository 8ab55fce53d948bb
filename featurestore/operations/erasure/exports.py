"""Erase exports: delete the folders that the store wrote and that may hold the entities."""

from __future__ import annotations

import json

from featurestore.frames.rows.rows_of_entity import by_columns, rows_met
from featurestore.operations.erasure.erasing import Erasing
from featurestore.operations.erasure.training_sets import lookups_of
from featurestore.stores.files.leftovers import unfinished
from featurestore.stores.small_tables.export_log import MARKS, ExportRecord
from featurestore.stores.training_sets.manifests import Manifest


def erase_exports(erasing: Erasing) -> list[str]:
    """Delete exports of training sets that hold the entities, and all exports of other kinds: their rows are unknown.

    This runs before the erasure from training sets, because their rows show which of their exports hold the entities.
    Returns messages about what is left: exported folders that no longer look like an export of this tenant.
    """
    context = erasing.context
    # A path may have been exported to more than once; its folder holds the last export.
    newest = {record.path: record for record in context.exports.of_tenant(erasing.tenant_id)}
    sets = {(manifest.name, manifest.version): manifest for manifest in context.training_sets.list(erasing.tenant_id)}
    doomed = [
        record for record in newest.values() if _may_hold(erasing, record, sets.get((record.name, record.version)))
    ]
    existing = [record for record in doomed if context.files.exists(record.path)]
    ours = [record for record in existing if _is_ours(erasing, record)]
    folders = [record.path for record in ours]
    folders += [folder for record in doomed for folder in unfinished(context.files, record.path)]
    if folders:
        erasing.plan(folders)
        for folder in folders:
            context.files.delete(folder)
        context.step("erase.exports")
    return [
        f"{record.path} was exported to, and now lacks {MARKS[record.kind]} of this tenant; "
        "look at it, and remove it by hand"
        for record in existing
        if record not in ours
    ]


def _is_ours(erasing: Erasing, record: ExportRecord) -> bool:
    """Whether the folder's mark still says that it is this tenant's export."""
    try:
        mark = json.loads(erasing.context.files.read_text(f"{record.path}/{MARKS[record.kind]}"))
    except (OSError, ValueError):
        return False
    return isinstance(mark, dict) and mark.get("tenant_id") == erasing.tenant_id


def _may_hold(erasing: Erasing, record: ExportRecord, manifest: Manifest | None) -> bool:
    if record.kind != "training_set" or manifest is None:
        return True
    rows = erasing.context.training_sets.read(manifest)
    lookups = lookups_of(erasing, manifest, rows.schema)
    return bool(lookups) and not rows_met(rows, erasing.keys, by_columns(lookups)).isEmpty()
