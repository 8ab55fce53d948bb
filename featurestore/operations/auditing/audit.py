"""The leakage audit of a built training set: whether its values could have been known at each row's time.

The audit makes a fixed number of passes over the rows: one counts everything, one hashes rows to find doubled ones, and
two sample. What needs more than counting (comparing features with the label, joining by other rules) uses the sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.columnar.training_sets.leakage import can_be_equal, is_comparable
from featurestore.definitions.finding import Finding
from featurestore.frames.training_sets.label_agreement import Values, agreement, is_many_numbers
from featurestore.late_spark import DataFrame
from featurestore.operations.auditing import audit_findings as findings
from featurestore.operations.auditing.audit_join import SpineSample, as_served, expired, lookups_of
from featurestore.operations.auditing.audited_rows import (
    AuditedRows,
    SparkAuditedRows,
    audited_rows,
    keys_name,
    value_name,
)
from featurestore.operations.context import Scope
from featurestore.operations.reading.request import ResolvedLookup
from featurestore.stores.training_sets.manifests import Manifest

# Sample sizes for joining again and for comparing with the label: they measure a share of one hundredth to within a
# fifth of itself (two standard deviations).
JOINED_ROWS, COMPARED_ROWS = 10_000, 20_000
# The values of all features together that are held in memory for the comparison.
_COMPARED_VALUES = 4_000_000
# The features of a lookup that are checked for a short TTL: those missing most often.
_EXPIRING_FEATURES = 3

_ORDER = {"error": 0, "warning": 1, "info": 2}


def audit_training_set(scope: Scope, manifest: Manifest) -> tuple[Finding, ...]:
    """The findings on the written rows of a version, published or not; errors first, then warnings, then infos.

    Only the newest part is joined again: the other parts were not built from the manifest's table versions.
    """
    return _findings(scope, audited_rows(scope, manifest), manifest)


def audit(scope: Scope, rows: DataFrame, manifest: Manifest) -> tuple[Finding, ...]:
    """The same for a frame with the manifest's columns; without ``PART``, all its rows are joined again."""
    return _findings(scope, SparkAuditedRows(manifest, scope.settings.timestamp_zone, rows), manifest)


def _findings(scope: Scope, rows: AuditedRows, manifest: Manifest) -> tuple[Finding, ...]:
    counts = rows.overview()
    if not counts["rows"]:
        return ()
    all_findings = [
        *_counted(manifest, counts),
        *_doubled(rows, manifest, counts["rows"]),
        *_like_label(rows, manifest, counts),
        *_joined_again(scope, rows, manifest, counts),
    ]
    return tuple(sorted(all_findings, key=lambda finding: _ORDER[finding.severity]))


def _counted(manifest: Manifest, counts: Any) -> Iterator[Finding]:
    for index, lookup in enumerate(_lookup_names(manifest)):
        newer = findings.newer_than_spine(
            lookup, counts["rows"], counts[f"newer_{index}"], counts[f"seconds_{index}"] or 0.0
        )
        if newer is not None:
            yield newer
    for feature, missing in _missing(manifest, counts).items():
        if missing == counts["rows"]:
            yield findings.always_missing(feature, missing)
    if manifest.label is not None:
        yield from findings.about_label(manifest.label, counts["rows"], counts["unlabelled"], counts["one_label"])


def _missing(manifest: Manifest, counts: Any) -> dict[str, int]:
    """By feature, the number of rows without a value, including rows that were filled later."""
    missing = {name: counts[f"missing_{index}"] for index, name in enumerate(manifest.feature_columns)}
    for index, lookup in enumerate(lookups_of(manifest)):
        if lookup.group.is_computed:
            # A window without events has values, too, such as a count of 0.
            continue
        for name in lookup.outputs.values():
            missing[name] = max(missing[name], counts[f"unmatched_{index}"])
    return missing


def _lookup_names(manifest: Manifest) -> list[str]:
    return [name.removesuffix("__event_timestamp") for name in manifest.event_timestamp_columns]


def _doubled(rows: AuditedRows, manifest: Manifest, total: int) -> Iterator[Finding]:
    example = list(dict.fromkeys((*manifest.key_columns, manifest.timestamp_column)))
    counts = rows.doubled(example)
    only_the_label = set(manifest.spine_columns) <= {*example, manifest.label}
    finding = findings.doubled_rows(counts, total, only_the_label)
    if finding is not None:
        yield finding


def _like_label(rows: AuditedRows, manifest: Manifest, counts: Any) -> Iterator[Finding]:
    label = manifest.label
    if label is None or counts["one_label"] or not is_comparable(rows.words[label]):
        return
    labelled = counts["rows"] - counts["unlabelled"]
    if labelled < findings.MIN_ROWS:
        yield findings.not_compared(label, labelled)
        return
    by_feature = {
        output: lookup
        for lookup in lookups_of(manifest)
        for output in lookup.outputs.values()
        if is_comparable(rows.words[output])
    }
    size = min(COMPARED_ROWS, max(findings.MIN_ROWS * 100, _COMPARED_VALUES // max(1, len(by_feature))))
    table = rows.compared(label, by_feature, size, counts["rows"])
    values = _values(table, label)
    if len(values.array) < findings.MIN_ROWS:
        yield findings.not_compared(label, len(values.array))
        return
    many_numbers = is_many_numbers(values)
    row_hashes = table.column("rows").to_numpy()
    for feature, lookup in by_feature.items():
        agreement_with_label = agreement(
            _values(table, feature),
            values,
            can_be_equal(rows.words[feature], rows.words[label]),
            table.column(keys_name(lookup)).to_numpy(),
            row_hashes,
        )
        finding = findings.like_label(feature, label, agreement_with_label, many_numbers)
        if finding is not None:
            yield finding


def _values(table: pa.Table, name: str) -> Values:
    values = table.column(value_name(name))
    missing = values.is_null().to_numpy().astype(bool)
    if pa.types.is_floating(values.type):
        return Values(values.fill_null(np.nan).to_numpy(), missing)
    return Values(values.fill_null(0).to_numpy(), missing)


def _joined_again(scope: Scope, rows: AuditedRows, manifest: Manifest, counts: Any) -> Iterator[Finding]:
    named = dict(zip(_lookup_names(manifest), lookups_of(manifest), strict=True))
    expiring = {name: features for name, lookup in named.items() if (features := _expiring(lookup, manifest, counts))}
    if manifest.known_at == "event" and not expiring:
        return
    sample = SpineSample.of(scope, rows, manifest, JOINED_ROWS, counts["rows"])
    if manifest.known_at != "event":
        for name, reality in zip(named, as_served(sample), strict=True):
            yield from _if_any(findings.known_later(name, reality, manifest.known_at))
    for name, features in expiring.items():
        ttl = named[name].group.ttl
        assert ttl is not None
        yield from _if_any(findings.ttl_too_short(name, ttl, expired(sample, named[name], features)))


def _if_any(finding: Finding | None) -> Iterator[Finding]:
    if finding is not None:
        yield finding


def _expiring(lookup: ResolvedLookup, manifest: Manifest, counts: Any) -> list[str]:
    """The features missing so often that the lookup's TTL may be the reason, most often missing first."""
    if lookup.group.ttl is None:
        return []
    missing = _missing(manifest, counts)
    often = [
        name for name in lookup.features if missing[lookup.outputs[name]] >= findings.EXPIRED_ROWS * counts["rows"]
    ]
    return sorted(often, key=lambda name: -missing[lookup.outputs[name]])[:_EXPIRING_FEATURES]
