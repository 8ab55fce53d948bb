"""Rows about erased entities: the text of an entity that is hashed, and how such rows are left out."""

from __future__ import annotations

from collections.abc import Mapping

from featurestore.columnar.rows.names import REASON as REASON
from featurestore.columnar.rows.names import SUPPRESSED as SUPPRESSED
from featurestore.frames.columns import column
from featurestore.late_spark import Column, DataFrame, F

# The spelling of an entity as JSON. It must never change, because hashes of it are stored for good.
_AS_JSON = {"ignoreNullFields": "false", "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX", "timeZone": "UTC"}


def identity_text(tenant_id: str, entity: str, keys: Mapping[str, Column]) -> Column:
    """An entity as JSON: tenant, entity and join keys, in this order, instants in UTC; null if a key is null.

    The text includes tenant and entity, so that the same person has a different hash with each tenant.
    """
    complete = F.lit(True)
    for value in keys.values():
        complete = complete & value.isNotNull()
    key = F.struct(*(value.alias(name) for name, value in keys.items()))
    identity = F.struct(F.lit(tenant_id).alias("tenant"), F.lit(entity).alias("entity"), key.alias("key"))
    return F.when(complete, F.to_json(identity, _AS_JSON))


def without_suppressed(rows: DataFrame) -> DataFrame:
    """The rows of all other entities, without the column ``SUPPRESSED`` (absent if no entity was erased)."""
    return rows.where(~column(SUPPRESSED)).drop(SUPPRESSED) if SUPPRESSED in rows.columns else rows
