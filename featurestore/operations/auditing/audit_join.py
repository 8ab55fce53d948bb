"""The audit's own as-of joins: a few thousand rows of a training set, joined again by different rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from featurestore.frames.as_of.join_rules import KnownAt
from featurestore.frames.as_of.spine import with_instants
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import row_hash
from featurestore.frames.schema import feature_fields
from featurestore.frames.training_sets.missing import with_missing
from featurestore.late_spark import Column, DataFrame, F, T
from featurestore.operations.as_of.join import get_point_in_time
from featurestore.operations.context import Scope
from featurestore.operations.reading.request import AsOfRequest, ResolvedLookup, resolve_lookup
from featurestore.stores.training_sets.manifests import Manifest

_AT = "__at"
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
    def of(cls, scope: Scope, rows: DataFrame, manifest: Manifest) -> SpineSample:
        """Read the sample into memory; ``rows`` must be few enough for that."""
        lookups = tuple(_compared_part(lookup) for lookup in lookups_of(manifest))
        timed = with_instants(rows, manifest.timestamp_column, scope.settings.timestamp_zone, _AT)
        saved = [_content(lookup).alias(_saved(index)) for index, lookup in enumerate(lookups)]
        table = timed.select(*(column(name) for name in manifest.key_columns), F.col(_AT), *saved).toArrow()
        return cls(scope, manifest, lookups, table)

    def joined(self, lookups: Sequence[ResolvedLookup], known_at: KnownAt) -> DataFrame:
        """The sample with the values of the lookups."""
        request = AsOfRequest(
            lookups=tuple(lookups),
            timestamp_column=_AT,
            known_at=known_at,
            with_timestamps=True,
            table_versions={(group.name, group.version): group.table_version for group in self.manifest.groups},
        )
        joined: DataFrame = get_point_in_time(self.scope, self.spine, request, to="spark", host=None)
        return joined


def as_served(sample: SpineSample) -> list[Reality]:
    """One result per lookup: its saved values compared with the values known at each row's own time.

    Arrays are compared only if the lookup has nothing else: they take long to read, and the group's other features show
    the same.
    """
    served = _filled(sample.joined(sample.lookups, "event"), sample)
    figures = [F.count(F.lit(1)).alias("rows")]
    for index, lookup in enumerate(sample.lookups):
        differs = F.col(_saved(index)) != _content(lookup)
        nothing = column(lookup.event_timestamp_output).isNull()
        figures += [
            F.count_if(differs).alias(f"other_{index}"),
            F.count_if(differs & nothing).alias(f"nothing_{index}"),
        ]
    counts = served.agg(*figures).collect()[0]
    return [Reality(counts["rows"], counts[f"other_{i}"], counts[f"nothing_{i}"]) for i in range(len(sample.lookups))]


def _filled(served: DataFrame, sample: SpineSample) -> DataFrame:
    """Fill missing values here, too, if the set's missing values were filled."""
    missing = sample.manifest.missing
    if missing in ("keep", "drop"):
        return served
    names = [name for lookup in sample.lookups for name in lookup.outputs.values()]
    if isinstance(missing, Mapping):
        missing = {name: value for name, value in missing.items() if name in names}
    return with_missing(served, names, missing)


def _content(lookup: ResolvedLookup) -> Column:
    return row_hash([column(lookup.outputs[name]) for name in lookup.features])


def _saved(index: int) -> str:
    return f"__saved_{index}"


def expired(sample: SpineSample, lookup: ResolvedLookup, features: Sequence[str]) -> dict[str, Expired]:
    """What the TTL left out, by feature of a lookup with a TTL."""
    lasting = replace(lookup, group=lookup.group.model_copy(update={"ttl": None}))
    built = _renamed(_only(lookup, features), "__built")
    older = [_renamed(_only(lasting, [name]), f"__older_{index}") for index, name in enumerate(features)]
    rows = sample.joined([built, *older], sample.manifest.known_at)
    figures = [F.count(F.lit(1)).alias("rows")]
    for index, name in enumerate(features):
        missing = column(built.outputs[name]).isNull()
        has_older = missing & column(older[index].outputs[name]).isNotNull()
        age = F.unix_micros(F.col(_AT)) - F.unix_micros(column(older[index].event_timestamp_output))
        figures += [
            F.count_if(missing).alias(f"missing_{index}"),
            F.count_if(has_older).alias(f"older_{index}"),
            F.percentile(F.when(has_older, age / F.lit(_MICROS_A_SECOND)), list(AGE_PERCENTILES)).alias(
                f"ages_{index}"
            ),
        ]
    counts = rows.agg(*figures).collect()[0]
    return {
        name: Expired(
            counts["rows"], counts[f"missing_{index}"], counts[f"older_{index}"], tuple(counts[f"ages_{index}"] or ())
        )
        for index, name in enumerate(features)
    }


def _compared_part(lookup: ResolvedLookup) -> ResolvedLookup:
    scalars = [name for name in lookup.features if not _is_array(lookup, name)]
    return _only(lookup, scalars or lookup.features)


def _is_array(lookup: ResolvedLookup, feature: str) -> bool:
    return isinstance(feature_fields(lookup.group.feature(feature))[0].dataType, T.ArrayType)


def _only(lookup: ResolvedLookup, features: Sequence[str]) -> ResolvedLookup:
    outputs: Mapping[str, str] = {name: lookup.outputs[name] for name in features}
    return replace(lookup, features=tuple(features), outputs=dict(outputs))


def _renamed(lookup: ResolvedLookup, prefix: str) -> ResolvedLookup:
    """The lookup with outputs under names that neither the spine nor another lookup has."""
    outputs = {name: f"{prefix}_{name}" for name in lookup.features}
    return replace(lookup, outputs=outputs, event_timestamp_output=f"{prefix}__at")
