"""Saved training sets: their rows, in one Delta table per version, and the table of manifests that publish them."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from featurestore.display.displayed import Listing
from featurestore.errors import NotFoundError, StorageError, nearest
from featurestore.frames.schema import table_schema
from featurestore.late_spark import DataFrame, F, Row, SparkSession
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.file_system import Files
from featurestore.stores.layout import Layout
from featurestore.stores.small_tables.rows import UnreadableRow, read_text, warn_of, written_text
from featurestore.stores.training_sets.manifests import PART, Manifest, describe_manifests

_COLUMNS = "tenant_id string, name string, version int, created_at timestamp, manifest string"


@dataclass(frozen=True)
class Manifests:
    """The manifests that can be read, by tenant, name and version, and those that cannot."""

    readable: tuple[Manifest, ...]
    unreadable: dict[tuple[str, str, int], UnreadableRow]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Manifests:
        readable, unreadable = [], {}
        for row in rows:
            key = (row["tenant_id"], row["name"], row["version"])
            manifest = _read(*key, row["manifest"])
            if isinstance(manifest, UnreadableRow):
                unreadable[key] = manifest
            else:
                readable.append(manifest)
        in_order = sorted(readable, key=lambda manifest: (manifest.tenant_id, manifest.name, manifest.version))
        return cls(tuple(in_order), dict(sorted(unreadable.items())))

    def warn(self) -> None:
        """Warn about each manifest that was skipped."""
        for problem in self.unreadable.values():
            warn_of(problem)


def _read(tenant_id: str, name: str, version: int, text: str) -> Manifest | UnreadableRow:
    subject = f"the manifest of training set {name!r} v{version} of tenant {tenant_id!r}"
    remedy = f"delete that version (delete({name!r}, version={version})), and build the set again"
    return read_text(Manifest.model_validate_json, text, subject, remedy)


class TrainingSetStore:
    """Training sets of all tenants; every method takes the tenant, directly or in a manifest."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def rows_table(self, tenant_id: str, name: str, version: int) -> DeltaTable:
        return self._layout.training_set(tenant_id, name, version)

    def rows_tables(
        self, spark: SparkSession, files: Files, tenant_id: str
    ) -> builtins.list[tuple[str, int, DeltaTable]]:
        """Return the tenant's tables of rows, with name and version, both of published sets and of unpublished ones.

        In a catalog only those of published sets, because a table's name does not identify the tenant reliably.
        """
        folder = self._layout.training_sets_of(tenant_id)
        if folder is None:
            versions = [(row["name"], row["version"]) for row in self._published(spark, tenant_id)]
        else:
            names = [(name, last) for name in files.folders_in(folder) for last in files.folders_in(f"{folder}/{name}")]
            versions = [(name, int(last[1:])) for name, last in names if last[:1] == "v" and last[1:].isdigit()]
        return [(name, version, self.rows_table(tenant_id, name, version)) for name, version in sorted(versions)]

    def remove_rows(self, spark: SparkSession, files: Files, table: DeltaTable) -> None:
        if table.path is not None:
            files.delete(table.path)
        else:
            table.drop(spark)

    def next_version(self, spark: SparkSession, tenant_id: str, name: str) -> int:
        """Return the first unused version; deleted versions, and rows that a crash left behind, count as used."""
        version = max(self.versions(spark, tenant_id, name), default=0) + 1
        while self.rows_table(tenant_id, name, version).exists(spark):
            version += 1
        return version

    def publish(self, spark: SparkSession, manifest: Manifest) -> None:
        """Make a version with complete rows visible. Raises InvariantError if its manifest could not be read back."""
        text = _text(manifest)
        table = self._layout.training_sets
        table.create(spark, table_schema(_COLUMNS), ["tenant_id"])
        row = (manifest.tenant_id, manifest.name, manifest.version, manifest.created_at, text)
        table.append(spark.createDataFrame([row], table_schema(_COLUMNS)).coalesce(1))

    def check_readable(self, manifest: Manifest) -> None:
        """Raise InvariantError if the manifest could not be read back."""
        _text(manifest)

    def unpublish(self, spark: SparkSession, tenant_id: str, name: str, versions: Iterable[int]) -> None:
        """Remove the manifests of these versions, all in one commit.

        Each version's row stays, without a manifest, so that its number is never used again.
        """
        of_set = (F.col("tenant_id") == F.lit(tenant_id)) & (F.col("name") == F.lit(name))
        published = of_set & F.col("version").isin([*versions]) & F.col("manifest").isNotNull()
        self._layout.training_sets.update(spark, published, {"manifest": F.lit(None).cast("string")})

    def versions(self, spark: SparkSession, tenant_id: str, name: str) -> dict[int, bool]:
        """Return every version that ever existed, in order, and whether it is still published."""
        rows = self._rows(spark, tenant_id, name)
        if rows is None:
            return {}
        states = rows.select("version", F.col("manifest").isNotNull().alias("is_published")).collect()
        return {row["version"]: row["is_published"] for row in sorted(states, key=lambda row: int(row["version"]))}

    def list(self, spark: SparkSession, tenant_id: str, name: str | None = None) -> Listing[Manifest]:
        """Return manifests by name and version, oldest first; warn about unreadable ones and skip them."""
        manifests = Manifests.of(self._published(spark, tenant_id, name))
        manifests.warn()
        problems = tuple(str(problem) for problem in manifests.unreadable.values())
        return Listing(manifests.readable, partial(describe_manifests, problems=problems))

    def manifests(self, spark: SparkSession, tenant_id: str | None = None) -> Manifests:
        """Return the manifests of a tenant, or of every tenant, which the upkeep of shared tables needs."""
        return Manifests.of(self._published(spark, tenant_id))

    def replace_manifest(self, spark: SparkSession, manifest: Manifest) -> None:
        """Replace the manifest of a published version, such as after an erasure."""
        of_set = (F.col("tenant_id") == F.lit(manifest.tenant_id)) & (F.col("name") == F.lit(manifest.name))
        of_version = of_set & (F.col("version") == F.lit(manifest.version))
        self._layout.training_sets.update(spark, of_version, {"manifest": F.lit(_text(manifest))})

    def get(self, spark: SparkSession, tenant_id: str, name: str, version: int | None = None) -> Manifest:
        """Return one version's manifest, by default the newest version's.

        Raises NotFoundError with the nearest names or the existing versions, StorageError if this manifest cannot be
        read.
        """
        rows = self._published(spark, tenant_id)
        texts = {row["version"]: row["manifest"] for row in rows if row["name"] == name}
        if not texts:
            raise NotFoundError(
                f"training set {name!r} was never built, or is deleted. {nearest(name, {row['name'] for row in rows})}"
            )
        number = max(texts) if version is None else version
        if number not in texts:
            raise NotFoundError(f"training set {name!r} has no version {version}; it has {sorted(texts)}")
        manifest = _read(tenant_id, name, number, texts[number])
        if isinstance(manifest, UnreadableRow):
            raise StorageError(str(manifest))
        return manifest

    def read(self, spark: SparkSession, manifest: Manifest) -> DataFrame:
        return self.read_with_part(spark, manifest).drop(PART)

    def read_with_part(self, spark: SparkSession, manifest: Manifest) -> DataFrame:
        """Return the rows with ``PART``, the number of the manifest's part that each belongs to, from 0."""
        rows = self.rows_table(manifest.tenant_id, manifest.name, manifest.version).read(spark)
        return rows if PART in rows.columns else rows.withColumn(PART, F.lit(0))

    def _rows(self, spark: SparkSession, tenant_id: str | None, name: str | None = None) -> DataFrame | None:
        table = self._layout.training_sets
        if not table.exists(spark):
            return None
        rows = table.read(spark)
        if tenant_id is not None:
            rows = rows.where(F.col("tenant_id") == F.lit(tenant_id))
        return rows if name is None else rows.where(F.col("name") == F.lit(name))

    def _published(
        self, spark: SparkSession, tenant_id: str | None = None, name: str | None = None
    ) -> builtins.list[Row]:
        rows = self._rows(spark, tenant_id, name)
        if rows is None:
            return []
        return rows.where(F.col("manifest").isNotNull()).select("tenant_id", "name", "version", "manifest").collect()


def _text(manifest: Manifest) -> str:
    subject = f"the manifest of training set {manifest.name!r} v{manifest.version}"
    return written_text(Manifest.model_dump_json, Manifest.model_validate_json, manifest, subject)
