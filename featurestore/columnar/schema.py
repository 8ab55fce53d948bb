"""The columns of the store's tables, as Arrow types."""

from __future__ import annotations

import pyarrow as pa

from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.types import storage_of_key
from featurestore.kinds.registry import KINDS

PARTITION_COLUMNS = ("tenant_id", "event_date")
TIME_COLUMNS = ("event_timestamp", "created_timestamp")

_ARROW_TYPES: dict[str, pa.DataType] = {kind.storage: kind.arrow_type for kind in KINDS.values()}


def data_type(storage: str) -> pa.DataType:
    """The Arrow type of a storage type such as ``bigint`` or ``array<float>``."""
    if storage.startswith("array<"):
        return pa.list_(pa.field("element", _ARROW_TYPES[storage.removeprefix("array<").removesuffix(">")]))
    return _ARROW_TYPES[storage]


def table_schema(columns: str) -> pa.Schema:
    """A schema from ``"name type, name type"``."""
    pairs = (column.split() for column in columns.split(","))
    return pa.schema([(name, data_type(storage)) for name, storage in pairs])


# ``claim``: the batch that is writing the row again.
REJECTED = table_schema(
    "tenant_id string, batch_id string, rejected_at timestamp, reasons array<string>, row string, claim string"
)


def key_fields(group: FeatureGroup) -> list[pa.Field]:
    return [pa.field(name, data_type(storage_of_key(kind))) for name, kind in group.entity.join_keys.items()]


def feature_fields(feature: Feature) -> list[pa.Field]:
    """The feature's column, and for an embedding the column of its values' model versions."""
    fields = [pa.field(feature.name, data_type(feature.feature_type.storage))]
    if feature.model_version_column is not None:
        fields.append(pa.field(feature.model_version_column, pa.string()))
    return fields


def values_schema(group: FeatureGroup) -> pa.Schema:
    """Tenant, event date, join keys, event and created timestamp, features: the order of the table."""
    fields = [pa.field("tenant_id", pa.string()), pa.field("event_date", pa.date32())]
    fields += key_fields(group)
    fields += [pa.field(name, data_type("timestamp")) for name in TIME_COLUMNS]
    for feature in group.features:
        fields += feature_fields(feature)
    return pa.schema(fields)
