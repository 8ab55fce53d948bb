"""Write a file's rows: without Spark if it is one small file of this machine, else by Spark."""

from __future__ import annotations

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Scope, check_stored
from featurestore.operations.writing.batch import WriteResult
from featurestore.operations.writing.ingest import OnInvalid, ReadRows, write_batch
from featurestore.stores.files.rows import FileFormat, read_rows
from featurestore.stores.files.small_files import read_small_file


def ingest_file(
    scope: Scope,
    group: FeatureGroup,
    path: str,
    *,
    format: FileFormat | None,
    batch_id: str | None,
    on_invalid: OnInvalid,
) -> WriteResult:
    """Write the rows of a file, or of all files of a folder, as one batch; see ``OfflineStore.ingest``."""
    rows = rows_of_file(scope, group, path, format)
    return write_batch(scope, group, rows, batch_id=batch_id, on_invalid=on_invalid)


def rows_of_file(
    scope: Scope, group: FeatureGroup, path: str, format: FileFormat | None = None
) -> DataFrame | ReadRows:
    """Read a file's (or folder's) rows; see ``read_rows`` for what it raises."""
    check_stored(group, "writing")
    if scope.context.is_native and scope.table(group).takes_local_writes():
        local = read_small_file(path, group, scope.tenant_id, format, scope.settings.local_batch_rows)
        if local is not None:
            return ReadRows(local)
    return read_rows(scope.named_files, path, group, scope.tenant_id, format)
