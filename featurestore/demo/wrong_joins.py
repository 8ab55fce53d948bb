"""Two common joins that look right but are wrong, for comparison in the demo.

Never build a training set like this. Both read the same stored values as the as-of join, but choose the wrong ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from featurestore import FeatureStore, TrainingSet

_DAY = "__day"
_ALWAYS = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))


@dataclass(frozen=True)
class StoredValues:
    """A group's rows, oldest first, with the training set's names of keys and features."""

    keys: list[str]
    features: list[str]
    rows: pd.DataFrame


def latest_values(spine: pd.DataFrame, groups: Iterable[StoredValues]) -> pd.DataFrame:
    """Join every row with the newest value of its key, as a table of current values would.

    A row of January sees the values of December.
    """
    joined = spine
    for group in groups:
        newest = group.rows.drop_duplicates(group.keys, keep="last")
        joined = joined.merge(newest[[*group.keys, *group.features]], how="left", on=group.keys)
    return joined


def same_day_values(spine: pd.DataFrame, groups: Iterable[StoredValues]) -> pd.DataFrame:
    """Join every row with the newest value of its key and UTC day, as a join of daily tables would.

    A morning flight sees the evening's values, including its own delay.
    """
    joined = spine.assign(**{_DAY: spine["event_timestamp"].dt.floor("D")})
    for group in groups:
        dated = group.rows.assign(**{_DAY: group.rows["event_timestamp"].dt.floor("D")})
        newest = dated.drop_duplicates([*group.keys, _DAY], keep="last")
        joined = joined.merge(newest[[*group.keys, _DAY, *group.features]], how="left", on=[*group.keys, _DAY])
    return joined.drop(columns=_DAY)


def stored_values(fs: FeatureStore, training_set: TrainingSet) -> Iterator[StoredValues]:
    """All values of a training set's groups that store them, whenever they became known."""
    store = fs.tenant(training_set.manifest.tenant_id)
    columns = iter(training_set.manifest.feature_columns)
    for lookup in training_set.manifest.features:
        features = {feature: next(columns) for feature in lookup.features}
        if fs.feature_group(lookup.group).is_computed:
            continue
        keys = {key: lookup.on.get(key, key) for key in fs.feature_group(lookup.group).join_keys}
        references = [f"{lookup.group}:{feature}" for feature in features]
        rows: pd.DataFrame = store.get_batch_features(references, *_ALWAYS, to="pandas").rows
        in_order = rows.sort_values("event_timestamp", kind="stable")
        yield StoredValues([*keys.values()], [*features.values()], in_order.rename(columns=keys | features))
