"""The audit's own as-of joins: a few thousand rows of a training set, joined again by different rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import as_numpy, plain_values
from featurestore.columnar.ranks import one_array
from featurestore.columnar.rows.fingerprint import row_hashes
from featurestore.columnar.schema import feature_fields
from featurestore.columnar.training_sets.missing import with_missing
from featurestore.columnar.training_sets.percentiles import percentiles
from featurestore.frames.as_of.join_rules import KnownAt
from featurestore.operations.as_of.join import get_point_in_time
from featurestore.operations.auditing.audited_rows import AT, AuditedRows, saved_name
from featurestore.operations.context import Scope
from featurestore.operations.reading.request import AsOfRequest, ResolvedLookup, resolve_lookup
from featurestore.stores.training_sets.manifests import Manifest

AGE_PERCENTILES = (0.5, 0.9)
_MICROS_A_SECOND = 1e6


@dataclass(frozen=True)
class Reality:
    """A lookup as serving would have answered it.

    Of ``rows``, ``other`` would have got other values, and ``nothing`` of these would have got no value at all.
    """

    rows: int
    other: int
    nothing: int


@dataclass(frozen=True)
class Expired:
    """A feature under its group's TTL.

    Of ``rows``, ``missing`` have no value, and ``older`` of these have a value older than the TTL. ``ages``: the age of
    the older values in seconds, at AGE_PERCENTILES.
    """

    rows: int
    missing: int
    older: int
    ages: tuple[float, ...]


def lookups_of(manifest: Manifest) -> tuple[ResolvedLookup, ...]:
    """The lookups that the set was built with, with the definitions in the manifest."""
    groups = {snapshot.name: snapshot.group for snapshot in manifest.groups}
    return tuple(
        resolve_lookup(groups[lookup.group], lookup, manifest.full_feature_names) for lookup in manifest.features
    )


@dataclass(frozen=True)
class SpineSample:
    """The keys and instants of some rows, with a hash of each lookup's saved values.

    The sample is held in memory, so that every join has exactly the same rows.
    """

    scope: Scope
    manifest: Manifest
    lookups: tuple[ResolvedLookup, ...]
    spine: pa.Table

    @classmethod
    def of(cls, scope: Scope, rows: AuditedRows, manifest: Manifest, size: int, total: int) -> SpineSample:
        """About ``size`` rows, which must be few enough for memory, of the ``total``."""
        lookups = tuple(_compared_part(lookup) for lookup in lookups_of(manifest))
        return cls(scope, manifest, lookups, rows.to_join_again(lookups, size, total))

    def joined(self, lookups: Sequence[ResolvedLookup], known_at: KnownAt) -> pa.Table:
        """The sample with the values of the lookups."""
        request = AsOfRequest(
            lookups=tuple(lookups),
            timestamp_column=AT,
            known_at=known_at,
            with_timestamps=True,
            table_versions={(group.name, group.version): group.state for group in self.manifest.groups},
        )
        joined: pa.Table = get_point_in_time(self.scope, self.spine, request, to="arrow", host=None)
        return joined


def as_served(sample: SpineSample) -> list[Reality]:
    """One result per lookup: its saved values compared with the values known at each row's own time.

    Arrays are compared only if the lookup has nothing else: they take long to read, and the group's other features show
    the same.
    """
    served = _filled(sample.joined(sample.lookups, "event"), sample)
    return [_reality(served, index, lookup) for index, lookup in enumerate(sample.lookups)]


def _reality(served: pa.Table, index: int, lookup: ResolvedLookup) -> Reality:
    differs = as_numpy(one_array(served.column(saved_name(index)))) != row_hashes(
        [served.column(lookup.outputs[name]) for name in lookup.features]
    )
    nothing = _is_null(served, lookup.event_timestamp_output)
    return Reality(served.num_rows, int(differs.sum()), int((differs & nothing).sum()))


def _filled(served: pa.Table, sample: SpineSample) -> pa.Table:
    """Fill missing values here, too, if the set's missing values were filled."""
    missing = sample.manifest.missing
    if missing in ("keep", "drop"):
        return served
    names = [name for lookup in sample.lookups for name in lookup.outputs.values()]
    if isinstance(missing, Mapping):
        missing = {name: value for name, value in missing.items() if name in names}
    return with_missing(served, names, missing)


def _is_null(rows: pa.Table, name: str) -> NDArray[np.bool_]:
    missing: NDArray[np.bool_] = as_numpy(one_array(rows.column(name)).is_null())
    return missing


def expired(sample: SpineSample, lookup: ResolvedLookup, features: Sequence[str]) -> dict[str, Expired]:
    """What the TTL left out, by feature of a lookup with a TTL."""
    lasting = replace(lookup, group=lookup.group.model_copy(update={"ttl": None}))
    built = _renamed(_only(lookup, features), "__built")
    older = [_renamed(_only(lasting, [name]), f"__older_{index}") for index, name in enumerate(features)]
    rows = sample.joined([built, *older], sample.manifest.known_at)
    return {
        name: _expired(rows, built.outputs[name], older[index].outputs[name], older[index].event_timestamp_output)
        for index, name in enumerate(features)
    }


def _expired(rows: pa.Table, built: str, older: str, older_event: str) -> Expired:
    missing = _is_null(rows, built)
    has_older = missing & ~_is_null(rows, older)
    times = plain_values(one_array(rows.column(AT))) - plain_values(one_array(rows.column(older_event)))
    ages = percentiles(times[has_older] / _MICROS_A_SECOND, AGE_PERCENTILES)
    return Expired(rows.num_rows, int(missing.sum()), int(has_older.sum()), tuple(ages or ()))


def _compared_part(lookup: ResolvedLookup) -> ResolvedLookup:
    scalars = [name for name in lookup.features if not _is_array(lookup, name)]
    return _only(lookup, scalars or lookup.features)


def _is_array(lookup: ResolvedLookup, feature: str) -> bool:
    return bool(pa.types.is_list(feature_fields(lookup.group.feature(feature))[0].type))


def _only(lookup: ResolvedLookup, features: Sequence[str]) -> ResolvedLookup:
    outputs: Mapping[str, str] = {name: lookup.outputs[name] for name in features}
    return replace(lookup, features=tuple(features), outputs=dict(outputs))


def _renamed(lookup: ResolvedLookup, prefix: str) -> ResolvedLookup:
    """The lookup with outputs under names that neither the spine nor another lookup has."""
    outputs = {name: f"{prefix}_{name}" for name in lookup.features}
    return replace(lookup, outputs=outputs, event_timestamp_output=f"{prefix}__at")
