"""Delete saved training sets: unpublish first, then remove the rows; safe to repeat after a crash between the two."""

from __future__ import annotations

from featurestore.errors import InvalidArgumentError, NotFoundError, nearest
from featurestore.operations.context import Context, Scope
from featurestore.stores.delta.table import DeltaTable


def delete_training_set(scope: Scope, name: str, version: int | None, *, all_versions: bool) -> tuple[int, ...]:
    """Delete one version, or all; return the deleted versions.

    If a crash left rows of a version that was unpublished before, they are removed now; a version that is wholly gone
    raises no error. Its number is never used again. Sets that were extended from a deleted one have their own rows.
    Raises NotFoundError with the nearest names or the existing versions, InvalidArgumentError if the version is
    ambiguous.
    """
    store = scope.training_sets
    versions = store.versions(scope.tenant_id, name)
    if not versions:
        known = {manifest.name for manifest in store.list(scope.tenant_id)}
        raise NotFoundError(f"training set {name!r} was never built. {nearest(name, known)}")
    chosen = _chosen(name, versions, version, all_versions)
    store.unpublish(scope.tenant_id, name, chosen)
    for number in chosen:
        _remove(scope.context, store.rows_table(scope.tenant_id, name, number))
    return chosen


def _chosen(name: str, versions: dict[int, bool], version: int | None, all_versions: bool) -> tuple[int, ...]:
    published = [number for number, is_published in versions.items() if is_published]
    if version is not None and all_versions:
        raise InvalidArgumentError(f"training set {name!r}: give version={version} or all_versions=True, not both")
    if version is not None:
        if version not in versions:
            raise NotFoundError(f"training set {name!r} has no version {version}; it has {published}")
        return (version,)
    if all_versions or not published:
        return tuple(versions)
    if len(published) > 1:
        raise InvalidArgumentError(
            f"training set {name!r} has the versions {published}; give version= or all_versions=True"
        )
    return (published[0],)


def _remove(context: Context, table: DeltaTable) -> None:
    if table.path is not None:
        context.files_at(table.path).delete(table.path)
    else:
        table.drop()
