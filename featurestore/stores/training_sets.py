"""Saved training sets: their rows, a Delta table a version, and the manifests that publish them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.lookup import Lookup
from featurestore.errors import NotFoundError, nearest
from featurestore.frames.schema import table_schema
from featurestore.stores.delta import DeltaTable
from featurestore.stores.layout import Layout

PART = "__part"
_SCHEMA = table_schema("tenant_id string, name string, version int, created_at timestamp, manifest string")


class GroupSnapshot(BaseModel):
    """A feature group as it was when a training set was built: its definition, and the version of its table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    revision: int
    table: str
    table_version: int
    definition: str

    @property
    def group(self) -> FeatureGroup:
        return FeatureGroup.from_json(self.definition)


class SplitBoundaries(BaseModel):
    """Where a time split was cut: the first instant of validation (if any) and the first of test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    validation_from: datetime | None
    test_from: datetime


class PartSnapshot(BaseModel):
    """Rows of an extended training set that were joined together: their own spine, from tables as they then were."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    row_count: int
    spine_fingerprint: str
    groups: tuple[GroupSnapshot, ...]


class Manifest(BaseModel):
    """All that is needed to know what a training set holds, and to build it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant_id: str
    name: str
    version: int
    description: str = ""
    created_at: datetime
    location: str
    row_count: int
    content_hash: str
    label: str | None
    timestamp_column: str
    features: tuple[Lookup, ...]
    full_feature_names: bool
    known_at: Literal["event"] | datetime | None
    columns: tuple[str, ...]
    spine_columns: tuple[str, ...]
    key_columns: tuple[str, ...]
    feature_columns: tuple[str, ...]
    event_timestamp_columns: tuple[str, ...]
    spine_fingerprint: str
    spine_rows_before_sampling: int
    sample_size: int | None
    seed: int
    split: SplitBoundaries | None
    groups: tuple[GroupSnapshot, ...]
    code_version: str
    rebuilt_from: int | None = None
    # Of an extended set: the version that it extends, and all its parts, oldest first.
    extends: int | None = None
    parts: tuple[PartSnapshot, ...] = ()

    @property
    def all_parts(self) -> tuple[PartSnapshot, ...]:
        """The parts; a set that was never extended is one."""
        whole = PartSnapshot(row_count=self.row_count, spine_fingerprint=self.spine_fingerprint, groups=self.groups)
        return self.parts or (whole,)


class TrainingSetStore:
    """Training sets of all tenants; every method names the tenant it is for."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def rows_table(self, tenant_id: str, name: str, version: int) -> DeltaTable:
        return self._layout.training_set(tenant_id, name, version)

    def next_version(self, spark: SparkSession, tenant_id: str, name: str) -> int:
        """The first version that neither a manifest nor rows left by a crash have taken."""
        version = max((manifest.version for manifest in self.list(spark, tenant_id, name)), default=0) + 1
        while self.rows_table(tenant_id, name, version).exists(spark):
            version += 1
        return version

    def publish(self, spark: SparkSession, manifest: Manifest) -> None:
        """Make a version visible; its rows are complete by now."""
        table = self._layout.training_sets
        table.create(spark, _SCHEMA, ["tenant_id"])
        row = (manifest.tenant_id, manifest.name, manifest.version, manifest.created_at, manifest.model_dump_json())
        table.append(spark.createDataFrame([row], _SCHEMA).coalesce(1))

    def list(self, spark: SparkSession, tenant_id: str, name: str | None = None) -> list[Manifest]:
        """Manifests by name and version, oldest first."""
        table = self._layout.training_sets
        if not table.exists(spark):
            return []
        rows: Any = table.read(spark).where(F.col("tenant_id") == F.lit(tenant_id))
        if name is not None:
            rows = rows.where(F.col("name") == F.lit(name))
        manifests = [Manifest.model_validate_json(row["manifest"]) for row in rows.select("manifest").collect()]
        return sorted(manifests, key=lambda manifest: (manifest.name, manifest.version))

    def get(self, spark: SparkSession, tenant_id: str, name: str, version: int | None = None) -> Manifest:
        """One version, the newest by default; raises NotFoundError with the nearest names or the versions there are."""
        found = self.list(spark, tenant_id)
        named = [manifest for manifest in found if manifest.name == name]
        if not named:
            raise NotFoundError(f"training set {name!r} was never built. {nearest(name, {m.name for m in found})}")
        chosen = [manifest for manifest in named if version in (None, manifest.version)]
        if not chosen:
            raise NotFoundError(f"training set {name!r} has no version {version}; it has {[m.version for m in named]}")
        return chosen[-1]

    def read(self, spark: SparkSession, manifest: Manifest) -> DataFrame:
        return self.read_with_part(spark, manifest).drop(PART)

    def read_with_part(self, spark: SparkSession, manifest: Manifest) -> DataFrame:
        """The rows with ``PART``: to which of the manifest's parts they belong, from 0 on."""
        rows = self.rows_table(manifest.tenant_id, manifest.name, manifest.version).read(spark)
        return rows if PART in rows.columns else rows.withColumn(PART, F.lit(0))
