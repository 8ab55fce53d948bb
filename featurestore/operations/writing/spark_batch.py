"""A batch whose rows Spark holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import pyarrow as pa

from featurestore.columnar.rows.batch_summary import SAMPLES, reason_counts, samples
from featurestore.columnar.rows.expectations import RunTotals, broken_expectations
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import fingerprint_columns, fingerprint_text
from featurestore.frames.rows.conform import FAULTS, ROW
from featurestore.frames.rows.expectations import run_totals, total_columns
from featurestore.frames.rows.suppression import REASON, SUPPRESSED, without_suppressed
from featurestore.frames.rows.validation import bad_rows, check_rows, good_rows, rejected_whole
from featurestore.late_spark import DataFrame, F, Observation, W
from featurestore.operations.context import Scope
from featurestore.operations.erasure.groups import erase_again
from featurestore.operations.erasure.suppress import with_mark, with_rejected_marked
from featurestore.stores.group_table import BatchRecord, GroupTable
from featurestore.stores.small_tables.suppression import Suppression


@contextmanager
def checked_by_spark(
    scope: Scope, table: GroupTable, rows: DataFrame, erased: Sequence[Suppression], batch_id: str, has_window: bool
) -> Iterator[SparkBatch]:
    """Check the rows of a batch; ``erased``: the suppressions that can apply to them. Raises SchemaError.

    ``has_window``: the rows are those of a run, which the group's expectations are about.
    """
    checked = check_rows(rows, table.group, scope.tenant_id, scope.settings.timestamp_zone)
    by_key = with_mark(scope, checked, erased, [{key: key for key in table.group.join_keys}])
    # Persist: counting, rejecting and appending must see the same rows, and a query may return other rows the next
    # time.
    persisted = by_key.persist()
    try:
        marked = with_rejected_marked(scope, persisted, erased, table.group)
        yield _counted(scope, table, persisted, marked, batch_id, has_window)
    finally:
        persisted.unpersist()


@dataclass(frozen=True)
class SparkBatch:
    """See ``CheckedBatch``. ``remaining``: the checked rows, without those of erased entities.

    ``bad``: those with a reason, if they are few enough for this process. ``totals``: what the expectations of a run
    are compared with.
    """

    scope: Scope
    table: GroupTable
    checked: DataFrame
    remaining: DataFrame
    record: BatchRecord
    bad: pa.Table | None
    totals: RunTotals | None

    def broken(self, window_end: datetime) -> tuple[str, ...]:
        assert self.totals is not None
        return tuple(broken_expectations(self.totals, self.table.group, window_end, self.record.invalid))

    def samples(self) -> dict[str, list[str]]:
        return _samples(self.remaining) if self.bad is None else samples(self.bad)

    def append_rejected(self, now: datetime) -> None:
        tenant_id, batch_id = self.record.tenant_id, self.record.batch_id
        if self.bad is not None and self.table.takes_local_writes():
            return self.table.append_rejected_locally(self.bad, tenant_id, batch_id, now)
        return self.table.append_rejected(bad_rows(self.remaining), tenant_id, batch_id, now)

    def append_values(self, record: BatchRecord, now: datetime) -> None:
        self.table.append_values(good_rows(self.remaining), record, now)

    def reject_run(self, broken: Sequence[str], now: datetime) -> dict[str, list[str]]:
        rows = rejected_whole(self.remaining, broken)
        self.table.replace_rejected(rows, self.record.tenant_id, self.record.batch_id, now)
        return _samples(rows)

    def is_stored(self, created: datetime) -> bool:
        tenant_id, batch_id = self.record.tenant_id, self.record.batch_id
        good = self.table.as_stored(good_rows(self.remaining), tenant_id, created)
        if not good.exceptAll(self.table.read_whole(tenant_id)).isEmpty():
            return False
        rejected = self.table.read_rejected(tenant_id, batch_id).select(column("row").alias(ROW))
        return bad_rows(self.remaining).select(ROW).exceptAll(rejected).isEmpty()

    def erase_again(self) -> None:
        erase_again(self.scope, self.table.group, self.checked.drop(SUPPRESSED))


def _counted(
    scope: Scope, table: GroupTable, persisted: DataFrame, marked: DataFrame, batch_id: str, has_window: bool
) -> SparkBatch:
    """Count the rows in the job that computes them; their reasons are counted here if few rows have any."""
    # The fingerprint does not depend on erasures, so that a retry after an erasure is recognised as a retry.
    content = [column(name) for name in marked.columns if name != SUPPRESSED]
    erased = column(SUPPRESSED) if SUPPRESSED in marked.columns else F.lit(False)
    is_good = (F.size(FAULTS) == 0) & ~erased
    seen = Observation()
    marked.observe(
        seen,
        F.count_if((F.size(FAULTS) > 0) & ~erased).alias("invalid"),
        F.count_if(erased).alias("erased"),
        *fingerprint_columns(content),
        *(total_columns(table.group, is_good) if has_window else ()),
    ).write.format("noop").mode("overwrite").save()
    counts = seen.get
    remaining = without_suppressed(marked)
    bad, errors = None, {}
    if counts["invalid"] and counts["invalid"] <= scope.settings.local_batch_rows:
        bad = bad_rows(remaining).select(FAULTS, ROW).toArrow()
        errors = reason_counts(bad)
    elif counts["invalid"]:
        errors = reason_counts_by_spark(remaining)
    if counts["erased"]:
        errors[REASON] = counts["erased"]
    failed = counts["invalid"] + counts["erased"]
    record = BatchRecord(
        tenant_id=scope.tenant_id,
        batch_id=batch_id,
        token=uuid4().hex,
        fingerprint=fingerprint_text(counts),
        written=counts["rows"] - failed,
        failed=failed,
        errors=errors,
    )
    totals = run_totals(counts, table.group) if has_window else None
    return SparkBatch(scope, table, persisted, remaining, record, bad, totals)


def reason_counts_by_spark(checked: DataFrame) -> dict[str, int]:
    """See ``reason_counts``."""
    by_reason = checked.select(F.explode(FAULTS).alias("reason")).groupBy("reason").count().collect()
    in_order = sorted(by_reason, key=lambda row: (-row["count"], row["reason"]))
    return {row["reason"]: row["count"] for row in in_order}


def _samples(checked: DataFrame) -> dict[str, list[str]]:
    reasons = checked.select(F.explode(FAULTS).alias("reason"), column(ROW).alias("row"))
    chosen = W.partitionBy("reason").orderBy(F.xxhash64("row"), "row")
    ranked: Any = reasons.withColumn("rank", F.row_number().over(chosen)).where(F.col("rank") <= SAMPLES)
    samples: dict[str, list[str]] = {}
    for row in ranked.orderBy("reason", "rank").collect():
        samples.setdefault(row["reason"], []).append(row["row"])
    return samples
