"""What a sync of vectors reads of a group's table: the rows of all entities, or of those that changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.columnar.values.newest_vectors import VectorColumns
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.operations.context import Scope
from featurestore.operations.vectors.sync_plan import DeltaState, SyncPlan
from featurestore.stores.group_table import GroupTable
from featurestore.stores.postgres.copy import VectorRows
from featurestore.stores.postgres.sync import Watermark
from featurestore.stores.postgres.tables import VectorTable, filter_time


@dataclass(frozen=True)
class SyncedFeature:
    """One feature of one tenant at the instant ``now``; ``table`` may be the table of any of its model versions."""

    scope: Scope
    group: FeatureGroup
    feature: Feature
    table: VectorTable
    now: datetime

    @property
    def values(self) -> GroupTable:
        return self.scope.table(self.group)

    @property
    def columns(self) -> VectorColumns:
        filters = self.table.filter_names
        return VectorColumns(
            keys=tuple(self.group.join_keys),
            vector=self.feature.name,
            model=f"{self.feature.name}__model_version",
            others=filters,
            features=tuple(name for name in self.group.feature_names if name == self.feature.name or name in filters),
            nulls=self.group.nulls,
        )

    @property
    def column_names(self) -> list[str]:
        """The columns of the group's table that a sync reads."""
        columns = self.columns
        return [*columns.keys, *TIME_COLUMNS, columns.vector, columns.model, *columns.others]

    @property
    def times(self) -> dict[str, str]:
        """Filter -> the column of the event timestamps of its values, if there is one."""
        return {name: filter_time(name) for name in self.table.filter_names} if self.table.timed else {}

    def delta_state(self, watermark: Watermark | None) -> DeltaState:
        values = self.values.values
        newest = values.history(limit=1)[0]
        version = newest.version
        synced = None
        if watermark is not None and watermark.delta_version <= version:
            commits = values.history(limit=version - watermark.delta_version + 1)
            synced = next((commit.at for commit in commits if commit.version == watermark.delta_version), None)
        return DeltaState(values.table_id(), version, newest.at, synced)


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Touched:
    """The entities that changed, or got valid rows, since the last sync: their number, and their rows if there are any.

    ``rows``: one row per entity and model version with a newest vector; one without a vector for an entity without any.
    ``close`` frees what the rows hold.
    """

    number: int
    rows: VectorRows | None
    close: Callable[[], None] = _nothing


class SyncRows(Protocol):
    """Reads the rows of a sync; whichever way it does, they are the same."""

    def next_event_timestamp(self, version: int) -> datetime | None:
        """The first event timestamp after ``now``; None without one."""

    def newest(self, version: int) -> VectorRows:
        """The newest valid vectors of all entities."""

    def touched(self, plan: SyncPlan) -> Touched | str:
        """The entities to bring up to date; or the reason why the change feed cannot be read any more."""


def lost_feed(plan: SyncPlan, cause: str) -> str:
    """The reason why the change feed cannot be read any more."""
    versions = f"{(plan.from_version or 0) + 1} to {plan.to_version}"
    return f"the change feed of versions {versions} cannot be read any more ({cause})"
