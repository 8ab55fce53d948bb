"""The log of erasures: which were begun, what each was about to remove, and the certificates; keys are hashed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

from featurestore.frames.schema import table_schema
from featurestore.late_spark import DataFrame, F, SparkSession
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.small_tables.rows import UnreadableRow, read_text, warn_of, written_json

# ``planned``: what is about to be removed from disk, so that a certificate can list it whatever happens in between.
Kind = Literal["begun", "planned", "certified"]
Item = TypeVar("Item")
_REMEDY = "erase the same entities again: nothing is left to remove, and the new certificate says so"
_COLUMNS = (
    "tenant_id string, erasure_id string, entity string, key_hashes array<string>, kind string, recorded_at timestamp, "
    "detail string"
)


@dataclass(frozen=True)
class Erasure:
    """One erasure of some entities of one tenant."""

    tenant_id: str
    erasure_id: str
    entity: str
    key_hashes: tuple[str, ...]


@dataclass(frozen=True)
class ErasureLog:
    table: DeltaTable

    def create(self, spark: SparkSession) -> None:
        self.table.create(spark, table_schema(_COLUMNS), ["tenant_id"])

    def unfinished(self, spark: SparkSession, tenant_id: str, entity: str, hashes: Sequence[str]) -> str | None:
        """Return the id of an erasure of exactly these entities that was begun but not certified, or None."""
        of_entity = self._of_tenant(spark, tenant_id).where(F.col("entity") == F.lit(entity))
        rows = of_entity.select("erasure_id", "key_hashes", "kind").toArrow().to_pylist()
        done = {row["erasure_id"] for row in rows if row["kind"] == "certified"}
        begun = [row["erasure_id"] for row in rows if row["kind"] == "begun" and row["key_hashes"] == list(hashes)]
        return next((erasure_id for erasure_id in begun if erasure_id not in done), None)

    def record(self, spark: SparkSession, erasure: Erasure, kind: Kind, detail: dict[str, Any], now: datetime) -> None:
        row = (
            erasure.tenant_id, erasure.erasure_id, erasure.entity, list(erasure.key_hashes), kind, now,
            written_json(detail, f"the detail of erasure {erasure.erasure_id} ({kind})"),
        )  # fmt: skip
        self.table.append(spark.createDataFrame([row], table_schema(_COLUMNS)).coalesce(1))

    def planned(self, spark: SparkSession, erasure: Erasure) -> list[dict[str, Any]]:
        rows = self._of_tenant(spark, erasure.tenant_id).where(F.col("erasure_id") == F.lit(erasure.erasure_id))
        details = rows.where(F.col("kind") == F.lit("planned")).select("detail").collect()
        return [json.loads(row["detail"]) for row in details]

    def certificates(self, spark: SparkSession, tenant_id: str, read: Callable[[str], Item]) -> list[Item]:
        """Return the certificates, each parsed by ``read``, oldest first; warn about unreadable ones and skip them."""
        if not self.table.exists(spark):
            return []
        rows = self._of_tenant(spark, tenant_id).where(F.col("kind") == F.lit("certified"))
        certificates = []
        for row in rows.orderBy("recorded_at", "erasure_id").select("erasure_id", "detail").collect():
            subject = f"the certificate of erasure {row['erasure_id']} of tenant {tenant_id!r}"
            certificate = read_text(read, row["detail"], subject, _REMEDY)
            if isinstance(certificate, UnreadableRow):
                warn_of(certificate)
            else:
                certificates.append(certificate)
        return certificates

    def _of_tenant(self, spark: SparkSession, tenant_id: str) -> DataFrame:
        return self.table.read(spark).where(F.col("tenant_id") == F.lit(tenant_id))
