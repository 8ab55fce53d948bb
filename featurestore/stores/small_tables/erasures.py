"""The log of erasures: which were begun, what each was about to remove, and the certificates; keys are hashed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

from featurestore.columnar.schema import table_schema
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.delta.which_rows import equal
from featurestore.stores.small_tables.rows import UnreadableRow, read_text, warn_of, written_json
from featurestore.stores.small_tables.small_table import SmallTable, rows_of, small_table

# ``planned``: what is about to be removed from disk, so that a certificate can list it whatever happens in between.
Kind = Literal["begun", "planned", "certified"]
Item = TypeVar("Item")
_REMEDY = "erase the same entities again: nothing is left to remove, and the new certificate says so"
_SCHEMA = table_schema(
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
    table: SmallTable

    @classmethod
    def of(cls, table: DeltaTable) -> ErasureLog:
        return cls(small_table(table, _SCHEMA, ["tenant_id"]))

    def unfinished(self, tenant_id: str, entity: str, hashes: Sequence[str]) -> str | None:
        """Return the id of an erasure of exactly these entities that was begun but not certified, or None."""
        where = equal(tenant_id=tenant_id, entity=entity)
        rows = self.table.read(where, ["erasure_id", "key_hashes", "kind"]).to_pylist()
        done = {row["erasure_id"] for row in rows if row["kind"] == "certified"}
        begun = [row["erasure_id"] for row in rows if row["kind"] == "begun" and row["key_hashes"] == list(hashes)]
        return next((erasure_id for erasure_id in begun if erasure_id not in done), None)

    def record(self, erasure: Erasure, kind: Kind, detail: dict[str, Any], now: datetime) -> None:
        text = written_json(detail, f"the detail of erasure {erasure.erasure_id} ({kind})")
        row = asdict(erasure) | {"kind": kind, "recorded_at": now, "detail": text}
        self.table.append(rows_of(_SCHEMA, [row]))

    def planned(self, erasure: Erasure) -> list[dict[str, Any]]:
        where = equal(tenant_id=erasure.tenant_id, erasure_id=erasure.erasure_id, kind="planned")
        return [json.loads(row["detail"]) for row in self.table.read(where, ["detail"]).to_pylist()]

    def certificates(self, tenant_id: str, read: Callable[[str], Item]) -> list[Item]:
        """Return the certificates, each parsed by ``read``, oldest first; warn about unreadable ones and skip them."""
        rows = self.table.read(equal(tenant_id=tenant_id, kind="certified"), ["recorded_at", "erasure_id", "detail"])
        certificates = []
        for row in sorted(rows.to_pylist(), key=lambda row: (row["recorded_at"], row["erasure_id"])):
            subject = f"the certificate of erasure {row['erasure_id']} of tenant {tenant_id!r}"
            certificate = read_text(read, row["detail"], subject, _REMEDY)
            if isinstance(certificate, UnreadableRow):
                warn_of(certificate)
            else:
                certificates.append(certificate)
        return certificates
