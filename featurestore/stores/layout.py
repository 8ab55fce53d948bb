"""The location of each table of a store; no other module knows paths and table names."""

from __future__ import annotations

from dataclasses import dataclass, replace

from featurestore.config import Settings
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.names import check_name, check_tenant_id
from featurestore.stores.delta.table import DeltaTable


@dataclass(frozen=True)
class Layout:
    """Locates tables under a warehouse root, or in a catalog's schema if one is configured."""

    warehouse: str
    catalog: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Layout:
        return cls(settings.warehouse.rstrip("/"), settings.catalog)

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
        return self._table("groups", f"{check_name(group.name)}_v{group.version}", "values")

    def rejected(self, group: FeatureGroup) -> DeltaTable:
        return self._table("groups", f"{check_name(group.name)}_v{group.version}", "rejected")

    def training_set(self, tenant_id: str, name: str, version: int) -> DeltaTable:
        table = self._table("training_sets", check_tenant_id(tenant_id), check_name(name), f"v{version}")
        return replace(table, begins_with_rows=True)

    def training_sets_of(self, tenant_id: str) -> str | None:
        """Return the folder of a tenant's training sets; None if a catalog holds them."""
        return None if self.catalog is not None else f"{self.warehouse}/training_sets/{check_tenant_id(tenant_id)}"

    def _table(self, *parts: str) -> DeltaTable:
        if self.catalog is None:
            return DeltaTable(path="/".join((self.warehouse, *parts)))
        return DeltaTable(name=(*self.catalog.split("."), "__".join(parts).lstrip("_")))
