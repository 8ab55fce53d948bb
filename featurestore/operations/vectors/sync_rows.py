"""The rows of a group's table that a sync of its vectors reads: of all entities, or of changed ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.columnar.values.newest_vectors import VectorColumns
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.frames.as_of.key_filter import with_keys
from featurestore.frames.columns import column
from featurestore.frames.schema import key_fields
from featurestore.frames.timestamps import instant, partition_of
from featurestore.frames.vectors.newest_vectors import most_rows_an_entity, newest_vectors, only_vectors
from featurestore.late_spark import DataFrame, F
from featurestore.operations.context import Scope
from featurestore.operations.vectors.sync_plan import DeltaState, SyncPlan
from featurestore.stores.postgres.sync import Watermark
from featurestore.stores.postgres.tables import VectorTable, filter_time

_LAST_INSTANT = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class SyncRows:
    """One feature of one tenant at the instant ``now``; ``table`` may be the table of any of its model versions."""

    scope: Scope
    group: FeatureGroup
    feature: Feature
    table: VectorTable
    now: datetime

    def delta_state(self, watermark: Watermark | None) -> DeltaState:
        values = self.scope.table(self.group).values
        newest = values.history(limit=1)[0]
        version = newest.version
        synced = None
        if watermark is not None and watermark.delta_version <= version:
            commits = values.history(limit=version - watermark.delta_version + 1)
            synced = next((commit.at for commit in commits if commit.version == watermark.delta_version), None)
        return DeltaState(values.table_id(), version, newest.at, synced)

    def _values(self, version: int) -> DataFrame:
        """The tenant's rows that are valid by ``now``, from one version of the table."""
        names = [*self.group.join_keys, *TIME_COLUMNS, self.feature.name, f"{self.feature.name}__model_version"]
        rows = self.scope.read_values(
            self.group,
            [*names, *self.table.filter_names],
            (None, self.now.date()),
            version,
        )
        return rows.where(F.col("event_timestamp") <= instant(self.now))

    def newest(self, version: int) -> DataFrame:
        """The newest valid vectors of all entities."""
        values = self._values(version)
        # Counting keys reads no vectors, and if each key has one row, which is usual, no vector is shuffled.
        [most] = most_rows_an_entity(values, self.group.join_keys).toArrow().to_pylist()
        if (most["rows"] or 0) > 1:
            return self._newest(values)
        return only_vectors(values, self._columns, self._times)

    def _newest(self, values: DataFrame) -> DataFrame:
        return newest_vectors(values, self._columns, self._times)

    @property
    def _times(self) -> dict[str, str]:
        return {name: filter_time(name) for name in self.table.filter_names} if self.table.timed else {}

    @property
    def _columns(self) -> VectorColumns:
        filters = self.table.filter_names
        return VectorColumns(
            keys=tuple(self.group.join_keys),
            vector=self.feature.name,
            model=f"{self.feature.name}__model_version",
            others=filters,
            features=tuple(name for name in self.group.feature_names if name == self.feature.name or name in filters),
            nulls=self.group.nulls,
        )

    def touched(self, plan: SyncPlan) -> DataFrame:
        """The distinct join keys of entities that changed, or got valid rows, since the last sync."""
        values, keys = self.scope.table(self.group).values, key_fields(self.group)
        parts = []
        assert plan.from_version is not None
        if plan.to_version > plan.from_version:
            feed = values.changes(plan.from_version + 1, plan.to_version)
            parts.append(feed.where(F.col("tenant_id") == F.lit(self.scope.tenant_id)))
        if plan.due_since is not None:
            dates = (partition_of(plan.due_since.date(), self.group.partition_by), self.now.date())
            rows = self.scope.read_values(
                self.group, [*self.group.join_keys, "event_timestamp"], dates, plan.to_version
            )
            at = F.col("event_timestamp")
            parts.append(rows.where((at > instant(plan.due_since)) & (at <= instant(self.now))))
        key_rows = [
            part.select(*(column(key.name).cast(key.dataType).alias(key.name) for key in keys)) for part in parts
        ]
        union = key_rows[0] if len(key_rows) == 1 else key_rows[0].union(key_rows[1])
        return union.distinct()

    def of_touched(self, touched: DataFrame, number: int, version: int) -> DataFrame:
        """One row per entity with its newest vector; the vector is null for an entity without one."""
        values, keys = self._values(version), self.group.join_keys
        matching = with_keys(values, touched, number, lambda rows: rows.join(touched, keys, "left_semi"))
        return touched.join(self._newest(matching), keys, "left")

    def next_event_timestamp(self, version: int) -> datetime | None:
        """The first event timestamp after ``now``; None without one."""
        first = partition_of(self.now.date(), self.group.partition_by)
        rows = self.scope.read_values(self.group, ["event_timestamp"], (first, None), version)
        ahead = rows.where(F.col("event_timestamp") > instant(self.now))
        earliest = F.least(F.min("event_timestamp"), instant(_LAST_INSTANT))
        [row] = ahead.agg(F.when(F.count("*") > 0, earliest).alias("at")).toArrow().to_pylist()
        return None if row["at"] is None else row["at"].astimezone(UTC)
