"""The state that all parts of an erasure share: the entities, their session, planned removals, and the table sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import pyarrow as pa

from featurestore.definitions.entity import Entity
from featurestore.definitions.values.types import storage_of_key
from featurestore.frames.schema import data_type
from featurestore.late_spark import DataFrame, SparkSession, StructField
from featurestore.operations.context import Context, Scope
from featurestore.operations.erasure.sweep import Sweep, erasing_session, sweep
from featurestore.stores.arrow import to_spark
from featurestore.stores.small_tables.erasures import Erasure, ErasureLog

_WHOLE = frozenset({"int", "long"})


@dataclass(frozen=True)
class ErasedTable:
    """One table that was searched, with the numbers of rows deleted and files removed.

    ``kind``: values, rejected, statistics, vectors, training_set, unpublished_training_set (left by a crash and removed
    as a whole), or runs (the ledger; ``rows`` counts the runs that got another message). ``name`` and ``version``:
    those of the group or the training set. ``table_version_before`` and ``table_version_after``: the table's versions
    before and after the changes; None if nothing changed. ``log_files``: the files of the table's log that held values.
    """

    kind: str
    name: str
    version: int
    table: str
    rows: int
    table_version_before: int | None
    table_version_after: int | None
    files_removed: int
    bytes_removed: int
    log_files: int


@dataclass(frozen=True)
class Erasing:
    """An erasure in progress. ``keys``: one row per entity, in a session that only this erasure uses."""

    context: Context
    entity: Entity
    keys: DataFrame
    erasure: Erasure
    # None when a concurrent write brought rows back and they are removed again: that makes no certificate.
    log: ErasureLog | None

    @classmethod
    def of(cls, context: Context, entity: Entity, keys: pa.Table, erasure: Erasure, log: ErasureLog | None) -> Erasing:
        session = erasing_session(context.spark)
        return cls(context, entity, to_spark(session, keys), erasure, log)

    @classmethod
    def again(cls, scope: Scope, entity: Entity, keys: pa.Table) -> Erasing:
        """A second erasure of entities whose rows a concurrent write brought back."""
        return cls.of(scope.context, entity, keys, Erasure(scope.tenant_id, uuid4().hex, entity.name, ()), None)

    @property
    def tenant_id(self) -> str:
        return self.erasure.tenant_id

    @property
    def of_tenant(self) -> dict[str, str]:
        """The tenant's partition in tables that tenants share."""
        return {"tenant_id": self.tenant_id}

    @property
    def spark(self) -> SparkSession:
        return self.keys.sparkSession

    @property
    def key_fields(self) -> list[StructField]:
        return [StructField(name, data_type(storage_of_key(kind))) for name, kind in self.entity.join_keys.items()]

    def is_part_of(self, other: Entity) -> bool:
        """Whether rows of the other entity identify this one: it has all of this one's join keys, of the same types."""
        return all(
            name in other.join_keys and (kind == other.join_keys[name] or {kind, other.join_keys[name]} <= _WHOLE)
            for name, kind in self.entity.join_keys.items()
        )

    def sweep(self, kind: str, name: str, version: int, plan: Sweep) -> ErasedTable:
        """Sweep one table of the group or training set with this name and version."""
        swept = sweep(self.context, plan, self.erasure.erasure_id)
        return ErasedTable(
            kind=kind,
            name=name,
            version=version,
            table=str(plan.table),
            rows=swept.rows,
            table_version_before=swept.version_before,
            table_version_after=swept.version_after,
            files_removed=swept.files,
            bytes_removed=swept.bytes,
            log_files=swept.log_files,
        )

    def plan(self, paths: Sequence[str]) -> None:
        """Record the folders that the erasure is about to remove."""
        if self.log is not None:
            self.log.record(self.erasure, "planned", {"folders": list(paths)}, self.context.clock())

    def removed_folders(self) -> list[str]:
        """The folders that this attempt or an earlier one removed, sorted."""
        planned = [] if self.log is None else self.log.planned(self.erasure)
        return sorted({path for detail in planned for path in detail["folders"]})
