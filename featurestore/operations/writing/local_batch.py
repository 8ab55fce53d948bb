"""A batch whose rows this process holds; it is checked and written without Spark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import pyarrow as pa

from featurestore.columnar.erased.identities import ErasedEntities, with_suppressed
from featurestore.columnar.erased.rejected_texts import with_rejected_suppressed
from featurestore.columnar.rows.batch_summary import has_faults, samples, summary, without_suppressed
from featurestore.columnar.rows.checked_rows import check_local_rows, rejected_whole
from featurestore.columnar.rows.expectations import broken_expectations, run_totals
from featurestore.columnar.rows.fingerprint import row_hashes
from featurestore.columnar.rows.names import FAULTS, ROW, SUPPRESSED
from featurestore.columnar.rows.stored_rows import as_stored
from featurestore.operations.context import Scope
from featurestore.operations.erasure.groups import erase_again
from featurestore.operations.erasure.suppress import checked_secret
from featurestore.stores.arrow import to_spark
from featurestore.stores.group_table import BatchRecord, GroupTable
from featurestore.stores.small_tables.suppression import Suppression


def checked_locally(
    scope: Scope, table: GroupTable, rows: pa.Table, erased: Sequence[Suppression], batch_id: str
) -> LocalBatch | None:
    """Check the rows of a batch; None if only Spark can. ``erased``: the suppressions that can apply to them.

    Raises SchemaError.
    """
    group = table.group
    checked = check_local_rows(rows, group, scope.tenant_id, scope.settings.timestamp_zone)
    if checked is None:
        return None
    if erased:
        pads = checked_secret(scope, erased).pads
        entities = [
            ErasedEntities(
                suppression.entity,
                {key: key for key in suppression.join_keys},
                scope.context.suppressed.hashes(scope.tenant_id, suppression.entity),
            )
            for suppression in erased
        ]
        checked = with_suppressed(checked, scope.tenant_id, entities, pads)
        checked = with_rejected_suppressed(checked, scope.tenant_id, entities, group.entity.join_keys, pads)
    counts = summary(checked)
    record = BatchRecord(
        tenant_id=scope.tenant_id,
        batch_id=batch_id,
        token=uuid4().hex,
        fingerprint=counts.fingerprint,
        written=counts.written,
        failed=counts.failed,
        errors=counts.errors,
    )
    return LocalBatch(scope, table, checked, without_suppressed(checked), record)


@dataclass(frozen=True)
class LocalBatch:
    """See ``CheckedBatch``. ``remaining``: the checked rows, without those of erased entities."""

    scope: Scope
    table: GroupTable
    checked: pa.Table
    remaining: pa.Table
    record: BatchRecord

    @property
    def _good(self) -> pa.Table:
        return self.remaining.filter(pa.array(~has_faults(self.remaining))).drop_columns([FAULTS, ROW])

    @property
    def _bad(self) -> pa.Table:
        return self.remaining.filter(pa.array(has_faults(self.remaining)))

    def broken(self, window_end: datetime) -> tuple[str, ...]:
        totals = run_totals(self._good, self.table.group)
        return tuple(broken_expectations(totals, self.table.group, window_end, self.record.invalid))

    def samples(self) -> dict[str, list[str]]:
        return samples(self.remaining)

    def append_rejected(self, now: datetime) -> None:
        self.table.append_rejected_locally(self._bad, self.record.tenant_id, self.record.batch_id, now)

    def append_values(self, record: BatchRecord, now: datetime) -> None:
        self.table.append_locally(self._good, record, now)

    def reject_run(self, broken: Sequence[str], now: datetime) -> dict[str, list[str]]:
        rows = rejected_whole(self.remaining, broken)
        self.table.replace_rejected_locally(rows, self.record.tenant_id, self.record.batch_id, now)
        return samples(rows)

    def is_stored(self, created: datetime) -> bool:
        tenant_id, batch_id = self.record.tenant_id, self.record.batch_id
        good = as_stored(self._good, self.table.group, tenant_id, created)
        known = self.table.read_local(tenant_id, good.column_names)
        if known is None:
            return False
        rejected = self.table.read_rejected_locally(tenant_id, batch_id)
        if rejected is None:
            return False
        texts = Counter(rejected.column("row").to_pylist())
        return _contains(known, good) and not Counter(self._bad.column(ROW).to_pylist()) - texts

    def erase_again(self) -> None:
        rows = self.checked.drop_columns([name for name in (SUPPRESSED,) if name in self.checked.column_names])
        erase_again(self.scope, self.table.group, to_spark(self.scope.spark, rows))


def _contains(known: pa.Table, rows: pa.Table) -> bool:
    """Whether each row is among the known ones, as often as here; rows are compared by 128 bits of hash."""

    def hashes(table: pa.Table) -> Counter[tuple[int, int]]:
        columns = [table.column(name) for name in rows.column_names]
        return Counter(zip(row_hashes(columns, 1).tolist(), row_hashes(columns, 2).tolist(), strict=True))

    return not hashes(rows) - hashes(known)
