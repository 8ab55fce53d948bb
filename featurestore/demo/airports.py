"""The demo's similar airports: vectors from a materialization, searched in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import matplotlib as mpl
import pyarrow as pa

from featurestore import OfflineStore, SimilarEntities
from featurestore.reports.drawing import FIRST, MUTED, SECOND, STYLE, Picture, one_panel, picture_of

PROFILE = "airport_profiles:profile"
LIKE = "BOS"
# The hours of departure of a profile's first dims, as airport_profiles.sql makes them.
HOURS = tuple(range(5, 24))
MOST = 5
FLIGHTS_AT_LEAST = 500


@dataclass(frozen=True)
class AirportsAlike:
    """The airports with the profiles closest to one airport's, most similar first, and all their profiles."""

    airport: str
    matches: SimilarEntities
    profiles: dict[str, list[float]]


def airports_alike(store: OfflineStore, materialized_to: datetime) -> AirportsAlike:
    """Search by the airport's own vector among airports with enough flights; read the vectors themselves from Delta."""
    matches = store.search_similar_embeddings(
        PROFILE, {"airport": LIKE}, limit=MOST, threshold=0, filters={"flights": {"min": FLIGHTS_AT_LEAST}}
    )
    airports = [{"airport": airport} for airport in (LIKE, *(match.entity["airport"] for match in matches))]
    window = (materialized_to, materialized_to.replace(microsecond=1))
    rows: pa.Table = store.get_batch_features(PROFILE, *window, entities=airports, to="arrow").rows
    profiles = dict(zip(rows["airport"].to_pylist(), rows["profile"].to_pylist(), strict=True))
    return AirportsAlike(LIKE, matches, profiles)


def alike_picture(alike: AirportsAlike) -> Picture:
    """One line per airport over the hours of departure: the query's airport and its matches."""
    closest = [match.entity["airport"] for match in alike.matches]
    with mpl.rc_context(STYLE):
        figure, axes = one_panel(3.2)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        for airport in closest:
            axes.plot(HOURS, _of_hours(alike.profiles[airport]), color=SECOND, linewidth=1, alpha=0.7)
        axes.plot(HOURS, _of_hours(alike.profiles[alike.airport]), color=FIRST, linewidth=2.4)
        ends = [*((airport, SECOND) for airport in closest), (alike.airport, FIRST)]
        for (airport, colour), height in zip(ends, _apart(alike, [name for name, _ in ends]), strict=True):
            axes.annotate(airport, (HOURS[-1] + 0.15, height), va="center", fontsize=9, color=colour)
        axes.set_xticks(HOURS[::3], [f"{hour}:00" for hour in HOURS[::3]])
        axes.grid(axis="y", linewidth=0.6)
        similarities = ", ".join(f"{match.entity['airport']} {match.similarity:.2f}" for match in alike.matches)
        note = (
            "Delay beyond the mean of all flights that left New York in the same hour, in standard deviations: "
            f"{alike.airport} and the most similar airports."
        )
        alternative = f"Lines over the hours of the day: {alike.airport}, and by similarity {similarities}."
        return picture_of(figure, f"Airports like {alike.airport}", note, alternative)


def _of_hours(profile: Sequence[float]) -> Any:
    return profile[: len(HOURS)]


def _apart(alike: AirportsAlike, airports: Sequence[str]) -> list[float]:
    """The heights of the names at the ends of their lines: in the lines' order, and far enough apart to be read."""
    heights = {airport: _of_hours(alike.profiles[airport])[-1] for airport in airports}
    values = [value for airport in airports for value in _of_hours(alike.profiles[airport])]
    least = (max(values) - min(values)) / 14
    placed: dict[str, float] = {}
    for airport in sorted(airports, key=lambda name: heights[name]):
        placed[airport] = max([heights[airport], *(height + least for height in placed.values())])
    return [placed[airport] for airport in airports]
