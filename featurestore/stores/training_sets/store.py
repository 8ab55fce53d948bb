"""Saved training sets: their rows, a Delta table a version, and the table of the manifests that publish them."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from featurestore.display.displayed import Listing
from featurestore.errors import NotFoundError, StorageError, nearest
from featurestore.frames.schema import table_schema
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.file_system import Files
from featurestore.stores.layout import Layout
from featurestore.stores.small_tables.rows import UnreadableRow, read_text, warn_of, written_text
from featurestore.stores.training_sets.manifests import PART, Manifest, describe_manifests

_SCHEMA = table_schema("tenant_id string, name string, version int, created_at timestamp, manifest string")


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
            read = _read(*key, row["manifest"])
            if isinstance(read, UnreadableRow):
                unreadable[key] = read
            else:
                readable.append(read)
        in_order = sorted(readable, key=lambda manifest: (manifest.tenant_id, manifest.name, manifest.version))
        return cls(tuple(in_order), dict(sorted(unreadable.items())))

    def warn(self) -> None:
        """Name what was passed over."""
        for problem in self.unreadable.values():
            warn_of(problem)


def _read(tenant_id: str, name: str, version: int, text: str) -> Manifest | UnreadableRow:
    subject = f"the manifest of training set {name!r} v{version} of tenant {tenant_id!r}"
    remedy = f"delete that version (delete({name!r}, version={version})), and build the set again"
    return read_text(Manifest.model_validate_json, text, subject, remedy)


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
            rows = self._published(spark, tenant_id)
            found = [(row["name"], row["version"]) for row in rows]
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
        """Make a version visible; its rows are complete by now. Raises InvariantError for what could not be read back."""
        text = _text(manifest)
        table = self._layout.training_sets
        table.create(spark, _SCHEMA, ["tenant_id"])
        row = (manifest.tenant_id, manifest.name, manifest.version, manifest.created_at, text)
        table.append(spark.createDataFrame([row], _SCHEMA).coalesce(1))

    def check_readable(self, manifest: Manifest) -> None:
        """Raise InvariantError where the manifest could not be read back."""
        _text(manifest)

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

    def list(self, spark: SparkSession, tenant_id: str, name: str | None = None) -> Listing[Manifest]:
        """Manifests by name and version, oldest first; warns of those that cannot be read, and passes them over."""
        manifests = Manifests.of(self._published(spark, tenant_id, name))
        manifests.warn()
        problems = tuple(str(problem) for problem in manifests.unreadable.values())
        return Listing(manifests.readable, partial(describe_manifests, problems=problems))

    def manifests(self, spark: SparkSession, tenant_id: str | None = None) -> Manifests:
        """The tenant's, or those of every tenant: what the upkeep of the tables that they share must know."""
        return Manifests.of(self._published(spark, tenant_id))

    def replace_manifest(self, spark: SparkSession, manifest: Manifest) -> None:
        """Tell of a published version what has become of it."""
        its = (F.col("tenant_id") == F.lit(manifest.tenant_id)) & (F.col("name") == F.lit(manifest.name))
        its = its & (F.col("version") == F.lit(manifest.version))
        self._layout.training_sets.update(spark, its, {"manifest": F.lit(_text(manifest))})

    def get(self, spark: SparkSession, tenant_id: str, name: str, version: int | None = None) -> Manifest:
        """One version, the newest by default; raises NotFoundError with the nearest names or the versions there are, and
        StorageError where just this one cannot be read."""
        rows = self._published(spark, tenant_id)
        texts = {row["version"]: row["manifest"] for row in rows if row["name"] == name}
        if not texts:
            raise NotFoundError(
                f"training set {name!r} was never built, or is deleted. {nearest(name, {row['name'] for row in rows})}"
            )
        chosen = max(texts) if version is None else version
        if chosen not in texts:
            raise NotFoundError(f"training set {name!r} has no version {version}; it has {sorted(texts)}")
        manifest = _read(tenant_id, name, chosen, texts[chosen])
        if isinstance(manifest, UnreadableRow):
            raise StorageError(str(manifest))
        return manifest

    def read(self, spark: SparkSession, manifest: Manifest) -> DataFrame:
        return self.read_with_part(spark, manifest).drop(PART)

    def read_with_part(self, spark: SparkSession, manifest: Manifest) -> DataFrame:
        """The rows with ``PART``: to which of the manifest's parts they belong, from 0 on."""
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
