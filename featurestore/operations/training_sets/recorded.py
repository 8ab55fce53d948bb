"""Lookups and derived features as a manifest records them: in resolved form, with definitions and the code that ran."""

from __future__ import annotations

import hashlib
import inspect

from featurestore.columnar.derived.derived_feature import DerivedFeature
from featurestore.definitions.lookup import Lookup
from featurestore.errors import RebuildError
from featurestore.operations.reading.request import AsOfRequest, ResolvedLookup
from featurestore.stores.training_sets.manifests import DerivedSnapshot, Manifest


def lookup_of(resolved: ResolvedLookup) -> Lookup:
    """The lookup in resolved form: all features by name, and the keys that have other names in the spine."""
    renamed = {key: name for key, name in resolved.keys.items() if key != name}
    prefix = None
    first = resolved.features[0]
    if resolved.outputs[first] not in (first, f"{resolved.group.name}__{first}"):
        prefix = resolved.outputs[first].removesuffix(first)
    return Lookup(resolved.group.name, resolved.features, on=renamed, prefix=prefix)


def input_of(resolved: ResolvedLookup) -> Lookup:
    """A lookup of what derived features read: its columns are in no result, so it has no prefix."""
    renamed = {key: name for key, name in resolved.keys.items() if key != name}
    return Lookup(resolved.group.name, resolved.features, on=renamed)


def asked_lookups(join: AsOfRequest) -> tuple[Lookup, ...]:
    """The lookups of groups and of derived features, in the order of the request."""
    lookups = [lookup_of(lookup) for lookup in join.lookups]
    for before, asked in enumerate(join.derived.asked):
        lookups.insert(asked.place + before, asked.lookup)
    return tuple(lookups)


def derived_snapshots(join: AsOfRequest) -> tuple[DerivedSnapshot, ...]:
    """Each derived feature that the join computes, once, after those that it reads."""
    return tuple(_snapshot(feature) for feature in join.derived.features)


def _snapshot(feature: DerivedFeature) -> DerivedSnapshot:
    definition, code = feature.to_json(), code_of(feature)
    return DerivedSnapshot(
        name=feature.name,
        version=feature.version,
        definition=definition,
        code=code,
        code_hash=hashlib.sha256(f"{definition}\n{code}".encode()).hexdigest(),
    )


def code_of(feature: DerivedFeature) -> str:
    """The SQL that runs, or the source of the function; empty if Python does not have the source."""
    if feature.sql is not None:
        return str(feature.expression.text)
    try:
        return inspect.getsource(feature.load())
    except (OSError, TypeError):
        return ""


def check_same_code(manifest: Manifest) -> None:
    """Raise RebuildError if a derived feature of the version is computed by other code now."""
    for snapshot in manifest.derived:
        if code_of(snapshot.feature) != snapshot.code:
            raise RebuildError(
                f"training set {manifest.name!r} v{manifest.version}: the code of derived feature {snapshot.name!r} "
                f"({snapshot.feature.function or snapshot.feature.sql}) changed since; install the package that held "
                "it then, or build a new set. The saved rows stay readable"
            )
