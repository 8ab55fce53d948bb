"""Two joins that look right and are not, as they are commonly written; for the demo to compare with.

Never build a training set like this. Both read the same stored values as the as-of join; they only take the wrong ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from featurestore import FeatureStore, TrainingSet

_DAY = "__day"


@dataclass(frozen=True)
class StoredValues:
    """A group's rows, oldest first, under the names that the training set gave their keys and features."""

    keys: list[str]
    features: list[str]
    rows: pd.DataFrame


def latest_values(spine: pd.DataFrame, groups: Iterable[StoredValues]) -> pd.DataFrame:
    """The newest value of each key, for every row of that key: what a table of current values gives.

    A row of January sees the values of December.
    """
    joined = spine
    for group in groups:
        newest = group.rows.drop_duplicates(group.keys, keep="last")
        joined = joined.merge(newest[[*group.keys, *group.features]], how="left", on=group.keys)
    return joined


def same_day_values(spine: pd.DataFrame, groups: Iterable[StoredValues]) -> pd.DataFrame:
    """The newest value of each key and UTC day, for every row of that key and day: what joining daily tables gives.

    A flight of the morning sees the evening's values, its own delay among them.
    """
    joined = spine.assign(**{_DAY: spine["event_timestamp"].dt.floor("D")})
    for group in groups:
        dated = group.rows.assign(**{_DAY: group.rows["event_timestamp"].dt.floor("D")})
        newest = dated.drop_duplicates([*group.keys, _DAY], keep="last")
        joined = joined.merge(newest[[*group.keys, _DAY, *group.features]], how="left", on=[*group.keys, _DAY])
    return joined.drop(columns=_DAY)


def stored_values(fs: FeatureStore, training_set: TrainingSet) -> Iterator[StoredValues]:
    """The groups of a training set, at the versions it was built from; all their rows, whenever they became known."""
    manifest = training_set.manifest
    snapshots = {snapshot.name: snapshot for snapshot in manifest.groups}
    columns = iter(manifest.feature_columns)
    for lookup in manifest.features:
        snapshot = snapshots[lookup.group]
        keys = {key: lookup.on.get(key, key) for key in snapshot.group.join_keys}
        features = {feature: next(columns) for feature in lookup.features}
        reader = fs.spark.read.format("delta").option("versionAsOf", snapshot.table_version)
        table = reader.load(snapshot.table) if fs.settings.catalog is None else reader.table(snapshot.table)
        rows = table.where(table["tenant_id"] == manifest.tenant_id).select(
            *keys, "event_timestamp", "created_timestamp", *features
        )
        held: pd.DataFrame = rows.toArrow().to_pandas()
        in_order = held.sort_values(["event_timestamp", "created_timestamp"])
        yield StoredValues([*keys.values()], [*features.values()], in_order.rename(columns=keys | features))
