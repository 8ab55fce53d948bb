"""Recognise a saved version that a build would only make again."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.columnar.rows.fingerprint import content_fingerprint
from featurestore.errors import NotFoundError, StorageError
from featurestore.frames.fingerprint import content_hash
from featurestore.late_spark import py4j_errors, spark_errors
from featurestore.operations.context import Scope
from featurestore.operations.repeats.tables import are_unchanged
from featurestore.operations.saved_sets.saved_rows import words_of
from featurestore.stores.small_tables.rows import UnreadableRow, warn_of
from featurestore.stores.training_sets.manifests import GroupSnapshot, Manifest

# A set whose files are larger than this is checked by Spark.
_MOST_LOCAL_BYTES = 1 << 28


def up_to_date(
    scope: Scope, name: str, made_from: str, groups: Sequence[GroupSnapshot], *, strict: bool
) -> Manifest | None:
    """The newest version of a set if a build now would give the same rows; None if one has to be built.

    ``made_from`` is the hash of what would be built, and ``groups`` are the tables that it would be built from. The
    newest version counts if its hash is the same, no commit since changed a row of the tenant in one of the tables, no
    row of it was erased, with ``strict`` its audit found no fault, and its stored rows still have the content hash of
    the manifest. Only a version that passes all the other tests is read; if its rows cannot be read or are not those
    that were published, this warns, and returns None.
    """
    manifest = scope.training_sets.newest(scope.tenant_id, name)
    if manifest is None or manifest.made_from != made_from or manifest.erasures:
        return None
    if strict and any(finding.severity != "info" for finding in manifest.audit):
        return None
    if not are_unchanged(scope, manifest.groups, groups):
        return None
    fault = _fault(scope, manifest)
    if fault is not None:
        subject = f"training set {name!r} v{manifest.version}, which is up to date,"
        warn_of(UnreadableRow(subject, fault, f"delete that version (delete({name!r}, version={manifest.version}))"))
        return None
    return manifest


def _fault(scope: Scope, manifest: Manifest) -> str | None:
    """Why the stored rows are not those of the manifest; None if they are."""
    try:
        content = _stored_content(scope, manifest)
    except (StorageError, NotFoundError, spark_errors.PySparkException, py4j_errors.Py4JJavaError) as error:
        return str(error).partition("\n")[0]
    if content == manifest.content_hash:
        return None
    return f"its rows have the content hash {content[:12]}... and were published with {manifest.content_hash[:12]}..."


def _stored_content(scope: Scope, manifest: Manifest) -> str:
    """The content hash of the stored rows, without Spark if the files are few and their types are known."""
    local = scope.training_sets.read_locally(manifest)
    names = sorted(manifest.columns)
    if local is not None and sum(file.bytes for file in local.files) <= _MOST_LOCAL_BYTES:
        words = words_of(local.schema)
        if words is not None and words.keys() >= set(names):
            return content_fingerprint(local.read_all(names), names)
    return content_hash(scope.training_sets.read(manifest), names)
