"""The log of exports that the store made and their paths, so that an erasure finds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from featurestore.columnar.schema import table_schema
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.delta.which_rows import equal
from featurestore.stores.small_tables.small_table import SmallTable, rows_of, small_table

ExportKind = Literal["training_set", "fine_tuning", "rows"]
# The file in an export of a training set, or of other rows, that says what was exported and which files hold it.
EXPORT_NOTE = "_export.json"
# The file in an export that identifies it as this store's, and its tenant.
MARKS: dict[ExportKind, str] = {
    "training_set": "_manifest.json",
    "fine_tuning": "_manifest.json",
    "rows": EXPORT_NOTE,
}
_SCHEMA = table_schema("tenant_id string, path string, kind string, name string, version int, exported_at timestamp")


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
    table: SmallTable

    @classmethod
    def of(cls, table: DeltaTable) -> ExportLog:
        return cls(small_table(table, _SCHEMA, ["tenant_id"]))

    def record(self, export: ExportRecord, now: datetime) -> None:
        """Record an export before anything is written: an unrecorded folder would survive an erasure."""
        self.table.append(rows_of(_SCHEMA, [asdict(export) | {"exported_at": now}]))

    def paths(self) -> list[str]:
        """Return the distinct paths that any tenant exported to."""
        return sorted(set(self.table.read([], ["path"]).column(0).to_pylist()))

    def of_tenant(self, tenant_id: str) -> list[ExportRecord]:
        """Return every export of the tenant, oldest first; a path may occur more than once."""
        rows = self.table.read(equal(tenant_id=tenant_id)).sort_by(
            [("exported_at", "ascending"), ("path", "ascending")]
        )
        return [ExportRecord(**row) for row in rows.drop_columns("exported_at").to_pylist()]
