"""A profile report: one HTML file that needs nothing else, for the screen, the dark and the printer."""

from __future__ import annotations

from pathlib import Path

from featurestore.frames.statistics.feature_statistics import FeatureStatistics
from featurestore.operations.statistics.profile import ProfiledGroup
from featurestore.reports.drawing import Picture
from featurestore.reports.page import OF_MEASURES, rendered, write_page
from featurestore.reports.profile_pictures import feature_picture, rows_over_time

# More make no report clearer; the table has all of them.
_MOST_FEATURES, _MOST_VALUES = 40, 10


def profile_report(profiled: ProfiledGroup, path: str | Path) -> Path:
    """Write the report of a group's profile (``store.profiled("user_stats")``) to ``path``, in place of one that is
    there; returns the path.

    The file appears when all of it is written. Raises ExportError for a path that is not on a local disk.
    """
    return write_page(profile_html(profiled), path)


def profile_html(profiled: ProfiledGroup) -> str:
    """The report as text; the same profile gives the same text."""
    drawn = [one for one in profiled.features if one.values]
    return rendered(
        "profile.html.j2",
        OF_MEASURES,
        profiled=profiled,
        rows=max((one.rows for one in profiled.features), default=0),
        dates=profiled.dates,
        descriptions={feature.name: feature.description for feature in profiled.group.features},
        pictures=_pictures(profiled, drawn[:_MOST_FEATURES]),
        left_out=max(0, len(drawn) - _MOST_FEATURES),
        frequent=[one for one in profiled.features if one.top],
        most_values=_MOST_VALUES,
    )


def _pictures(profiled: ProfiledGroup, features: list[FeatureStatistics]) -> list[Picture]:
    """Those for which there is something to show, in the group's order."""
    if not features:
        return []
    of_feature: dict[str, list[FeatureStatistics]] = {}
    for one in profiled.by_date:
        of_feature.setdefault(one.feature, []).append(one)
    pictures = [feature_picture(one, of_feature.get(one.feature, [])) for one in features if one.measure != "none"]
    return [rows_over_time(profiled), *pictures] if len(profiled.dates) > 1 else pictures
