"""Recognise a fine-tuning set that is already there: complete, and what the call would write."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.operations.context import Context, Scope
from featurestore.operations.repeats.exports import check_complete, found_without_spark, taken
from featurestore.operations.repeats.tables import are_unchanged
from featurestore.stores.small_tables.export_log import MARKS
from featurestore.stores.training_sets.fine_tuning_sets import FineTuningManifest
from featurestore.stores.training_sets.manifests import GroupSnapshot


def check_place(context: Context, path: str) -> None:
    """Raise ExportError if something else than a fine-tuning set is at the path; needs no Spark."""
    target = found_without_spark(context, path)
    if target is not None:
        written_before(context, target)


def written_before(context: Context, path: str) -> FineTuningManifest:
    """The manifest of the fine-tuning set at the path; raises ExportError if something else is there."""
    try:
        text = context.files_at(path).read_text(f"{path}/{MARKS['fine_tuning']}")
        return FineTuningManifest.model_validate_json(text)
    except (OSError, ValueError) as error:
        raise taken(path, "has no manifest of a fine-tuning set") from error


def check_is_same_set(
    scope: Scope, path: str, manifest: FineTuningManifest, made_from: str | None, groups: Sequence[GroupSnapshot]
) -> None:
    """Raise ExportError unless the folder is what would be written now.

    That is, it was made from the same request, spine and definitions by the same code (``made_from``), no row of the
    tenant changed in the tables since, and its files are complete.
    """
    if manifest.tenant_id != scope.tenant_id or manifest.made_from != made_from:
        raise taken(path, "is another set: its request, its spine, a definition or the version of this package differs")
    if not are_unchanged(scope, manifest.groups, groups):
        raise taken(path, "values of its groups were written since")
    check_complete(scope.context.files_at(path), path, {file.path: file.bytes for file in manifest.files})
