"""The columns of a feature group's tables, as Spark types."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from featurestore.columnar import schema as arrow
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.late_spark import DataType, StructField, StructType, from_arrow_schema, from_arrow_type


def data_type(storage: str) -> DataType:
    """The Spark type of a storage type such as ``bigint`` or ``array<float>``; needs no session."""
    return from_arrow_type(arrow.data_type(storage))


def key_fields(group: FeatureGroup) -> list[StructField]:
    return list(_spark_schema(arrow.key_fields(group)))


def feature_fields(feature: Feature) -> list[StructField]:
    """The feature's column, and for an embedding the column of its values' model versions."""
    return list(_spark_schema(arrow.feature_fields(feature)))


def values_schema(group: FeatureGroup) -> StructType:
    """Tenant, event date, join keys, event and created timestamp, features: the order of the table."""
    return _spark_schema(arrow.values_schema(group))


def _spark_schema(fields: Iterable[pa.Field]) -> StructType:
    return from_arrow_schema(pa.schema(fields))
