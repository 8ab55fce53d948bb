"""Exports that the store made: where they are, so that an erasure finds them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore.frames.schema import table_schema
from featurestore.stores.delta.table import DeltaTable

ExportKind = Literal["training_set", "fine_tuning", "rows"]
# The file in an export by which it is known to be the store's, and its tenant's.
MARKS: dict[ExportKind, str] = {
    "training_set": "_manifest.json",
    "fine_tuning": "_manifest.json",
    "rows": "_export.json",
}
_SCHEMA = table_schema("tenant_id string, path string, kind string, name string, version int, exported_at timestamp")


@dataclass(frozen=True)
class ExportRecord:
    """A folder that was written, or was about to be. Of a training set, ``name`` and ``version`` say which."""

    tenant_id: str
    path: str
    kind: ExportKind
    name: str = ""
    version: int = 0


@dataclass(frozen=True)
class ExportLog:
    table: DeltaTable

    def record(self, spark: SparkSession, export: ExportRecord, now: datetime) -> None:
        """Before anything is written: a folder that nobody knows of would outlive an erasure."""
        self.table.create(spark, _SCHEMA, ["tenant_id"])
        row = (export.tenant_id, export.path, export.kind, export.name, export.version, now)
        self.table.append(spark.createDataFrame([row], _SCHEMA).coalesce(1))

    def of_tenant(self, spark: SparkSession, tenant_id: str) -> list[ExportRecord]:
        """Every export, oldest first; a path may come again."""
        if not self.table.exists(spark):
            return []
        rows = self.table.read(spark).where(F.col("tenant_id") == F.lit(tenant_id)).orderBy("exported_at", "path")
        told = rows.drop("exported_at").collect()
        return [ExportRecord(**row.asDict()) for row in told]
