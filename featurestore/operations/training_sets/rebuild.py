"""Rebuild a saved training set from the same tables and definitions; publish it only if the content is the same."""

from __future__ import annotations

from functools import partial

from featurestore.errors import RebuildError, StorageError
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import content_hash
from featurestore.late_spark import F, py4j_errors, spark_errors
from featurestore.operations.context import Context, Scope
from featurestore.operations.reading.request import Spine
from featurestore.operations.training_sets.build import build_parts
from featurestore.operations.training_sets.examples import PartToBuild
from featurestore.operations.training_sets.manifest_spine import spine_of_manifest
from featurestore.operations.training_sets.recorded import check_same_code
from featurestore.operations.training_sets.request import join_of_manifest, plan_of_manifest
from featurestore.operations.training_sets.sources import check_sources, explain_missing_files
from featurestore.stores.training_sets.manifests import PART, Manifest


def rebuild_training_set(scope: Scope, manifest: Manifest, spine: Spine | None) -> Manifest:
    """Build a version again from the table versions and definitions in its manifest, and publish a new version.

    ``spine``: None for the spine of the saved rows; either way it must have the manifest's fingerprint. Raises
    RebuildError if the fingerprint differs, rows were erased from the set, a table's version is gone, or the content
    differs; then nothing is published.
    """
    check_sources(scope, manifest)
    check_same_code(manifest)
    parts = _parts_as_they_were(scope.context, manifest, spine)
    # If the build dropped rows of the user's spine, only the content hash can check it, after the drop.
    is_whole = spine is not None and manifest.rows_dropped > 0
    for part, was in zip(parts, manifest.all_parts, strict=True):
        if not is_whole and content_hash(part.spine) != was.spine_fingerprint:
            raise RebuildError(
                f"training set {manifest.name!r} v{manifest.version}: the spine is not the one it was built from "
                f"(fingerprint {was.spine_fingerprint[:12]}...); give the same rows, after sampling"
            )
    try:
        return build_parts(scope, parts, plan_of_manifest(manifest), check=partial(_check_same, manifest)).manifest
    except (spark_errors.PySparkException, py4j_errors.Py4JJavaError, StorageError) as error:
        explain_missing_files(scope, manifest, error)
        raise


def _check_same(manifest: Manifest, built: Manifest) -> None:
    if built.content_hash != manifest.content_hash:
        raise RebuildError(
            f"training set {manifest.name!r} v{manifest.version}: built again, its content hash is "
            f"{built.content_hash[:12]}... and was {manifest.content_hash[:12]}..., so it is not published; a source "
            "table was changed in place, or this version of the package computes differently. The saved rows stay "
            "readable"
        )


def _parts_as_they_were(context: Context, manifest: Manifest, spine: Spine | None) -> list[PartToBuild]:
    if spine is not None and manifest.parts:
        raise RebuildError(
            f"training set {manifest.name!r} v{manifest.version} was extended, and the rows of spine= do not show "
            f"which of its {len(manifest.parts)} parts they belong to; rebuild it from its saved rows, without spine="
        )
    if spine is None:
        saved = context.training_sets.read_with_part(manifest)
        spines = [saved.where(F.col(PART) == index) for index in range(len(manifest.all_parts))]
    else:
        spines = [spine_of_manifest(context, manifest, spine, plan_of_manifest(manifest).join)]
    return [
        PartToBuild(
            rows.select(*(column(name) for name in manifest.spine_columns)),
            join_of_manifest(manifest, part.groups),
            {(group.name, group.version): group.state for group in part.groups},
        )
        for rows, part in zip(spines, manifest.all_parts, strict=True)
    ]
