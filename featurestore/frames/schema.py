"""The columns of a feature group's tables."""

from __future__ import annotations

from functools import cache

from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.types import storage_of_key
from featurestore.kinds.registry import KINDS
from featurestore.late_spark import ArrayType, DataType, DateType, StringType, StructField, StructType, TimestampType

PARTITION_COLUMNS = ("tenant_id", "event_date")
TIME_COLUMNS = ("event_timestamp", "created_timestamp")


@cache
def _spark_types() -> dict[str, DataType]:
    return {kind.storage: kind.spark_type for kind in KINDS.values()}


def data_type(storage: str) -> DataType:
    """The Spark type of a storage type such as ``bigint`` or ``array<float>``; needs no session."""
    if storage.startswith("array<"):
        return ArrayType(_spark_types()[storage.removeprefix("array<").removesuffix(">")])
    return _spark_types()[storage]


@cache
def table_schema(columns: str) -> StructType:
    """A schema from ``"name type, name type"``; unlike Spark's own parser, it needs no session."""
    pairs = (column.split() for column in columns.split(","))
    return StructType([StructField(name, data_type(storage)) for name, storage in pairs])


def rejected_schema() -> StructType:
    """The columns of rejected rows; ``claim`` is the batch that is writing the row again."""
    return table_schema(
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
