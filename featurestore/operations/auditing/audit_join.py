"""The audit's own as-of joins: a few thousand rows of a training set, joined again by other rules than it was built by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.frames.as_of.join_rules import KnownAt
from featurestore.frames.as_of.spine import with_instants
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import row_hash
from featurestore.frames.schema import feature_fields
from featurestore.frames.training_sets.missing import with_missing
from featurestore.operations.context import Context, Scope
from featurestore.operations.reading.as_of import point_in_time
from featurestore.operations.reading.request import AsOfRequest, ResolvedLookup, resolve_lookup
from featurestore.stores.arrow import to_spark
from featurestore.stores.training_sets.manifests import Manifest

_AT = "__at"
AGE_PERCENTILES = (0.5, 0.9)
_MICROS_A_SECOND = 1e6


@dataclass(frozen=True)
class Reality:
    """A lookup as it would have been served: of ``rows``, those in which something else would have come, and in how many
    of them nothing at all."""

    rows: int
    other: int
    nothing: int


@dataclass(frozen=True)
class Expired:
    """A feature under its group's TTL: of ``rows``, those without a value, and those of them that have an older one;
    ``ages``: seconds, of the older ones, at AGE_PERCENTILES."""

    rows: int
    missing: int
    older: int
    ages: tuple[float, ...]


def lookups_of(manifest: Manifest) -> tuple[ResolvedLookup, ...]:
    """The lookups as they were built, with the definitions in the manifest."""
    groups = {snapshot.name: snapshot.group for snapshot in manifest.groups}
    return tuple(
        resolve_lookup(groups[lookup.group], lookup, manifest.full_feature_names) for lookup in manifest.features
    )


@dataclass(frozen=True)
class SpineSample:
    """Some rows' keys and instants, and a hash of what each lookup gave them, held in memory: each join is of the very
    same rows."""

    context: Context
    tenant_id: str
    manifest: Manifest
    lookups: tuple[ResolvedLookup, ...]
    spine: DataFrame

    @classmethod
    def of(cls, scope: Scope, rows: DataFrame, manifest: Manifest) -> SpineSample:
        """``rows`` are so few that they can be held."""
        lookups = tuple(_told_by(lookup) for lookup in lookups_of(manifest))
        timed = with_instants(rows, manifest.timestamp_column, scope.settings.timestamp_zone, _AT)
        saved = [_content(lookup).alias(_saved(index)) for index, lookup in enumerate(lookups)]
        table = timed.select(*(column(name) for name in manifest.key_columns), F.col(_AT), *saved).toArrow()
        return cls(scope.context, scope.tenant_id, manifest, lookups, to_spark(scope.spark, table))

    def joined(self, lookups: Sequence[ResolvedLookup], known_at: KnownAt) -> DataFrame:
        """The sample with what the lookups give."""
        request = AsOfRequest(
            lookups=tuple(lookups),
            timestamp_column=_AT,
            known_at=known_at,
            with_timestamps=True,
            table_versions={(group.name, group.version): group.table_version for group in self.manifest.groups},
        )
        return point_in_time(Scope(self.context, self.tenant_id), self.spine, request)


def as_served(sample: SpineSample) -> list[Reality]:
    """One a lookup: its saved values beside those that were known at each row's own time.

    An array is compared only where its lookup has nothing else: it is long to read, and its group's other features
    tell the same.
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
    told = served.agg(*figures).collect()[0]
    return [Reality(told["rows"], told[f"other_{i}"], told[f"nothing_{i}"]) for i in range(len(sample.lookups))]


def _filled(served: DataFrame, sample: SpineSample) -> DataFrame:
    """Where the set's missing values were filled, what is missing here, too."""
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
    """By feature of a lookup with a TTL: what the TTL left out."""
    lasting = replace(lookup, group=lookup.group.model_copy(update={"ttl": None}))
    built = _renamed(_only(lookup, features), "__built")
    older = [_renamed(_only(lasting, [name]), f"__older_{index}") for index, name in enumerate(features)]
    rows = sample.joined([built, *older], sample.manifest.known_at)
    figures = [F.count(F.lit(1)).alias("rows")]
    for index, name in enumerate(features):
        missing = column(built.outputs[name]).isNull()
        there = missing & column(older[index].outputs[name]).isNotNull()
        age = F.unix_micros(F.col(_AT)) - F.unix_micros(column(older[index].event_timestamp_output))
        figures += [
            F.count_if(missing).alias(f"missing_{index}"),
            F.count_if(there).alias(f"older_{index}"),
            F.percentile(F.when(there, age / F.lit(_MICROS_A_SECOND)), list(AGE_PERCENTILES)).alias(f"ages_{index}"),
        ]
    told = rows.agg(*figures).collect()[0]
    return {
        name: Expired(
            told["rows"], told[f"missing_{index}"], told[f"older_{index}"], tuple(told[f"ages_{index}"] or ())
        )
        for index, name in enumerate(features)
    }


def _told_by(lookup: ResolvedLookup) -> ResolvedLookup:
    scalars = [name for name in lookup.features if not _is_array(lookup, name)]
    return _only(lookup, scalars or lookup.features)


def _is_array(lookup: ResolvedLookup, feature: str) -> bool:
    return isinstance(feature_fields(lookup.group.feature(feature))[0].dataType, T.ArrayType)


def _only(lookup: ResolvedLookup, features: Sequence[str]) -> ResolvedLookup:
    outputs: Mapping[str, str] = {name: lookup.outputs[name] for name in features}
    return replace(lookup, features=tuple(features), outputs=dict(outputs))


def _renamed(lookup: ResolvedLookup, prefix: str) -> ResolvedLookup:
    """Its outputs under names that neither the spine nor another lookup has."""
    outputs = {name: f"{prefix}_{name}" for name in lookup.features}
    return replace(lookup, outputs=outputs, event_timestamp_output=f"{prefix}__at")
