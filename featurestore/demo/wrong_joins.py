"""Two joins that look right and are not, as they are commonly written; for the demo to compare with.

Never build a training set like this. Both read the same stored values as the as-of join; they only take the wrong ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore import FeatureStore, TrainingSet
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.lookup import Lookup

_SECONDS_A_DAY = 86_400


def latest_values(fs: FeatureStore, training_set: TrainingSet, spine: DataFrame) -> DataFrame:
    """The newest value of each key, for every row of that key: what a table of current values gives.

    A row of January sees the values of December.
    """
    joined = spine
    for used in _groups(training_set):
        newest = used.newest(used.rows(fs), [])
        joined = joined.join(newest, [*used.spine_keys], "left")
    return joined


def same_day_values(fs: FeatureStore, training_set: TrainingSet, spine: DataFrame) -> DataFrame:
    """The newest value of each key and UTC day, for every row of that key and day: what joining daily tables gives.

    A flight of the morning sees the evening's values, its own delay among them.
    """
    timestamp = training_set.manifest.timestamp_column
    joined = spine.withColumn("__day", _day(timestamp))
    for used in _groups(training_set):
        newest = used.newest(used.rows(fs).withColumn("__day", _day("event_timestamp")), ["__day"])
        joined = joined.join(newest, [*used.spine_keys, "__day"], "left")
    return joined.drop("__day")


def _day(timestamp: str) -> Column:
    return F.floor(F.unix_seconds(timestamp) / F.lit(_SECONDS_A_DAY))


@dataclass(frozen=True)
class _UsedGroup:
    """A group as the training set used it: the table's version, and what its columns are called there."""

    group: FeatureGroup
    table: str
    table_version: int
    tenant_id: str
    lookup: Lookup
    outputs: dict[str, str]

    @property
    def spine_keys(self) -> list[str]:
        return [self.lookup.on.get(key, key) for key in self.group.join_keys]

    def rows(self, fs: FeatureStore) -> DataFrame:
        reader = fs.spark.read.format("delta").option("versionAsOf", self.table_version)
        by_path = fs.settings.catalog is None
        stored = reader.load(self.table) if by_path else reader.table(self.table)
        return stored.where(F.col("tenant_id") == self.tenant_id)

    def newest(self, rows: DataFrame, also_by: list[str]) -> DataFrame:
        """One row a key (and ``also_by``): its newest values, named as in the training set."""
        keys = [F.col(key).alias(self.lookup.on.get(key, key)) for key in self.group.join_keys]
        newest = F.max_by(F.struct(*self.outputs), F.struct("event_timestamp", "created_timestamp"))
        found = rows.groupBy(*keys, *also_by).agg(newest.alias("newest"))
        named = [F.col("newest")[feature].alias(output) for feature, output in self.outputs.items()]
        return found.select(*self.spine_keys, *also_by, *named)


def _groups(training_set: TrainingSet) -> Iterator[_UsedGroup]:
    manifest = training_set.manifest
    snapshots = {snapshot.name: snapshot for snapshot in manifest.groups}
    columns = iter(manifest.feature_columns)
    for lookup in manifest.features:
        snapshot = snapshots[lookup.group]
        yield _UsedGroup(
            group=snapshot.group,
            table=snapshot.table,
            table_version=snapshot.table_version,
            tenant_id=manifest.tenant_id,
            lookup=lookup,
            outputs={feature: next(columns) for feature in lookup.features},
        )
