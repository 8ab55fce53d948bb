"""The numbers of a training set's report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from featurestore.columnar.derived.derived_feature import DerivedFeature
from featurestore.columnar.training_sets.set_profile import DayProfile, SetProfile
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.names import DERIVED
from featurestore.operations.saved_sets.saved_rows import saved_rows
from featurestore.operations.saved_sets.saved_set import SavedSet
from featurestore.stores.training_sets.manifests import Manifest

PARTS = ("train", "validation", "test")
# A picture of more days shows weeks instead.
_DAYS_IN_A_PICTURE = 120


@dataclass(frozen=True)
class FeatureNumbers:
    """One feature: its rows, those with a value (``values``), and its age in seconds (None if it was not measured).

    A derived feature is of the group ``derived``, and has no event timestamp and no age.
    """

    name: str
    group: str
    type: str
    description: str
    ttl: timedelta | None
    event_timestamp_column: str
    rows: int
    values: int
    age_low: float | None
    age_median: float | None
    age_high: float | None

    @property
    def value_share(self) -> float | None:
        return self.values / self.rows if self.rows else None


@dataclass(frozen=True)
class PeriodNumbers:
    """The rows of a day, of a week, or of a part of the split; ``matched`` has one count per lookup."""

    first_day: date
    last_day: date
    split: str | None
    rows: int
    labelled: int
    label_sum: float | None
    matched: tuple[int, ...]

    @property
    def label_rate(self) -> float | None:
        return self.label_sum / self.labelled if self.labelled and self.label_sum is not None else None


@dataclass(frozen=True)
class TrainingSetNumbers:
    """Everything that a report shows about the rows.

    ``days`` are in order of time, one per day and part of the split; ``lookups`` names the counts of ``matched``.
    """

    features: tuple[FeatureNumbers, ...]
    days: tuple[PeriodNumbers, ...]
    lookups: tuple[str, ...]

    @classmethod
    def of(cls, training_set: SavedSet) -> TrainingSetNumbers:
        """Measure a saved training set, without Spark if this process reaches its files."""
        rows = saved_rows(training_set.context, training_set.manifest, split=None)
        return measure(rows.profile(), training_set.manifest)

    @property
    def total(self) -> PeriodNumbers | None:
        """All rows that have a timestamp; None if there are none."""
        return merged(self.days, None) if self.days else None

    def parts(self) -> list[PeriodNumbers]:
        """One period per part of the split that has rows, in the order train, validation, test."""
        return [merged(days, part) for part in PARTS if (days := [day for day in self.days if day.split == part])]

    def periods(self) -> list[PeriodNumbers]:
        """The points of a picture over time: days, or weeks from Monday if there are many days."""
        if not self.days:
            return []
        weekly = (self.days[-1].last_day - self.days[0].first_day).days > _DAYS_IN_A_PICTURE
        chunks: dict[date, list[PeriodNumbers]] = {}
        for day in self.days:
            start = day.first_day - timedelta(days=day.first_day.weekday()) if weekly else day.first_day
            chunks.setdefault(start, []).append(day)
        return [merged(days, None) for days in chunks.values()]


def measure(profile: SetProfile, manifest: Manifest) -> TrainingSetNumbers:
    """The numbers of joined rows that have the manifest's columns.

    If an event timestamp column is missing (``with_timestamps`` was off), its features have no ages and its group has
    no count of matches; everything else is measured.
    """
    return TrainingSetNumbers(
        features=(
            *(_feature(group, name, event, column, profile) for column, group, name, event in _described(manifest)),
            *(_derived(feature, column, profile) for column, feature in manifest.derived_columns.items()),
        ),
        days=tuple(_day(day) for day in profile.days),
        lookups=tuple(name.removesuffix("__event_timestamp") for name in profile.ages),
    )


def _described(manifest: Manifest) -> Iterator[tuple[str, FeatureGroup, str, str]]:
    """Each feature column with its group, its name in the group, and its event timestamp column."""
    groups = {snapshot.name: snapshot.group for snapshot in manifest.groups}
    columns = iter(manifest.feature_columns)
    for lookup, event_timestamp in zip(manifest.features, manifest.event_timestamp_columns, strict=True):
        for feature in lookup.features:
            yield next(columns), groups[lookup.group], feature, event_timestamp


def _feature(group: FeatureGroup, name: str, event_timestamp: str, column: str, profile: SetProfile) -> FeatureNumbers:
    defined, values = group.feature(name), profile.found[column]
    ages = profile.ages.get(event_timestamp) if values else None
    low, median, high = ages or (None, None, None)
    return FeatureNumbers(
        name=column,
        group=group.name,
        type=defined.type,
        description=defined.description,
        ttl=group.ttl,
        event_timestamp_column=event_timestamp,
        rows=profile.rows,
        values=values,
        age_low=low,
        age_median=median,
        age_high=high,
    )


def _derived(feature: DerivedFeature, column: str, profile: SetProfile) -> FeatureNumbers:
    return FeatureNumbers(
        name=column,
        group=DERIVED,
        type=feature.type,
        description=feature.description,
        ttl=None,
        event_timestamp_column="",
        rows=profile.rows,
        values=profile.found[column],
        age_low=None,
        age_median=None,
        age_high=None,
    )


def _day(day: DayProfile) -> PeriodNumbers:
    return PeriodNumbers(day.day, day.day, day.part, day.rows, day.labelled, day.label_sum, day.matched)


def merged(days: Sequence[PeriodNumbers], split: str | None) -> PeriodNumbers:
    """The sum of several days as one period."""
    sums = [day.label_sum for day in days if day.label_sum is not None]
    return PeriodNumbers(
        first_day=min(day.first_day for day in days),
        last_day=max(day.last_day for day in days),
        split=split,
        rows=sum(day.rows for day in days),
        labelled=sum(day.labelled for day in days),
        label_sum=sum(sums) if sums else None,
        matched=tuple(_added(day.matched for day in days)),
    )


def _added(counts: Iterable[tuple[int, ...]]) -> list[int]:
    return [sum(column) for column in zip(*counts, strict=True)]
