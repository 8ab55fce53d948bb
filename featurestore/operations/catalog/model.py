"""The catalogue's model: the current definitions, and what the store knows about one tenant's data.

These are values only: nothing here reads a table or a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from featurestore.arguments import checked
from featurestore.columnar.derived.derived_feature import DerivedFeature
from featurestore.definitions.entity import Entity
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.training_set import TrainingSetDefinition
from featurestore.frames.statistics.feature_statistics import FeatureStatistics
from featurestore.stores.small_tables.runs import Run


@dataclass(frozen=True)
class GroupNumbers:
    """One tenant's part of a group.

    - ``rows``: as written; corrections and the rows that they corrected both count. ``oldest``, ``newest``: event
      timestamps, UTC, None without rows. ``last_write``: when the tenant's last batch was committed, UTC.
    - ``statistics``: of all profiled dates together, one per profiled feature, in the group's order. ``profiled_at``:
      when the newest of them was computed, UTC; None before the first profile.
    - ``rows_by_date``: the last profiled event dates (or months), oldest first, with their rows after corrections.
    - ``runs``: the newest run of each job, by the job's name.
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
        return next((statistics for statistics in self.statistics if statistics.feature == name), None)

    @property
    def null_share(self) -> float | None:
        """The share of nulls among all profiled values of all features; None without a profiled value."""
        rows = sum(statistics.rows for statistics in self.statistics)
        return sum(statistics.nulls for statistics in self.statistics) / rows if rows else None

    @property
    def written_since_profile(self) -> bool:
        """Whether the statistics are older than the tenant's last batch."""
        return self.profiled_at is not None and self.last_write is not None and self.last_write > self.profiled_at

    def age(self, at: datetime) -> timedelta | None:
        """The age of the newest value at ``at``; None without rows, negative for an event timestamp in the future."""
        return None if self.newest is None else at - self.newest


@dataclass(frozen=True)
class GroupEntry:
    """A feature group in its highest major version.

    ``revision`` counts this version's states; ``applied_at`` is the time of the newest, UTC. ``numbers``: None in a
    catalogue of definitions only.
    """

    group: FeatureGroup
    revision: int
    applied_at: datetime
    older_versions: tuple[int, ...] = ()
    numbers: GroupNumbers | None = None

    def is_stale(self, at: datetime) -> bool:
        """Whether even the newest value is older than the group's TTL at ``at``: examples of that time get nulls."""
        age = None if self.numbers is None else self.numbers.age(at)
        return age is not None and self.group.ttl is not None and age > self.group.ttl


@dataclass(frozen=True)
class SavedVersion:
    """A published version of one tenant's training set; ``groups`` names the groups that it was built from, sorted."""

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
    """A training set that is declared, saved, or both; ``versions`` are one tenant's, oldest first."""

    name: str
    definition: TrainingSetDefinition | None = None
    versions: tuple[SavedVersion, ...] = ()

    @property
    def description(self) -> str:
        return "" if self.definition is None else self.definition.description


@dataclass(frozen=True)
class Catalog:
    """All current definitions, each kind sorted by name.

    ``tenant_id``: the tenant of the numbers and saved training sets; None for definitions only. ``built_at``: UTC; ages
    are as of then.
    """

    tenant_id: str | None
    built_at: datetime
    code_version: str
    entities: tuple[Entity, ...]
    groups: tuple[GroupEntry, ...]
    training_sets: tuple[TrainingSetEntry, ...]
    derived_features: tuple[DerivedFeature, ...] = ()

    @property
    def feature_count(self) -> int:
        """The number of features of groups; derived features are not among them."""
        return sum(len(entry.group.features) for entry in self.groups)

    @property
    def rows(self) -> int:
        """The number of the tenant's rows in all groups, as written."""
        return sum(entry.numbers.rows for entry in self.groups if entry.numbers is not None)

    @property
    def owners(self) -> list[str]:
        """The owners of groups, sorted."""
        return sorted({entry.group.owner for entry in self.groups if entry.group.owner})

    @checked
    def groups_of(self, entity: str) -> list[GroupEntry]:
        return [entry for entry in self.groups if entry.group.entity.name == entity]
