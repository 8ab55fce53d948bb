"""The log of exports that the store made and their paths, so that an erasure finds them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from featurestore.frames.schema import table_schema
from featurestore.late_spark import F, SparkSession
from featurestore.stores.delta.table import DeltaTable

ExportKind = Literal["training_set", "fine_tuning", "rows"]
# The file in an export that identifies it as this store's, and its tenant.
MARKS: dict[ExportKind, str] = {
    "training_set": "_manifest.json",
    "fine_tuning": "_manifest.json",
    "rows": "_export.json",
}
_COLUMNS = "tenant_id string, path string, kind string, name string, version int, exported_at timestamp"


@dataclass(frozen=True)
class ExportRecord:
    """A folder that was written, or was about to be; for a training set, ``name`` and ``version`` identify it."""

    tenant_id: str
    path: str
    kind: ExportKind
    name: str = ""
    version: int = 0


@dataclass(frozen=True)
class ExportLog:
    table: DeltaTable

    def record(self, spark: SparkSession, export: ExportRecord, now: datetime) -> None:
        """Record an export before anything is written: an unrecorded folder would survive an erasure."""
        self.table.create(spark, table_schema(_COLUMNS), ["tenant_id"])
        row = (export.tenant_id, export.path, export.kind, export.name, export.version, now)
        self.table.append(spark.createDataFrame([row], table_schema(_COLUMNS)).coalesce(1))

    def of_tenant(self, spark: SparkSession, tenant_id: str) -> list[ExportRecord]:
        """Return every export of the tenant, oldest first; a path may occur more than once."""
        if not self.table.exists(spark):
            return []
        rows = self.table.read(spark).where(F.col("tenant_id") == F.lit(tenant_id)).orderBy("exported_at", "path")
        return [ExportRecord(**row.asDict()) for row in rows.drop("exported_at").collect()]
