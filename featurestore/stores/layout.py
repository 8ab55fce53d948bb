"""The location of each table of a store; no other module knows paths and table names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from featurestore.config import Settings
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.names import check_name, check_tenant_id
from featurestore.late_spark import SparkSession
from featurestore.stores.delta.delta_log import DeltaLog
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.object_commits import ConditionalPuts
from featurestore.stores.places import library_uri
from featurestore.stores.writer_lock import WriterLock


@dataclass(frozen=True)
class Layout:
    """Locates tables under a warehouse root, or in a catalog's schema if one is configured."""

    warehouse: str
    catalog: str | None
    session: Callable[[], SparkSession]
    is_native: bool
    lock_timeout: float
    reads_values: Callable[[], bool] = field(default=lambda: False)
    # Whether the settings leave all writing to Spark.
    by_spark_alone: bool = True

    @classmethod
    def of(
        cls,
        settings: Settings,
        session: Callable[[], SparkSession],
        is_native: bool,
        reads_values: Callable[[], bool] = lambda: False,
    ) -> Layout:
        """How the tables are read and written.

        ``session`` starts or returns Spark; ``is_native``: whether small things are done without it; ``reads_values``:
        whether values are read without it, if small things are not.
        """
        warehouse = settings.warehouse.rstrip("/")
        return cls(
            warehouse,
            settings.catalog,
            session,
            is_native,
            settings.lock_timeout,
            reads_values,
            settings.small_tables == "spark",
        )

    @property
    def registry(self) -> DeltaTable:
        return self._table("_store", "registry")

    @property
    def runs(self) -> DeltaTable:
        return self._table("_store", "runs")

    @property
    def training_sets(self) -> DeltaTable:
        return self._table("_store", "training_sets")

    @property
    def statistics(self) -> DeltaTable:
        return self._table("_store", "statistics")

    @property
    def exports(self) -> DeltaTable:
        return self._table("_store", "exports")

    @property
    def suppressed(self) -> DeltaTable:
        return self._table("_store", "suppressed")

    @property
    def erasures(self) -> DeltaTable:
        return self._table("_store", "erasures")

    def values(self, group: FeatureGroup) -> DeltaTable:
        table = self._table("groups", f"{check_name(group.name)}_v{group.version}", "values")
        if table.log is not None or table.path is None or not self.reads_values():
            return table
        return replace(table, log=DeltaLog(library_uri(table.path)))

    def rejected(self, group: FeatureGroup) -> DeltaTable:
        return self._table("groups", f"{check_name(group.name)}_v{group.version}", "rejected")

    def training_set(self, tenant_id: str, name: str, version: int) -> DeltaTable:
        table = self._table("training_sets", check_tenant_id(tenant_id), check_name(name), f"v{version}")
        return replace(table, begins_with_rows=True)

    @property
    def all_training_sets(self) -> str | None:
        """The folder of all tenants' training sets, with a folder for each; None if a catalog holds them."""
        return None if self.catalog is not None else f"{self.warehouse}/training_sets"

    def training_sets_of(self, tenant_id: str) -> str | None:
        """Return the folder of a tenant's training sets; None if a catalog holds them."""
        return None if self.catalog is not None else f"{self.all_training_sets}/{check_tenant_id(tenant_id)}"

    def _table(self, *parts: str) -> DeltaTable:
        if self.catalog is not None:
            return DeltaTable(self.session, name=(*self.catalog.split("."), "__".join(parts).lstrip("_")))
        path, folder = "/".join((self.warehouse, *parts)), local_folder(self.warehouse)
        begins_with_rows = parts[0] == "training_sets"
        if folder is None:
            if not self.is_native:
                return DeltaTable(self.session, path, is_sole_writer=self.by_spark_alone)
            puts = ConditionalPuts(self.warehouse)
            there = NativeTable(library_uri(path), puts, begins_with_rows=begins_with_rows)
            return DeltaTable(
                self.session,
                path,
                begins_with_rows=begins_with_rows,
                native=there,
                log=there,
                lock=puts,
                is_sole_writer=False,
            )
        lock = WriterLock(folder / "_store" / "locks" / f"{'__'.join(parts).lstrip('_')}.lock", self.lock_timeout)
        local = str(folder.joinpath(*parts))
        native = NativeTable(local, lock, begins_with_rows=begins_with_rows) if self.is_native else None
        return DeltaTable(self.session, path, begins_with_rows=begins_with_rows, native=native, log=native, lock=lock)


def local_folder(path: str) -> Path | None:
    """The folder that a path names if it is on this machine's file system; None for an object store or a cluster's."""
    if path.startswith("file:/"):
        return Path("/" + path.removeprefix("file:").lstrip("/"))
    return None if "://" in path else Path(path)
