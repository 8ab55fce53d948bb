"""The rows of a sync by Spark, whose tasks read and send them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from featurestore.frames.as_of.key_filter import with_keys
from featurestore.frames.columns import column
from featurestore.frames.schema import key_fields
from featurestore.frames.timestamps import instant, partition_of
from featurestore.frames.vectors.newest_vectors import most_rows_an_entity, newest_vectors, only_vectors
from featurestore.late_spark import DataFrame, F, py4j_errors, spark_errors
from featurestore.operations.vectors.sync_plan import SyncPlan
from featurestore.operations.vectors.sync_rows import SyncedFeature, Touched, lost_feed
from featurestore.stores.postgres.copy import SparkRows
from featurestore.stores.spark_failures import failure_name

_LAST_INSTANT = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class RowsBySpark:
    """Reads the rows of a feature by Spark."""

    of: SyncedFeature

    def newest(self, version: int) -> SparkRows:
        """The newest valid vectors of all entities."""
        values = self._values(version)
        # Counting keys reads no vectors, and if each key has one row, which is usual, no vector is shuffled.
        [most] = most_rows_an_entity(values, self.of.group.join_keys).toArrow().to_pylist()
        if (most["rows"] or 0) > 1:
            return self._rows(self._newest(values))
        return self._rows(only_vectors(values, self.of.columns, self.of.times))

    def touched(self, plan: SyncPlan) -> Touched | str:
        """The entities to bring up to date; or the reason why the change feed cannot be read any more."""
        try:
            keys = self._touched_keys(plan).persist()
            number = keys.count()
        except (spark_errors.PySparkException, py4j_errors.Py4JJavaError) as error:
            return lost_feed(plan, failure_name(error))

        def close() -> None:
            keys.unpersist()

        return Touched(number, self._of_touched(keys, number, plan.to_version) if number else None, close)

    def next_event_timestamp(self, version: int) -> datetime | None:
        """The first event timestamp after ``now``; None without one."""
        of = self.of
        first = partition_of(of.now.date(), of.group.partition_by)
        rows = of.scope.read_values(of.group, ["event_timestamp"], (first, None), version)
        ahead = rows.where(F.col("event_timestamp") > instant(of.now))
        earliest = F.least(F.min("event_timestamp"), instant(_LAST_INSTANT))
        [row] = ahead.agg(F.when(F.count("*") > 0, earliest).alias("at")).toArrow().to_pylist()
        return None if row["at"] is None else row["at"].astimezone(UTC)

    def _rows(self, rows: DataFrame) -> SparkRows:
        return SparkRows(rows, self.of.table)

    def _values(self, version: int) -> DataFrame:
        """The tenant's rows that are valid by ``now``, from one version of the table."""
        of = self.of
        rows = of.scope.read_values(of.group, of.column_names, (None, of.now.date()), version)
        return rows.where(F.col("event_timestamp") <= instant(of.now))

    def _newest(self, values: DataFrame) -> DataFrame:
        return newest_vectors(values, self.of.columns, self.of.times)

    def _touched_keys(self, plan: SyncPlan) -> DataFrame:
        """The distinct join keys of entities that changed, or got valid rows, since the last sync."""
        of, keys = self.of, key_fields(self.of.group)
        parts = []
        assert plan.from_version is not None
        if plan.to_version > plan.from_version:
            feed = of.values.values.changes(plan.from_version + 1, plan.to_version)
            parts.append(feed.where(F.col("tenant_id") == F.lit(of.scope.tenant_id)))
        if plan.due_since is not None:
            dates = (partition_of(plan.due_since.date(), of.group.partition_by), of.now.date())
            names = [*of.group.join_keys, "event_timestamp"]
            rows = of.scope.read_values(of.group, names, dates, plan.to_version)
            at = F.col("event_timestamp")
            parts.append(rows.where((at > instant(plan.due_since)) & (at <= instant(of.now))))
        key_rows = [
            part.select(*(column(key.name).cast(key.dataType).alias(key.name) for key in keys)) for part in parts
        ]
        union = key_rows[0] if len(key_rows) == 1 else key_rows[0].union(key_rows[1])
        return union.distinct()

    def _of_touched(self, touched: DataFrame, number: int, version: int) -> SparkRows:
        """One row per entity with its newest vector; the vector is null for an entity without one."""
        values, keys = self._values(version), self.of.group.join_keys
        matching = with_keys(values, touched, number, lambda rows: rows.join(touched, keys, "left_semi"))
        return self._rows(touched.join(self._newest(matching), keys, "left"))
