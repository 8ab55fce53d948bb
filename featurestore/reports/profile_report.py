"""A profile report: a self-contained HTML file for light and dark screens and for print."""

from __future__ import annotations

from pathlib import Path

from featurestore.frames.statistics.feature_statistics import FeatureStatistics
from featurestore.operations.statistics.profile import ProfiledGroup
from featurestore.reports.drawing import Picture
from featurestore.reports.page import OF_MEASURES, rendered, write_page
from featurestore.reports.profile_pictures import feature_picture, rows_over_time

# More would not make a report clearer; the table has all features.
_MOST_FEATURES, _MOST_VALUES = 40, 10


def profile_report(profiled: ProfiledGroup, path: str | Path) -> Path:
    """Write the report of a group's profile, such as ``store.profiled("user_stats")``, to ``path``; returns the path.

    The file appears only when it is complete, and replaces an existing one. Raises ExportError for a path
    that is not on a local disk.
    """
    return write_page(profile_html(profiled), path)


def profile_html(profiled: ProfiledGroup) -> str:
    """The report as text; the same profile gives the same text."""
    drawn = [feature for feature in profiled.features if feature.values]
    return rendered(
        "profile.html.j2",
        OF_MEASURES,
        profiled=profiled,
        rows=max((feature.rows for feature in profiled.features), default=0),
        dates=profiled.dates,
        descriptions={feature.name: feature.description for feature in profiled.group.features},
        pictures=_pictures(profiled, drawn[:_MOST_FEATURES]),
        left_out=max(0, len(drawn) - _MOST_FEATURES),
        frequent=[feature for feature in profiled.features if feature.top],
        most_values=_MOST_VALUES,
    )


def _pictures(profiled: ProfiledGroup, features: list[FeatureStatistics]) -> list[Picture]:
    """The pictures that have something to show, in the group's order."""
    if not features:
        return []
    by_feature: dict[str, list[FeatureStatistics]] = {}
    for statistics in profiled.by_date:
        by_feature.setdefault(statistics.feature, []).append(statistics)
    pictures = [
        feature_picture(feature, by_feature.get(feature.feature, []))
        for feature in features
        if feature.measure != "none"
    ]
    return [rows_over_time(profiled), *pictures] if len(profiled.dates) > 1 else pictures
