"""Rows about entities that were erased: how an entity is written to be hashed, and how such rows are left out."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore.frames.columns import column

# How an entity is written as JSON. Its hash is kept for good, so that this never changes.
_AS_JSON = {"ignoreNullFields": "false", "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX", "timeZone": "UTC"}

# A column that tells of a row that it is of a suppressed entity.
SUPPRESSED = "__suppressed"
# The reason that such rows are counted under.
REASON = "suppressed: the entity was erased"


def identity_text(tenant_id: str, entity: str, keys: Mapping[str, Column]) -> Column:
    """An entity as JSON: tenant, entity and join keys, in this order, instants in UTC; null where a key is null.

    Tenant and entity are part of it, so that one person has another hash with each tenant.
    """
    complete = F.lit(True)
    for value in keys.values():
        complete = complete & value.isNotNull()
    key = F.struct(*(value.alias(name) for name, value in keys.items()))
    told = F.struct(F.lit(tenant_id).alias("tenant"), F.lit(entity).alias("entity"), key.alias("key"))
    return F.when(complete, F.to_json(told, _AS_JSON))


def without_suppressed(rows: DataFrame) -> DataFrame:
    """The rows of all others, without the column ``SUPPRESSED`` (which no rows have where nobody was erased)."""
    return rows.where(~column(SUPPRESSED)).drop(SUPPRESSED) if SUPPRESSED in rows.columns else rows
