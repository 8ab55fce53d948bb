"""Resolve corrections: of several rows with the same key and event timestamp, keep the values that count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from featurestore.frames.columns import column
from featurestore.late_spark import Column, DataFrame, F, T

_CREATED, _LATEST = "created_timestamp", "__latest"


def latest_values(
    values: DataFrame, keys: Sequence[str], features: Sequence[str], nulls: Literal["skip", "keep"]
) -> DataFrame:
    """One row per key and event timestamp: the keys, ``event_timestamp``, ``created_timestamp``, the features.

    Rows are in the order of the as-of join: by created timestamp, then by the tuple of ``features`` (nulls lowest, an
    array by its xxhash64). ``nulls="keep"``: the last row wins as a whole. ``"skip"``: each feature has its last
    non-null value, and a key and event timestamp without any is left out. ``created_timestamp`` is the newest of the
    rows that the values come from. An embedding brings along the column beside it that names its model.
    """
    order = F.struct(F.col(_CREATED), *(sort_value(values, name) for name in features))
    identity = [*(column(name) for name in keys), F.col("event_timestamp")]
    if nulls == "keep":
        row = F.struct(F.col(_CREATED), *(_with_companion(values, name) for name in features))
        latest = values.groupBy(*identity).agg(F.max_by(row, order).alias(_LATEST))
        created = F.col(_LATEST)[_CREATED]
        latest_of = {name: F.col(_LATEST)[name] for name in features}
    else:
        order_of = {name: F.when(column(name).isNotNull(), order) for name in features}
        latest = values.groupBy(*identity).agg(
            *(F.max_by(_with_companion(values, name), order_of[name]).alias(name) for name in features),
            *(
                F.max(F.when(column(name).isNotNull(), F.col(_CREATED))).alias(f"__created_{index}")
                for index, name in enumerate(features)
            ),
        )
        times = [F.col(f"__created_{index}") for index in range(len(features))]
        created = F.greatest(*times) if len(times) > 1 else times[0]
        latest = latest.where(created.isNotNull())
        latest_of = {name: column(name) for name in features}
    return latest.select(
        *(column(name) for name in keys),
        F.col("event_timestamp"),
        created.alias(_CREATED),
        *(part for name in features for part in _parts(values, name, latest_of[name])),
    )


def sort_value(values: DataFrame, feature: str) -> Column:
    """The value of a feature by which rows of one time are ordered; null for null, which is lowest."""
    value = column(feature)
    is_array = isinstance(values.schema[feature].dataType, T.ArrayType)
    return F.when(value.isNotNull(), F.xxhash64(value)) if is_array else value


def _companion(values: DataFrame, feature: str) -> str | None:
    name = f"{feature}__model_version"
    return name if name in values.columns else None


def _with_companion(values: DataFrame, feature: str) -> Column:
    """The feature, or a struct of it and the model version beside it."""
    companion = _companion(values, feature)
    if companion is None:
        return column(feature)
    return F.struct(column(feature).alias("value"), column(companion).alias("model")).alias(feature)


def _parts(values: DataFrame, feature: str, latest: Column) -> list[Column]:
    companion = _companion(values, feature)
    if companion is None:
        return [latest.alias(feature)]
    return [latest["value"].alias(feature), latest["model"].alias(companion)]
