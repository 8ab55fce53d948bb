"""A drift report: a self-contained HTML file for light and dark screens and for print."""

from __future__ import annotations

from pathlib import Path

from featurestore.frames.statistics.drift import FeatureDrift
from featurestore.operations.statistics.drift import MARKS, DriftResult
from featurestore.reports.drawing import Picture
from featurestore.reports.drift_pictures import distances, spread
from featurestore.reports.page import OF_MEASURES, rendered, write_page

# More pictures would not make a report clearer; the table has all features.
_MOST_BARS, _MOST_HISTOGRAMS = 40, 24


def drift_report(result: DriftResult, path: str | Path) -> Path:
    """Write the report of a comparison to ``path``, and replace an existing file; returns the path.

    The file appears only when it is complete. Raises ExportError for a path that is not on a local disk.
    """
    return write_page(drift_html(result), path)


def drift_html(result: DriftResult) -> str:
    """The report as text; the same result gives the same text."""
    sides = [(feature.baseline.rows, feature.current.rows) for feature in result.features] or [(0, 0)]
    return rendered(
        "drift.html.j2",
        {**OF_MEASURES, "measure": lambda value: "-" if value is None else f"{value:.3f}"},
        result=result,
        rows=[max(side) for side in zip(*sides, strict=True)],
        marks=MARKS,
        pictures=_pictures(result),
        left_out=max(0, len(_with_values(result)) - _MOST_HISTOGRAMS),
    )


def _pictures(result: DriftResult) -> list[Picture]:
    """The pictures that have something to show, drifted features first."""
    if not result.features:
        return []
    return [
        distances(result.features[:_MOST_BARS]),
        *(spread(feature) for feature in _with_values(result)[:_MOST_HISTOGRAMS]),
    ]


def _with_values(result: DriftResult) -> list[FeatureDrift]:
    """The features with a useful histogram; a single bar is always full."""
    return [feature for feature in result.features if len(feature.histogram) > 1]
