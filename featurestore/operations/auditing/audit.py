"""The leakage audit of a built training set: whether its rows could have been known when they are said to be.

A few passes over the rows, whatever their number: one that counts everything, one of hashes that finds doubled rows, one
that samples. What needs more than counting (the label's likeness, joins by other rules) is done on the sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from featurestore.definitions.finding import Finding
from featurestore.frames.as_of.spine import instant_column, with_instants
from featurestore.frames.training_sets.label_agreement import Values, agreement, is_many_numbers
from featurestore.frames.training_sets.leakage import (
    can_be_equal,
    comparable_values,
    doubled,
    hashed,
    is_comparable,
    overview,
    sampled,
)
from featurestore.operations.auditing import audit_findings as findings
from featurestore.operations.auditing.audit_join import SpineSample, as_served, expired, lookups_of
from featurestore.operations.context import Scope
from featurestore.operations.reading.as_of import ResolvedLookup
from featurestore.stores.training_sets.manifests import PART, Manifest

# Rows that are joined again, and rows whose values are compared with the label: shares of a hundredth are then told to
# within a fifth of themselves (two standard deviations).
JOINED_ROWS, COMPARED_ROWS = 10_000, 20_000
# Sets of at most so many rows are read once for all passes.
_KEPT_ROWS = 10_000
# Values that are held in memory to be compared, of all features together.
_COMPARED_VALUES = 4_000_000
# Features of a lookup that are looked at for a short TTL: those that are missing most often.
_EXPIRING_FEATURES = 3

_ORDER = {"error": 0, "warning": 1, "info": 2}


def audit_training_set(scope: Scope, manifest: Manifest) -> tuple[Finding, ...]:
    """The findings on a saved version; errors first."""
    return audit(scope, scope.training_sets.read_with_part(scope.spark, manifest), manifest)


def audit(scope: Scope, rows: DataFrame, manifest: Manifest) -> tuple[Finding, ...]:
    """The findings on written rows, published or not; errors first, then warnings, then what is worth knowing.

    ``rows`` has the manifest's columns. Where it has ``PART``, too, only the newest part is joined again: of the others the
    manifest's table versions are not those that they were built from.
    """
    if manifest.row_count > _KEPT_ROWS:
        return _findings(scope, rows, manifest)
    # Reading the table costs more than the rows do, so it is done once.
    kept = rows.persist()
    try:
        return _findings(scope, kept, manifest)
    finally:
        kept.unpersist()


def _findings(scope: Scope, rows: DataFrame, manifest: Manifest) -> tuple[Finding, ...]:
    instants = instant_column(rows)
    timed = with_instants(rows, manifest.timestamp_column, scope.settings.timestamp_zone, instants)
    told = overview(
        timed, instants, manifest.event_timestamp_columns, manifest.feature_columns, manifest.label
    ).collect()[0]
    if not told["rows"]:
        return ()
    found = [
        *_counted(manifest, told),
        *_doubled(rows, manifest, told["rows"]),
        *_like_label(rows, manifest, told),
        *_joined_again(scope, rows, manifest, told),
    ]
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))


def _counted(manifest: Manifest, told: Any) -> Iterator[Finding]:
    for index, lookup in enumerate(_lookup_names(manifest)):
        newer = findings.newer_than_spine(lookup, told["rows"], told[f"newer_{index}"], told[f"seconds_{index}"] or 0.0)
        if newer is not None:
            yield newer
    for feature, missing in _missing(manifest, told).items():
        if missing == told["rows"]:
            yield findings.always_missing(feature, missing)
    if manifest.label is not None:
        yield from findings.about_label(manifest.label, told["rows"], told["unlabelled"], told["one_label"])


def _missing(manifest: Manifest, told: Any) -> dict[str, int]:
    """By feature, the rows without a value of it, also where they were filled since."""
    counts = {name: told[f"missing_{index}"] for index, name in enumerate(manifest.feature_columns)}
    for index, lookup in enumerate(lookups_of(manifest)):
        for name in lookup.outputs.values():
            counts[name] = max(counts[name], told[f"unmatched_{index}"])
    return counts


def _lookup_names(manifest: Manifest) -> list[str]:
    return [name.removesuffix("__event_timestamp") for name in manifest.event_timestamp_columns]


def _doubled(rows: DataFrame, manifest: Manifest, total: int) -> Iterator[Finding]:
    example = list(dict.fromkeys((*manifest.key_columns, manifest.timestamp_column)))
    told = doubled(rows, example, manifest.spine_columns).collect()[0]
    only_the_label = set(manifest.spine_columns) <= {*example, manifest.label}
    finding = findings.doubled_rows(told.asDict(), total, only_the_label)
    if finding is not None:
        yield finding


def _like_label(rows: DataFrame, manifest: Manifest, told: Any) -> Iterator[Finding]:
    label = manifest.label
    if label is None or told["one_label"] or not is_comparable(rows.schema[label].dataType):
        return
    labelled = told["rows"] - told["unlabelled"]
    if labelled < findings.MIN_ROWS:
        yield findings.not_compared(label, labelled)
        return
    by_feature = {
        output: lookup
        for lookup in lookups_of(manifest)
        for output in lookup.outputs.values()
        if is_comparable(rows.schema[output].dataType)
    }
    size = min(COMPARED_ROWS, max(findings.MIN_ROWS * 100, _COMPARED_VALUES // max(1, len(by_feature))))
    sample = sampled(rows, manifest.spine_columns, size, told["rows"]).where(comparable_values(rows, label).isNotNull())
    held = _held(sample, label, by_feature, manifest.spine_columns)
    values = _values(held, label)
    if len(values.array) < findings.MIN_ROWS:
        yield findings.not_compared(label, len(values.array))
        return
    many_numbers = is_many_numbers(values)
    row_hashes = held.column("rows").to_numpy()
    for feature, lookup in by_feature.items():
        found = agreement(
            _values(held, feature),
            values,
            can_be_equal(rows, feature, label),
            held.column(_entity(lookup)).to_numpy(),
            row_hashes,
        )
        finding = findings.like_label(feature, label, found, many_numbers)
        if finding is not None:
            yield finding


def _held(sample: DataFrame, label: str, by_feature: dict[str, ResolvedLookup], spine: Sequence[str]) -> pa.Table:
    """The sample as numbers in memory: each feature, the label, and hashes of each lookup's keys and of the rows."""
    entities = {_entity(lookup): hashed(list(lookup.keys.values())) for lookup in by_feature.values()}
    return sample.select(
        *(comparable_values(sample, name).alias(f"value {name}") for name in dict.fromkeys((label, *by_feature))),
        *(keys.alias(name) for name, keys in entities.items()),
        hashed(spine).alias("rows"),
    ).toArrow()


def _entity(lookup: ResolvedLookup) -> str:
    return f"keys {list(lookup.keys.values())}"


def _values(held: pa.Table, name: str) -> Values:
    values = held.column(f"value {name}")
    missing = values.is_null().to_numpy().astype(bool)
    if pa.types.is_floating(values.type):
        return Values(values.fill_null(np.nan).to_numpy(), missing)
    return Values(values.fill_null(0).to_numpy(), missing)


def _joined_again(scope: Scope, rows: DataFrame, manifest: Manifest, told: Any) -> Iterator[Finding]:
    named = dict(zip(_lookup_names(manifest), lookups_of(manifest), strict=True))
    expiring = {name: features for name, lookup in named.items() if (features := _expiring(lookup, manifest, told))}
    if manifest.known_at == "event" and not expiring:
        return
    newest, total = rows, told["rows"]
    if PART in rows.columns:
        newest, total = rows.where(F.col(PART) == F.lit(len(manifest.all_parts) - 1)), manifest.all_parts[-1].row_count
    some = sampled(newest, manifest.spine_columns, JOINED_ROWS, total)
    sample = SpineSample.of(scope, some, manifest)
    if manifest.known_at != "event":
        for name, reality in zip(named, as_served(sample), strict=True):
            yield from _one(findings.known_later(name, reality, manifest.known_at))
    for name, features in expiring.items():
        ttl = named[name].group.ttl
        assert ttl is not None
        yield from _one(findings.ttl_too_short(name, ttl, expired(sample, named[name], features)))


def _one(finding: Finding | None) -> Iterator[Finding]:
    if finding is not None:
        yield finding


def _expiring(lookup: ResolvedLookup, manifest: Manifest, told: Any) -> list[str]:
    """The features that are missing so often that the lookup's TTL may be why, the worst first."""
    if lookup.group.ttl is None:
        return []
    missing = _missing(manifest, told)
    often = [name for name in lookup.features if missing[lookup.outputs[name]] >= findings.EXPIRED_ROWS * told["rows"]]
    return sorted(often, key=lambda name: -missing[lookup.outputs[name]])[:_EXPIRING_FEATURES]
