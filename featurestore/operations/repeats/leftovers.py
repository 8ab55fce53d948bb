"""What killed builds and exports left on disk: rows that were never published, and temporary folders."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from featurestore.operations.context import Context
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.files.exports import sizes_in
from featurestore.stores.files.leftovers import left_behind
from featurestore.stores.runner import is_gone
from featurestore.stores.vacuuming.tables import now_of

# The store cannot see whether a build on another machine still runs; no build takes longer than this.
_LONGEST_BUILD = timedelta(hours=24)


@dataclass(frozen=True)
class Leftover:
    """A folder that nobody will read or complete, with its files and their bytes."""

    folder: str
    files: int
    bytes: int


def leftovers(context: Context) -> Iterator[Leftover]:
    """What runs of all tenants left that were killed: temporary folders of exports, and unpublished training sets.

    What a process is still writing, or may be, is not among them. In a catalog, tables of unpublished rows cannot be
    told from others, and stay.
    """
    for folder in [*_of_exports(context), *_of_training_sets(context)]:
        sizes = sizes_in(context.files_at(folder), folder)
        yield Leftover(folder, len(sizes), sum(sizes.values()))


def _of_exports(context: Context) -> Iterator[str]:
    for path in context.exports.paths():
        try:
            yield from left_behind(context.files_at(path), path)
        except OSError as error:
            warnings.warn(f"what killed exports to {path} left was not looked for: {error}", stacklevel=2)


def _of_training_sets(context: Context) -> Iterator[str]:
    manifests = context.training_sets.manifests()
    published = {(manifest.tenant_id, manifest.name, manifest.version) for manifest in manifests.readable}
    files = context.files_at(context.settings.warehouse)
    for tenant_id in context.training_sets.tenants(files):
        for name, version, table in context.training_sets.rows_tables(files, tenant_id):
            key = (tenant_id, name, version)
            # A folder without a commit may be one that a build has just begun to fill.
            if key in published or key in manifests.unreadable or not table.exists() or table.path is None:
                continue
            if is_abandoned(context, tenant_id, name, version, table):
                yield table.path


def is_abandoned(context: Context, tenant_id: str, name: str, version: int, table: DeltaTable) -> bool:
    """Whether an unpublished set will never be published.

    The manifests are read once its process is known to be gone: it might have published the set until then.
    """
    return not _is_being_built(table) and not context.training_sets.versions(tenant_id, name).get(version)


def _is_being_built(table: DeltaTable) -> bool:
    """Whether the process that wrote an unpublished set may still be about to publish it."""
    if not table.exists():
        # The folder has files but no commit yet.
        return False
    newest = table.history(limit=1)[0]
    if newest.user_metadata is None or is_gone(newest.user_metadata):
        return False
    return bool(now_of(table) - newest.at < _LONGEST_BUILD)
