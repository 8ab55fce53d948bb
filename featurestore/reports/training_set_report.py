"""A training set's report: a self-contained HTML file for light and dark screens and for print."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from featurestore.definitions.finding import Finding, Severity
from featurestore.definitions.values.durations import format_duration, spoken
from featurestore.operations.saved_sets.saved_set import SavedSet
from featurestore.reports import pictures
from featurestore.reports.drawing import Picture
from featurestore.reports.page import rendered, write_page
from featurestore.reports.training_set_numbers import TrainingSetNumbers
from featurestore.stores.training_sets.manifests import Manifest


def training_set_report(
    training_set: SavedSet,
    path: str | Path,
    numbers: TrainingSetNumbers | None = None,
    more: Sequence[Picture] = (),
) -> Path:
    """Write the report of a saved training set to ``path``, and replace an existing file; returns the path.

    ``numbers`` avoids measuring the rows a second time; ``more`` pictures come after the report's own. The file appears
    only when it is complete. Raises ExportError for a path that is not on a local disk.
    """
    return write_page(
        training_set_html(training_set.manifest, numbers or TrainingSetNumbers.of(training_set), more), path
    )


def training_set_html(manifest: Manifest, numbers: TrainingSetNumbers, more: Sequence[Picture] = ()) -> str:
    """The report as text; the same manifest and numbers give the same text."""
    filters: dict[str, Callable[..., str]] = {
        "spoken": spoken,
        "duration": format_duration,
        "severities": _severities,
    }
    return rendered(
        "training_set.html.j2",
        filters,
        manifest=manifest,
        manifest_json=json.dumps(_readable(manifest), indent=2, ensure_ascii=False),
        numbers=numbers,
        pictures=[*_pictures(manifest, numbers), *more],
    )


def _pictures(manifest: Manifest, numbers: TrainingSetNumbers) -> list[Picture]:
    """The pictures that have something to show."""
    drawn = []
    periods = numbers.periods()
    if manifest.label is not None and any(period.label_rate is not None for period in periods):
        drawn.append(pictures.label_over_time(manifest.label, periods, _cuts(manifest)))
    if any(feature.rows for feature in numbers.features):
        drawn.append(pictures.missing_shares(numbers.features))
    if periods and numbers.lookups:
        drawn.append(pictures.matched_over_time(periods, numbers.lookups))
    if any(feature.age_median is not None for feature in numbers.features):
        drawn.append(pictures.ages(numbers.features))
    return drawn


def _cuts(manifest: Manifest) -> dict[str, date]:
    """Part of the split, except the first -> the UTC date on which it begins."""
    if manifest.split is None:
        return {}
    starts = {"validation": manifest.split.validation_from, "test": manifest.split.test_from}
    return {part: start.date() for part, start in starts.items() if start is not None}


def _readable(manifest: Manifest) -> dict[str, Any]:
    """The manifest with its groups' definitions parsed; the manifest keeps them as texts, byte for byte."""
    data = manifest.model_dump(mode="json")
    for group in data["groups"]:
        group["definition"] = json.loads(group["definition"])
    return data


def _severities(findings: Sequence[Finding]) -> str:
    """The number of findings by severity, such as ``1 error, 2 warnings, 1 to know``."""
    words: dict[Severity, tuple[str, str]] = {
        "error": ("error", "errors"),
        "warning": ("warning", "warnings"),
        "info": ("to know", "to know"),
    }
    numbers = Counter(finding.severity for finding in findings)
    return ", ".join(f"{numbers[kind]} {word[numbers[kind] > 1]}" for kind, word in words.items() if numbers[kind])
