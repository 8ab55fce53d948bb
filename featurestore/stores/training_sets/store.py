"""Saved training sets: their rows, in one Delta table per version, and the table of manifests that publish them."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from featurestore.columnar.schema import table_schema
from featurestore.display.displayed import Listing
from featurestore.errors import NotFoundError, StorageError, nearest
from featurestore.late_spark import DataFrame, F
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.delta.which_rows import Test, Where, equal
from featurestore.stores.file_system import Files
from featurestore.stores.layout import Layout
from featurestore.stores.small_tables.rows import UnreadableRow, read_text, warn_of, written_text
from featurestore.stores.small_tables.small_table import rows_of, small_table
from featurestore.stores.training_sets.local_rows import LocalRows
from featurestore.stores.training_sets.manifests import PART, Manifest, describe_manifests

_SCHEMA = table_schema("tenant_id string, name string, version int, created_at timestamp, manifest string")


@dataclass(frozen=True)
class Manifests:
    """The manifests that can be read, by tenant, name and version, and those that cannot."""

    readable: tuple[Manifest, ...]
    unreadable: dict[tuple[str, str, int], UnreadableRow]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Manifests:
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
        self._table = small_table(layout.training_sets, _SCHEMA, ["tenant_id"])

    def rows_table(self, tenant_id: str, name: str, version: int) -> DeltaTable:
        return self._layout.training_set(tenant_id, name, version)

    def rows_tables(self, files: Files, tenant_id: str) -> builtins.list[tuple[str, int, DeltaTable]]:
        """Return the tenant's tables of rows, with name and version, both of published sets and of unpublished ones.

        In a catalog only those of published sets, because a table's name does not identify the tenant reliably.
        """
        folder = self._layout.training_sets_of(tenant_id)
        if folder is None:
            versions = [(row["name"], row["version"]) for row in self._published(tenant_id)]
        else:
            names = [(name, last) for name in files.folders_in(folder) for last in files.folders_in(f"{folder}/{name}")]
            versions = [(name, int(last[1:])) for name, last in names if last[:1] == "v" and last[1:].isdigit()]
        return [(name, version, self.rows_table(tenant_id, name, version)) for name, version in sorted(versions)]

    def tenants(self, files: Files) -> builtins.list[str]:
        """Return the tenants with a folder of training sets; empty in a catalog."""
        folder = self._layout.all_training_sets
        return [] if folder is None else files.folders_in(folder)

    def remove_rows(self, files: Files, table: DeltaTable) -> None:
        if table.path is not None:
            files.delete(table.path)
        else:
            table.drop()

    def next_version(self, tenant_id: str, name: str) -> int:
        """Return the first unused version; deleted versions, and rows that a crash left behind, count as used."""
        version = max(self.versions(tenant_id, name), default=0) + 1
        while self.rows_table(tenant_id, name, version).exists():
            version += 1
        return version

    def publish(self, manifest: Manifest) -> None:
        """Make a version with complete rows visible. Raises InvariantError if its manifest could not be read back."""
        row = {name: getattr(manifest, name) for name in ("tenant_id", "name", "version", "created_at")}
        self._table.append(rows_of(_SCHEMA, [row | {"manifest": _text(manifest)}]))

    def check_readable(self, manifest: Manifest) -> None:
        """Raise InvariantError if the manifest could not be read back."""
        _text(manifest)

    def unpublish(self, tenant_id: str, name: str, versions: Iterable[int]) -> None:
        """Remove the manifests of these versions, all in one commit.

        Each version's row stays, without a manifest, so that its number is never used again.
        """
        published = [*_of_set(tenant_id, name), Test("version", "in", [*versions]), _IS_PUBLISHED]
        self._table.update(published, {"manifest": None})

    def versions(self, tenant_id: str, name: str) -> dict[int, bool]:
        """Return every version that ever existed, in order, and whether it is still published."""
        rows = self._table.read(_of_set(tenant_id, name), ["version", "manifest"]).to_pylist()
        return {
            row["version"]: row["manifest"] is not None for row in sorted(rows, key=lambda row: int(row["version"]))
        }

    def list(self, tenant_id: str, name: str | None = None) -> Listing[Manifest]:
        """Return manifests by name and version, oldest first; warn about unreadable ones and skip them."""
        manifests = Manifests.of(self._published(tenant_id, name))
        manifests.warn()
        problems = tuple(str(problem) for problem in manifests.unreadable.values())
        return Listing(manifests.readable, partial(describe_manifests, problems=problems))

    def manifests(self, tenant_id: str | None = None) -> Manifests:
        """Return the manifests of a tenant, or of every tenant, which the upkeep of shared tables needs."""
        return Manifests.of(self._published(tenant_id))

    def replace_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest of a published version, such as after an erasure."""
        of_version = [*_of_set(manifest.tenant_id, manifest.name), *equal(version=manifest.version)]
        self._table.update(of_version, {"manifest": _text(manifest)})

    def get(self, tenant_id: str, name: str, version: int | None = None) -> Manifest:
        """Return one version's manifest, by default the newest version's.

        Raises NotFoundError with the nearest names or the existing versions, StorageError if this manifest cannot be
        read.
        """
        rows = self._published(tenant_id)
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

    def newest(self, tenant_id: str, name: str) -> Manifest | None:
        """Return the newest version's manifest; None if there is no version, or this manifest cannot be read."""
        rows = self._published(tenant_id, name)
        if not rows:
            return None
        row = max(rows, key=lambda row: int(row["version"]))
        manifest = _read(tenant_id, name, row["version"], row["manifest"])
        return None if isinstance(manifest, UnreadableRow) else manifest

    def read_locally(self, manifest: Manifest) -> LocalRows | None:
        """Return the rows without Spark; None if only Spark can read them."""
        return LocalRows.of(self.rows_table(manifest.tenant_id, manifest.name, manifest.version).native)

    def read(self, manifest: Manifest) -> DataFrame:
        return self.read_with_part(manifest).drop(PART)

    def read_with_part(self, manifest: Manifest) -> DataFrame:
        """Return the rows with ``PART``, the number of the manifest's part that each belongs to, from 0."""
        rows = self.rows_table(manifest.tenant_id, manifest.name, manifest.version).read()
        return rows if PART in rows.columns else rows.withColumn(PART, F.lit(0))

    def _published(self, tenant_id: str | None = None, name: str | None = None) -> builtins.list[dict[str, Any]]:
        of_tenant = [] if tenant_id is None else equal(tenant_id=tenant_id)
        of_set = of_tenant if name is None else [*of_tenant, *equal(name=name)]
        rows: builtins.list[dict[str, Any]] = self._table.read([*of_set, _IS_PUBLISHED], _PUBLISHED_COLUMNS).to_pylist()
        return rows


_PUBLISHED_COLUMNS = ("tenant_id", "name", "version", "manifest")
_IS_PUBLISHED = Test("manifest", "is not null")


def _of_set(tenant_id: str, name: str) -> Where:
    return equal(tenant_id=tenant_id, name=name)


def _text(manifest: Manifest) -> str:
    subject = f"the manifest of training set {manifest.name!r} v{manifest.version}"
    return written_text(Manifest.model_dump_json, Manifest.model_validate_json, manifest, subject)
