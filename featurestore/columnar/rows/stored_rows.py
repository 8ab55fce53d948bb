"""Checked rows as a group's table stores them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.schema import values_schema
from featurestore.definitions.feature_group import FeatureGroup


def as_stored(good: pa.Table, group: FeatureGroup, tenant_id: str, now: datetime) -> pa.Table:
    """Good rows with the table's columns, in its order, as they are appended at ``now``.

    A row without a created timestamp gets ``now``; ``event_date`` is the UTC date of its event timestamp, or the first
    of its month; an embedding without a model version gets the feature's, and one without a value none.
    """
    created = good.column("created_timestamp")
    columns = {name: good.column(name) for name in good.column_names}
    columns["tenant_id"] = pa.repeat(pa.scalar(tenant_id), good.num_rows)
    columns["event_date"] = partition_dates(good.column("event_timestamp"), group.partition_by)
    columns["created_timestamp"] = pc.fill_null(created, pa.scalar(now, created.type))
    for feature in group.features:
        if feature.model_version_column is not None:
            given = pc.fill_null(columns[feature.model_version_column], feature.default_model_version)
            none = pa.scalar(None, given.type)
            columns[feature.model_version_column] = pc.if_else(good.column(feature.name).is_valid(), given, none)
    schema = values_schema(group)
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def in_file_order(stored: pa.Table, group: FeatureGroup) -> pa.Table:
    """The rows sorted by partition, join keys and event timestamp: the order within files.

    Texts are compared by their UTF-8 bytes, as Spark compares them.
    """
    names = ("event_date", *group.join_keys, "event_timestamp")
    return stored.take(pc.sort_indices(stored, sort_keys=[(name, "ascending") for name in names]))


def partition_dates(moments: Any, partition_by: str) -> pa.Array:
    """The UTC dates of instants, or the firsts of their months."""
    days = moments.cast(pa.timestamp("us")).to_numpy().astype("datetime64[D]")
    if partition_by == "month":
        days = days.astype("datetime64[M]").astype("datetime64[D]")
    return pa.array(days.astype(np.int64).astype(np.int32), pa.int32()).cast(pa.date32())
