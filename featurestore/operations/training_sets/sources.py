"""Check that the table versions that a training set was built from still exist, and explain what removed them."""

from __future__ import annotations

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import NotFoundError, RebuildError, SchemaError, StorageError
from featurestore.late_spark import F, spark_errors
from featurestore.operations.context import Scope
from featurestore.operations.windows.event_tables import holder_of, open_events
from featurestore.stores.delta.log import file_name
from featurestore.stores.delta.table_files import TableFiles
from featurestore.stores.outside.pins import SourcePin
from featurestore.stores.training_sets.manifests import GroupSnapshot, Manifest

_ADVICE = "Its saved rows stay readable; build a new version to have it from the tables as they are now"


def check_sources(scope: Scope, manifest: Manifest) -> None:
    """Raise RebuildError if rows were erased from the set, or if a table's version can no longer be read."""
    if manifest.erasures:
        rows = sum(note.rows for note in manifest.erasures)
        raise RebuildError(
            f"{_cannot_rebuild(manifest)}: {rows} of its rows were erased, and with them the old versions of the "
            f"tables that it was built from. {_ADVICE}"
        )
    for snapshot in _snapshots(manifest):
        try:
            if snapshot.pin is None:
                scope.table(holder_of(scope.context, snapshot.group)).values.read(snapshot.table_version)
            else:
                _check_pinned(scope, manifest, snapshot, snapshot.pin)
        except StorageError as error:
            raise _gone(manifest, snapshot, str(error)) from error
        except spark_errors.AnalysisException as error:
            if not str(error.getCondition()).startswith("DELTA_"):
                raise
            raise _gone(manifest, snapshot, str(error.getCondition())) from error


def _check_pinned(scope: Scope, manifest: Manifest, snapshot: GroupSnapshot, pin: SourcePin) -> None:
    """Raise RebuildError if the user's table of a group in place cannot be read in its pinned state."""
    why = f"the state of {pin.place}, a table of a catalog that is not Delta, is not known"
    if pin.is_known:
        try:
            return _check_readable(scope, snapshot.group, pin)
        except (StorageError, NotFoundError, SchemaError) as error:
            why = str(error)
    raise RebuildError(
        f"{_cannot_rebuild(manifest)}: group {snapshot.name!r} reads {pin.place}, which is not the store's, and is no "
        f"longer what the set was built from: {why}. {_ADVICE}"
    )


def _check_readable(scope: Scope, group: FeatureGroup, pin: SourcePin) -> None:
    if group.is_computed:
        open_events(scope, group, group.aggregates, pin).check(group, group.aggregates)
    else:
        scope.context.in_place(group).check_pinned(scope.tenant_id, pin)


def _gone(manifest: Manifest, snapshot: GroupSnapshot, reason: str) -> RebuildError:
    return RebuildError(
        f"{_cannot_rebuild(manifest)}: version {snapshot.table_version} of {snapshot.table}, from which it was built, "
        f"is gone from the table's log ({reason}). {_ADVICE}"
    )


def explain_missing_files(scope: Scope, manifest: Manifest, error: Exception) -> None:
    """Raise RebuildError if files of a table's version no longer exist; called when a rebuild failed."""
    context = scope.context
    for snapshot in _snapshots(manifest):
        if snapshot.pin is not None:
            _check_pinned(scope, manifest, snapshot, snapshot.pin)
            continue
        table = context.table(holder_of(context, snapshot.group)).values
        of_tenant = {"tenant_id": manifest.tenant_id}
        existing = {file.name for file in TableFiles(context.spark, context.files, table, of_tenant).stored()}
        rows = table.read(snapshot.table_version).where(F.col("tenant_id") == F.lit(manifest.tenant_id))
        needed = {file_name(path) for path in rows.inputFiles()}
        if needed - existing:
            raise RebuildError(
                f"{_cannot_rebuild(manifest)}: {len(needed - existing)} of {len(needed)} files of version "
                f"{snapshot.table_version} of {snapshot.table}, from which it was built, are gone: removed by a "
                f"vacuum with a shorter horizon, or by an erasure. {_ADVICE}"
            ) from error


def _snapshots(manifest: Manifest) -> list[GroupSnapshot]:
    """The snapshots with distinct tables and versions."""
    every = [snapshot for part in manifest.all_parts for snapshot in part.groups]
    return list({(snapshot.table, snapshot.state): snapshot for snapshot in every}.values())


def _cannot_rebuild(manifest: Manifest) -> str:
    return f"training set {manifest.name!r} v{manifest.version} cannot be built again"
