"""Saved training sets: their rows, a Delta table a version, and the manifests that publish them."""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.finding import Finding
from featurestore.definitions.lookup import Lookup
from featurestore.definitions.training_set import Missing
from featurestore.display.description import Display, Displayed, Listing, Mark, Table, count, utc_text
from featurestore.errors import NotFoundError, nearest
from featurestore.frames.schema import table_schema
from featurestore.stores.delta import DeltaTable
from featurestore.stores.files import Files
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


class SplitCuts(BaseModel):
    """Where a split was cut, from which every row's part follows, also of rows that are added later.

    By time: the first instant of validation (if any) and of test, and the embargo before them. By chance or by entity: the
    columns that are hashed with the set's seed, and the hashes up to which rows are in test, and then in validation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["time", "random", "entity"] = "time"
    validation_from: datetime | None = None
    test_from: datetime | None = None
    embargo: timedelta | None = None
    columns: tuple[str, ...] = ()
    until_test: int | None = None
    until_validation: int | None = None

    def __str__(self) -> str:
        if self.kind == "time":
            gap = "" if self.embargo is None else f", after {self.embargo} in no part"
            return f"by time: validation from {self.validation_from or 'none'}, test from {self.test_from}{gap}"
        return "by chance" if self.kind == "random" else f"by entity: {', '.join(self.columns)}"


class PartSnapshot(BaseModel):
    """Rows of an extended training set that were joined together: their own spine, from tables as they then were."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    row_count: int
    spine_fingerprint: str
    groups: tuple[GroupSnapshot, ...]


class ErasureNote(BaseModel):
    """That rows of a published version were erased, because the person they are about asked for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    erasure_id: str
    erased_at: datetime
    rows: int


class Manifest(Displayed, BaseModel):
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
    split: SplitCuts | None
    groups: tuple[GroupSnapshot, ...]
    code_version: str
    # Of a label that is a feature: which, and how long after the row's timestamp.
    label_lookup: Lookup | None = None
    label_offset: timedelta = timedelta(0)
    stratify_by: tuple[str, ...] = ()
    missing: Missing = "keep"
    # Rows that were left out because a feature was missing.
    rows_dropped: int = 0
    expand_vectors: bool = False
    audit: tuple[Finding, ...] = ()
    rebuilt_from: int | None = None
    # Of an extended set: the version that it extends, and all its parts, oldest first.
    extends: int | None = None
    parts: tuple[PartSnapshot, ...] = ()
    # Spine rows that were left out, because the entity they are about was erased.
    rows_suppressed: int = 0
    # Rows that were taken out since the version was published; counts and hashes above are of those that are left.
    erasures: tuple[ErasureNote, ...] = ()

    @property
    def all_parts(self) -> tuple[PartSnapshot, ...]:
        """The parts; a set that was never extended is one."""
        whole = PartSnapshot(row_count=self.row_count, spine_fingerprint=self.spine_fingerprint, groups=self.groups)
        return self.parts or (whole,)

    def display(self) -> Display:
        """What it holds, what it was made from, and what the audit found."""
        facts = {
            "rows": count(self.row_count),
            "created at": utc_text(self.created_at),
            "label": self.label or "none",
            "features": ", ".join(self.feature_columns),
            "known at": self.known_at or "whenever it came",
            "split": self.split or "none",
            "sample": f"{self.sample_size:,}, seed {self.seed}" if self.sample_size is not None else None,
            "made from": ", ".join(
                f"{one.name} v{one.version} (table version {one.table_version})" for one in self.groups
            ),
            "audit": self._audited(),
            "content hash": self.content_hash,
            "code version": self.code_version,
            "location": self.location,
        }
        return Display(
            f"Training set {self.name} v{self.version} of {self.tenant_id}",
            lines=(self.description,) if self.description else (),
            facts=tuple((name, fact) for name, fact in facts.items() if fact is not None),
        )

    def _audited(self) -> str | Mark:
        found = Counter(finding.severity for finding in self.audit)
        told = [f"{found[severity]} {severity}" for severity in ("error", "warning", "info") if found[severity]]
        if not told:
            return Mark("clear", "good")
        return Mark(", ".join(told), "bad" if found["error"] else "warning" if found["warning"] else "muted")

    def __repr__(self) -> str:
        return f"Manifest({self.name!r}, version={self.version}, rows={self.row_count}, label={self.label!r})"


def describe_manifests(manifests: Sequence[Manifest]) -> Display:
    """A line a saved version."""
    if not manifests:
        return Display("There are no training sets yet.")
    columns = ("training set", "version", "created at", "rows", "features", "label", "content hash")
    rows = tuple(
        (
            one.name,
            one.version,
            utc_text(one.created_at),
            count(one.row_count),
            count(len(one.feature_columns)),
            one.label,
            one.content_hash[:12],
        )
        for one in manifests
    )
    return Display(tables=(Table(columns, rows),))


class TrainingSetStore:
    """Training sets of all tenants; every method names the tenant it is for."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def rows_table(self, tenant_id: str, name: str, version: int) -> DeltaTable:
        return self._layout.training_set(tenant_id, name, version)

    def rows_tables(
        self, spark: SparkSession, files: Files, tenant_id: str
    ) -> builtins.list[tuple[str, int, DeltaTable]]:
        """The tenant's tables of rows, with name and version: of published sets, and of those that never were.

        In a catalog only of the published: a table's name does not tell for certain whose it is.
        """
        folder = self._layout.training_sets_of(tenant_id)
        if folder is None:
            found = [(manifest.name, manifest.version) for manifest in self.list(spark, tenant_id)]
        else:
            names = [(name, last) for name in files.folders_in(folder) for last in files.folders_in(f"{folder}/{name}")]
            found = [(name, int(last[1:])) for name, last in names if last[:1] == "v" and last[1:].isdigit()]
        return [(name, version, self.rows_table(tenant_id, name, version)) for name, version in sorted(found)]

    def remove_rows(self, spark: SparkSession, files: Files, table: DeltaTable) -> None:
        if table.path is not None:
            files.delete(table.path)
        else:
            table.drop(spark)

    def next_version(self, spark: SparkSession, tenant_id: str, name: str) -> int:
        """The first version that no manifest, of a deleted set neither, and no rows left by a crash have taken."""
        version = max(self.versions(spark, tenant_id, name), default=0) + 1
        while self.rows_table(tenant_id, name, version).exists(spark):
            version += 1
        return version

    def publish(self, spark: SparkSession, manifest: Manifest) -> None:
        """Make a version visible; its rows are complete by now."""
        table = self._layout.training_sets
        table.create(spark, _SCHEMA, ["tenant_id"])
        row = (manifest.tenant_id, manifest.name, manifest.version, manifest.created_at, manifest.model_dump_json())
        table.append(spark.createDataFrame([row], _SCHEMA).coalesce(1))

    def unpublish(self, spark: SparkSession, tenant_id: str, name: str, versions: Iterable[int]) -> None:
        """Take the manifests of these versions away, all in one commit. A row without one stays, so that a version's
        number is never given again."""
        theirs = (F.col("tenant_id") == F.lit(tenant_id)) & (F.col("name") == F.lit(name))
        chosen = theirs & F.col("version").isin([*versions]) & F.col("manifest").isNotNull()
        self._layout.training_sets.update(spark, chosen, {"manifest": F.lit(None).cast("string")})

    def versions(self, spark: SparkSession, tenant_id: str, name: str) -> dict[int, bool]:
        """Every version that there ever was, in order, and whether it is published still."""
        rows = self._rows(spark, tenant_id, name)
        told = [] if rows is None else rows.select("version", F.col("manifest").isNotNull().alias("there")).collect()
        return {row["version"]: row["there"] for row in sorted(told, key=lambda row: int(row["version"]))}

    def _rows(self, spark: SparkSession, tenant_id: str, name: str | None) -> DataFrame | None:
        table = self._layout.training_sets
        if not table.exists(spark):
            return None
        rows = table.read(spark).where(F.col("tenant_id") == F.lit(tenant_id))
        return rows if name is None else rows.where(F.col("name") == F.lit(name))

    def list(self, spark: SparkSession, tenant_id: str, name: str | None = None) -> Listing[Manifest]:
        """Manifests by name and version, oldest first."""
        rows = self._rows(spark, tenant_id, name)
        if rows is None:
            return Listing((), describe_manifests)
        texts = rows.where(F.col("manifest").isNotNull()).select("manifest").collect()
        manifests = [Manifest.model_validate_json(row["manifest"]) for row in texts]
        return Listing(sorted(manifests, key=lambda one: (one.name, one.version)), describe_manifests)

    def list_all(self, spark: SparkSession) -> builtins.list[Manifest]:
        """Those of every tenant: what the upkeep of the tables that they share must know."""
        table = self._layout.training_sets
        if not table.exists(spark):
            return []
        rows = table.read(spark).where(F.col("manifest").isNotNull()).select("manifest").collect()
        return [Manifest.model_validate_json(row["manifest"]) for row in rows]

    def replace_manifest(self, spark: SparkSession, manifest: Manifest) -> None:
        """Tell of a published version what has become of it."""
        its = (F.col("tenant_id") == F.lit(manifest.tenant_id)) & (F.col("name") == F.lit(manifest.name))
        its = its & (F.col("version") == F.lit(manifest.version))
        self._layout.training_sets.update(spark, its, {"manifest": F.lit(manifest.model_dump_json())})

    def get(self, spark: SparkSession, tenant_id: str, name: str, version: int | None = None) -> Manifest:
        """One version, the newest by default; raises NotFoundError with the nearest names or the versions there are."""
        found = self.list(spark, tenant_id)
        named = [manifest for manifest in found if manifest.name == name]
        if not named:
            raise NotFoundError(
                f"training set {name!r} was never built, or is deleted. {nearest(name, {m.name for m in found})}"
            )
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
