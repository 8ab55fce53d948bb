"""Check a caller's spine for a saved training set: it must have the columns of the version's own spine."""

from __future__ import annotations

from featurestore.errors import SpineError
from featurestore.frames.as_of.spine import check_spine
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Context
from featurestore.operations.reading.request import AsOfRequest, Spine, as_spine
from featurestore.stores.training_sets.manifests import Manifest


def spine_of_manifest(context: Context, manifest: Manifest, spine: Spine, request: AsOfRequest) -> DataFrame:
    """The spine as a Spark DataFrame; raises SpineError unless its columns and types are the saved spine's."""
    rows = as_spine(context, spine, request)
    check_spine(rows, manifest.timestamp_column)
    _check_same_columns(rows, context.training_sets.read(manifest), manifest)
    return rows


def _check_same_columns(spine: DataFrame, saved: DataFrame, manifest: Manifest) -> None:
    kinds = {field.name: field.dataType.simpleString() for field in spine.schema}
    expected = {name: saved.schema[name].dataType.simpleString() for name in manifest.spine_columns}
    faults = [f"{name!r} is missing" for name in expected if name not in kinds]
    faults += [f"{name!r} is not among them" for name in kinds if name not in expected]
    faults += [
        f"{name!r} is {kinds[name]} and was {kind}" for name, kind in expected.items() if kinds.get(name, kind) != kind
    ]
    if faults:
        raise SpineError(
            f"training set {manifest.name!r} v{manifest.version} was not built from such a spine: {'; '.join(faults)}. "
            f"Its spine has the columns {list(manifest.spine_columns)}"
        )
