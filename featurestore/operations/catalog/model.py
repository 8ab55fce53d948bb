"""What a catalogue shows: definitions as they are in force and, of one tenant alone, what the store knows of its data.

Values only: nothing here reads a table or a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from featurestore.arguments import checked
from featurestore.definitions.entity import Entity
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.training_set import TrainingSetDefinition
from featurestore.frames.statistics.feature_statistics import FeatureStatistics
from featurestore.stores.small_tables.runs import Run


@dataclass(frozen=True)
class GroupNumbers:
    """One tenant's part of a group.

    - ``rows``: as written, corrections beside what they corrected; ``oldest``, ``newest``: event timestamps, UTC, none
      without rows; ``last_write``: when the tenant's last batch was committed, UTC.
    - ``statistics``: of every profiled date together, a feature each, in the group's order; of features that were profiled
      only. ``profiled_at``: when the newest of them was computed, UTC; none before the first profile.
    - ``rows_by_date``: the last event dates (or months) that were profiled, oldest first, with their rows as corrected.
    - ``runs``: the newest of each job, by the job's name.
    """

    rows: int
    oldest: datetime | None
    newest: datetime | None
    bytes: int
    last_write: datetime | None
    profiled_at: datetime | None = None
    statistics: tuple[FeatureStatistics, ...] = ()
    rows_by_date: tuple[tuple[date, int], ...] = ()
    runs: tuple[Run, ...] = ()

    def of_feature(self, name: str) -> FeatureStatistics | None:
        return next((one for one in self.statistics if one.feature == name), None)

    @property
    def null_share(self) -> float | None:
        """Of all profiled values of all features, the share that is null; none where none is profiled."""
        rows = sum(one.rows for one in self.statistics)
        return sum(one.nulls for one in self.statistics) / rows if rows else None

    @property
    def written_since_profile(self) -> bool:
        """Whether the statistics are older than the tenant's last batch."""
        return self.profiled_at is not None and self.last_write is not None and self.last_write > self.profiled_at

    def age(self, at: datetime) -> timedelta | None:
        """How old the newest value is at that moment; none without rows. Negative for an event timestamp yet to come."""
        return None if self.newest is None else at - self.newest


@dataclass(frozen=True)
class GroupEntry:
    """A feature group in its highest major version; ``revision`` counts that version's states, ``applied_at`` is of the
    newest, UTC. ``numbers``: none in a catalogue of definitions alone."""

    group: FeatureGroup
    revision: int
    applied_at: datetime
    older_versions: tuple[int, ...] = ()
    numbers: GroupNumbers | None = None

    def is_stale(self, at: datetime) -> bool:
        """Whether at that moment even the newest value is older than the group's TTL: examples of then get nulls."""
        age = None if self.numbers is None else self.numbers.age(at)
        return age is not None and self.group.ttl is not None and age > self.group.ttl


@dataclass(frozen=True)
class SavedVersion:
    """A published version of one tenant's training set: ``groups`` are the groups it was built from, by name."""

    version: int
    created_at: datetime
    rows: int
    label: str | None
    features: int
    groups: tuple[str, ...]
    errors: int
    warnings: int
    content_hash: str


@dataclass(frozen=True)
class TrainingSetEntry:
    """A training set that is declared, or saved, or both; ``versions`` are one tenant's, oldest first."""

    name: str
    definition: TrainingSetDefinition | None = None
    versions: tuple[SavedVersion, ...] = ()

    @property
    def description(self) -> str:
        return "" if self.definition is None else self.definition.description


@dataclass(frozen=True)
class Catalog:
    """All that is in force, each kind by name. ``tenant_id``: whose numbers and saved training sets these are; none for
    definitions alone. ``built_at``: UTC; ages are told as of then."""

    tenant_id: str | None
    built_at: datetime
    code_version: str
    entities: tuple[Entity, ...]
    groups: tuple[GroupEntry, ...]
    training_sets: tuple[TrainingSetEntry, ...]

    @property
    def feature_count(self) -> int:
        return sum(len(entry.group.features) for entry in self.groups)

    @property
    def rows(self) -> int:
        """All of the tenant's rows, as written."""
        return sum(entry.numbers.rows for entry in self.groups if entry.numbers is not None)

    @property
    def owners(self) -> list[str]:
        """Every owner of a group, by name."""
        return sorted({entry.group.owner for entry in self.groups if entry.group.owner})

    @checked
    def groups_of(self, entity: str) -> list[GroupEntry]:
        return [entry for entry in self.groups if entry.group.entity.name == entity]
