"""Extend a saved training set by new spine rows, and compute features for these only."""

from __future__ import annotations

from dataclasses import replace

from featurestore.columnar.training_sets.missing import check_missing
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.types import LOSSLESS_WIDENING
from featurestore.errors import IncompatibleChangeError
from featurestore.frames.columns import column
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Context, Scope
from featurestore.operations.erasure.suppress import without_erased_entities
from featurestore.operations.reading.request import Spine
from featurestore.operations.training_sets.build import build_parts
from featurestore.operations.training_sets.examples import PartToBuild
from featurestore.operations.training_sets.manifest_spine import spine_of_manifest
from featurestore.operations.training_sets.request import check_columns, join_of_manifest, plan_of_manifest
from featurestore.stores.training_sets.manifests import GroupSnapshot, Manifest


def extend_training_set(scope: Scope, manifest: Manifest, spine: Spine) -> Manifest:
    """Publish a new version: a version's saved rows unchanged, and new spine rows with their features.

    Only the new rows are computed, from the tables as they are now; a rebuild reads each part's own table versions.
    ``spine`` has exactly the manifest's spine columns, of the same types; all its rows are used, even if the version
    was sampled. A split keeps its cuts: an entity stays in its part. The new rows are joined by the rules (TTL, nulls)
    that the version was built by, but their features have their current types: if a feature was widened since, the new
    version has the wider type, in which the saved rows keep their values exactly. Raises SpineError, InvariantError,
    IncompatibleChangeError (a feature no longer exists, or its type no longer fits the saved values).
    """
    join = join_of_manifest(manifest, _defined_now(scope.context, manifest))
    plan = replace(plan_of_manifest(manifest), join=join, rebuilt_from=None)
    check_missing(plan.request.missing, plan.feature_words)
    added = spine_of_manifest(scope.context, manifest, spine, join)
    check_columns(added, plan)
    new, suppressed = without_erased_entities(scope, added, join.key_lookups)
    in_order = new.select(*(column(name) for name in manifest.spine_columns))
    part = PartToBuild(in_order, suppressed=suppressed, is_local=not isinstance(spine, DataFrame))
    return build_parts(scope, [part], plan, base=manifest).manifest


def _defined_now(context: Context, manifest: Manifest) -> list[GroupSnapshot]:
    """The groups as they were when the version was built, but with the current definitions of their features."""
    state = context.refresh()
    snapshots = []
    for snapshot in manifest.groups:
        was, now = snapshot.group, state.feature_group(snapshot.name, snapshot.version)
        features = tuple(_defined(manifest, feature, now) for feature in was.features)
        group = was.model_copy(update={"features": features})
        snapshots.append(snapshot.model_copy(update={"definition": group.to_json()}))
    return snapshots


def _defined(manifest: Manifest, was: Feature, group: FeatureGroup) -> Feature:
    if was.name not in group.feature_names:
        raise _incompatible(manifest, was, group, "does not exist any more")
    now = group.feature(was.name)
    if group.is_computed:
        # The saved rows were computed so, and nothing stored has another type.
        return was
    if now.type != was.type and now.type not in LOSSLESS_WIDENING.get(was.type, ()):
        raise _incompatible(manifest, was, group, f"is {now.type} now, which cannot hold all values of {was.type}")
    return now


def _incompatible(manifest: Manifest, was: Feature, group: FeatureGroup, message: str) -> IncompatibleChangeError:
    return IncompatibleChangeError(
        f"training set {manifest.name!r} v{manifest.version} cannot be extended: feature '{group.name}:{was.name}', "
        f"which was {was.type}, {message}; build a new set"
    )
