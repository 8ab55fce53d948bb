"""The columns of a feature group's tables."""

from __future__ import annotations

from pyspark.sql.types import ArrayType, DataType, DateType, StringType, StructField, StructType, TimestampType

from featurestore.columnar.rows.batch_columns import TIME_COLUMNS as TIME_COLUMNS
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.types import storage_of_key
from featurestore.kinds.registry import KINDS

PARTITION_COLUMNS = ("tenant_id", "event_date")

_SPARK_TYPES: dict[str, DataType] = {kind.storage: kind.spark_type for kind in KINDS.values()}


def data_type(storage: str) -> DataType:
    """The Spark type of a storage type such as ``bigint`` or ``array<float>``; needs no session."""
    if storage.startswith("array<"):
        return ArrayType(_SPARK_TYPES[storage.removeprefix("array<").removesuffix(">")])
    return _SPARK_TYPES[storage]


def table_schema(columns: str) -> StructType:
    """A schema from ``"name type, name type"``; unlike Spark's own parser, it needs no session."""
    pairs = (column.split() for column in columns.split(","))
    return StructType([StructField(name, data_type(storage)) for name, storage in pairs])


# ``claim``: the batch that is writing the row again.
REJECTED = table_schema(
    "tenant_id string, batch_id string, rejected_at timestamp, reasons array<string>, row string, claim string"
)


def key_fields(group: FeatureGroup) -> list[StructField]:
    return [StructField(name, data_type(storage_of_key(kind))) for name, kind in group.entity.join_keys.items()]


def feature_fields(feature: Feature) -> list[StructField]:
    """The feature's column, and for an embedding the column of its values' model versions."""
    fields = [StructField(feature.name, data_type(feature.feature_type.storage))]
    if feature.model_version_column is not None:
        fields.append(StructField(feature.model_version_column, StringType()))
    return fields


def values_schema(group: FeatureGroup) -> StructType:
    """Tenant, event date, join keys, event and created timestamp, features: the order of the table."""
    fields = [StructField("tenant_id", StringType()), StructField("event_date", DateType())]
    fields += key_fields(group)
    fields += [StructField(name, TimestampType()) for name in TIME_COLUMNS]
    for feature in group.features:
        fields += feature_fields(feature)
    return StructType(fields)
