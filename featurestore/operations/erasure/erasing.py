"""What the parts of an erasure share: the entities, the session, what was planned, and how a table is swept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructField

from featurestore.definitions.entity import Entity
from featurestore.definitions.values.types import storage_of_key
from featurestore.frames.schema import data_type
from featurestore.operations.context import Context, Scope
from featurestore.operations.erasure.sweep import Sweep, erasing_session, sweep
from featurestore.stores.arrow import to_spark
from featurestore.stores.small_tables.erasures import Erasure, ErasureLog

_WHOLE = frozenset({"int", "long"})


@dataclass(frozen=True)
class ErasedTable:
    """One table that was searched: its rows that were deleted, and the files that were removed.

    ``kind``: values, rejected, statistics, vectors, training_set, unpublished_training_set (one that a crash left; removed
    as a whole), or runs (the ledger: rows are those whose message was replaced). ``name`` and ``version``: of the group, or of the training set. The
    table's versions are those between which it was changed; none where nothing was. ``log_files``: of the table's log,
    those that told of values.
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
    """An erasure under way. ``keys``: the entities, a row each, in a session of the erasure's own."""

    context: Context
    entity: Entity
    keys: DataFrame
    erasure: Erasure
    # None where rows are taken out again that a write under way brought back: there is no certificate then.
    log: ErasureLog | None

    @classmethod
    def of(cls, context: Context, entity: Entity, keys: pa.Table, erasure: Erasure, log: ErasureLog | None) -> Erasing:
        session = erasing_session(context.spark)
        return cls(context, entity, to_spark(session, keys), erasure, log)

    @classmethod
    def again(cls, scope: Scope, entity: Entity, keys: pa.Table) -> Erasing:
        """Of entities that were erased before, and of whom rows were written meanwhile."""
        return cls.of(scope.context, entity, keys, Erasure(scope.tenant_id, uuid4().hex, entity.name, ()), None)

    @property
    def tenant_id(self) -> str:
        return self.erasure.tenant_id

    @property
    def of_tenant(self) -> dict[str, str]:
        """The partitions of tables that tenants share."""
        return {"tenant_id": self.tenant_id}

    @property
    def spark(self) -> SparkSession:
        return self.keys.sparkSession

    @property
    def key_fields(self) -> list[StructField]:
        return [StructField(name, data_type(storage_of_key(kind))) for name, kind in self.entity.join_keys.items()]

    def is_part_of(self, other: Entity) -> bool:
        """Whether the other's rows tell this entity: its join keys are all of this one's, of the same types."""
        return all(
            name in other.join_keys and (kind == other.join_keys[name] or {kind, other.join_keys[name]} <= _WHOLE)
            for name, kind in self.entity.join_keys.items()
        )

    def sweep(self, kind: str, name: str, version: int, what: Sweep) -> ErasedTable:
        """Sweep a table, of the group or training set of that name and version."""
        done = sweep(self.context, what, self.erasure.erasure_id)
        return ErasedTable(
            kind=kind,
            name=name,
            version=version,
            table=str(what.table),
            rows=done.rows,
            table_version_before=done.version_before,
            table_version_after=done.version_after,
            files_removed=done.files,
            bytes_removed=done.bytes,
            log_files=done.log_files,
        )

    def plan(self, paths: Sequence[str]) -> None:
        """Record folders that are about to be removed."""
        if self.log is not None:
            self.log.record(self.context.spark, self.erasure, "planned", {"folders": list(paths)}, self.context.clock())

    def removed_folders(self) -> list[str]:
        """In this try or an earlier one."""
        planned = [] if self.log is None else self.log.planned(self.context.spark, self.erasure)
        return sorted({path for detail in planned for path in detail["folders"]})
