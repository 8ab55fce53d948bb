"""Write a batch: conform, validate, split, append the good rows once, store the bad ones with their reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from uuid import uuid4

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import Window as W
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.columnar.rows.local_rows import arrow_from_dicts, arrow_from_pandas, arrow_from_table
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.display.description import Display, Mark, Table, count, counted
from featurestore.display.displayed import Displayed
from featurestore.errors import BatchConflictError, InvalidArgumentError, InvalidRowsError, SchemaError
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import fingerprint_columns, fingerprint_text
from featurestore.frames.rows.conform import FAULTS, ROW
from featurestore.frames.rows.expectations import broken_expectations
from featurestore.frames.rows.suppression import REASON, SUPPRESSED, without_suppressed
from featurestore.frames.rows.validation import bad_rows, check_rows, good_rows
from featurestore.kinds.json_text.json_columns import json_of
from featurestore.operations.context import Context, Scope
from featurestore.operations.erasure.groups import erase_again
from featurestore.operations.erasure.suppress import of_group, suppressions, with_mark, with_rejected_marked
from featurestore.operations.writing.retry_after_erasure import is_already_stored
from featurestore.stores.arrow import to_spark
from featurestore.stores.group_table import BatchRecord, GroupTable

# Rows shown for each reason.
_SAMPLES = 3

OnInvalid = Literal["quarantine", "fail"]
Rows: TypeAlias = DataFrame | pd.DataFrame | pa.Table | Sequence[dict[str, Any]]


@dataclass(frozen=True)
class WriteResult(Displayed):
    """The result of writing a batch: ``written + failed`` is the number of its rows.

    ``errors`` counts reasons (a row may have several). ``samples`` has up to three rows per reason, as they came, as
    JSON. ``table_version``: the version of the values table that holds the batch; None for an empty batch. Rows of
    erased entities count as failed, with the reason ``suppressed``, and are stored nowhere. ``duplicate``: this batch
    id was written before, and nothing was written now.
    """

    written: int
    failed: int
    batch_id: str
    table_version: int | None
    errors: dict[str, int] = field(default_factory=dict)
    duplicate: bool = False
    samples: dict[str, list[str]] = field(default_factory=dict, repr=False)
    # The group's expectations that the rows of a run break; see Expectations.
    broken: tuple[str, ...] = ()

    def display(self) -> Display:
        """The number of rows written, and the reasons of rejected rows with one sample each."""
        title = f"{counted(self.written, 'row')} written, {self.failed:,} rejected"
        if self.duplicate:
            title = "this batch was written before; nothing was written now"
        return Display(
            title,
            lines=tuple(Mark(f"Not as expected: {breach}", "bad") for breach in self.broken),
            facts=(("batch", self.batch_id), ("table version", self.table_version)),
            tables=reasons(self.failed, self.errors, self.samples),
        )


def reasons(
    failed: int, errors: Mapping[str, int], samples: Mapping[str, Sequence[str]] | None = None
) -> tuple[Table, ...]:
    """A table of the reasons for rejection, most frequent first; no table if no row was rejected."""
    if not failed:
        return ()
    if not samples:
        return (Table(("rejected because", "rows"), tuple((reason, count(rows)) for reason, rows in errors.items())),)
    lines = tuple((reason, count(rows), next(iter(samples.get(reason, ())), "")) for reason, rows in errors.items())
    return (Table(("rejected because", "rows", "such as"), lines),)


def write_batch(
    scope: Scope,
    group: FeatureGroup,
    rows: Rows,
    *,
    batch_id: str | None,
    on_invalid: OnInvalid,
    window_end: datetime | None = None,
) -> WriteResult:
    """Append a batch's good rows to the group's values, and its bad rows, with reasons, to its rejected rows.

    ``window_end`` is set when a run materializes a window: the group's expectations are then checked before any write.

    A batch with a ``batch_id`` is written once, however often it is retried; the same id with other rows is refused.
    Rows of erased entities are left out and counted. Raises SchemaError (columns that cannot fit), InvalidRowsError
    (``on_invalid="fail"`` and a bad row; nothing is written), BatchConflictError, ConfigurationError (entities were
    erased, and the secret that recognises them is missing).
    """
    if on_invalid not in ("quarantine", "fail"):
        raise InvalidArgumentError(f"on_invalid is {on_invalid!r}; possible: 'quarantine', 'fail'")
    chosen_id = _batch_id(batch_id)
    table = scope.table(group)
    checked = check_rows(as_frame(scope.context, rows, group), group, scope.tenant_id, scope.settings.timestamp_zone)
    erased = of_group(suppressions(scope), group)
    by_key = with_mark(scope, checked, erased, [{key: key for key in group.join_keys}])
    # Persist: counting, rejecting and appending must see the same rows, and a query may return other rows the next
    # time.
    persisted = by_key.persist()
    try:
        marked = with_rejected_marked(scope, persisted, erased, group)
        record = _summary(marked, scope.tenant_id, chosen_id)
        remaining = without_suppressed(marked)
        if record.written + record.failed == 0:
            return WriteResult(0, 0, chosen_id, None)
        if record.invalid and on_invalid == "fail":
            raise InvalidRowsError(
                f"group {group.name!r}: {record.invalid} of {record.written + record.failed} rows break rules, and "
                f"nothing was written: {_most_frequent(record.errors)}"
            )
        broken = _broken(remaining, group, window_end, record)
        if broken and group.expect is not None and group.expect.on_breach == "reject":
            result = _reject_run(scope.context, table, remaining, record, broken)
        else:
            batch = _Batch(scope.context, table, remaining, record, bool(erased))
            result = _earlier(batch) or _append(batch)
            result = replace(result, samples=_samples(remaining) if record.invalid else {}, broken=broken)
        # An erasure that began in the meantime may have searched the table before these rows were written.
        if of_group(suppressions(scope), group) != erased or _may_have_been_late(result, record):
            erase_again(scope, group, persisted.drop(SUPPRESSED))
        return result
    finally:
        persisted.unpersist()


def _may_have_been_late(result: WriteResult, record: BatchRecord) -> bool:
    """Whether an earlier attempt may have written rows of erased entities and stopped before it checked again."""
    return result.duplicate and REASON in record.errors and REASON not in result.errors


def _broken(
    checked: DataFrame, group: FeatureGroup, window_end: datetime | None, record: BatchRecord
) -> tuple[str, ...]:
    if window_end is None:
        return ()
    return tuple(broken_expectations(good_rows(checked), group, window_end, record.invalid))


def _reject_run(
    context: Context, table: GroupTable, checked: DataFrame, record: BatchRecord, broken: tuple[str, ...]
) -> WriteResult:
    """Write all rows of a run to the rejected rows, with their own reasons and the run's.

    Rows of an earlier attempt of the same run are replaced.
    """
    reasons = [f"the run breaks {text}" for text in broken]
    run_faults = F.array(*(F.lit(reason) for reason in reasons))
    fields = [field for field in checked.schema if field.name not in (FAULTS, ROW)]
    made = json_of(F.struct(*(column(field.name) for field in fields)), T.StructType(fields))
    row = F.coalesce(column(ROW), made)
    rows = checked.withColumns({FAULTS: F.concat(column(FAULTS), run_faults), ROW: row})
    table.replace_rejected(rows, record.tenant_id, record.batch_id, context.clock())
    failed = record.written + record.failed
    errors = record.errors | dict.fromkeys(reasons, record.written + record.invalid)
    return WriteResult(0, failed, record.batch_id, None, errors, samples=_samples(rows), broken=broken)


def _batch_id(batch_id: str | None) -> str:
    if batch_id is None:
        return uuid4().hex
    if not isinstance(batch_id, str) or not 1 <= len(batch_id) <= 200:
        raise InvalidArgumentError(f"batch_id {batch_id!r} must be a text of 1 to 200 characters")
    return batch_id


def as_frame(context: Context, rows: Rows, group: FeatureGroup) -> DataFrame:
    """A batch of any kind as a DataFrame; event timestamps finer than a microsecond are rounded up to the next one."""
    zone = context.settings.timestamp_zone
    if isinstance(rows, DataFrame):
        return rows
    if isinstance(rows, pd.DataFrame):
        return to_spark(context.spark, arrow_from_pandas(rows, group, zone))
    if isinstance(rows, pa.Table):
        return to_spark(context.spark, arrow_from_table(rows, group))
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        return to_spark(context.spark, arrow_from_dicts(rows, group, zone))
    raise SchemaError(
        f"group {group.name!r}: rows are {type(rows).__name__}; give a Spark or pandas DataFrame, a pyarrow Table or a "
        "list of dicts"
    )


def _summary(checked: DataFrame, tenant_id: str, batch_id: str) -> BatchRecord:
    """Counts, reasons and fingerprint of a checked batch."""
    # The fingerprint does not depend on erasures, so that a retry after an erasure is recognised as a retry.
    content = [column(name) for name in checked.columns if name != SUPPRESSED]
    erased = column(SUPPRESSED) if SUPPRESSED in checked.columns else F.lit(False)
    counts = checked.agg(
        F.count_if((F.size(FAULTS) > 0) & ~erased).alias("invalid"),
        F.count_if(erased).alias("erased"),
        *fingerprint_columns(content),
    ).collect()[0]
    errors: dict[str, int] = {}
    if counts["invalid"]:
        by_reason = (
            without_suppressed(checked).select(F.explode(FAULTS).alias("reason")).groupBy("reason").count().collect()
        )
        in_order = sorted(by_reason, key=lambda row: (-row["count"], row["reason"]))
        errors = {row["reason"]: row["count"] for row in in_order}
    if counts["erased"]:
        errors[REASON] = counts["erased"]
    failed = counts["invalid"] + counts["erased"]
    return BatchRecord(
        tenant_id=tenant_id,
        batch_id=batch_id,
        token=uuid4().hex,
        fingerprint=fingerprint_text(counts),
        written=counts["rows"] - failed,
        failed=failed,
        errors=errors,
    )


def _samples(checked: DataFrame) -> dict[str, list[str]]:
    """Reason -> sample rows, chosen by their hash, so that every run chooses the same ones.

    Samples are not in the batch's record: the record stays in the table's history, but a row may have to be erased.
    """
    reasons = checked.select(F.explode(FAULTS).alias("reason"), column(ROW).alias("row"))
    chosen = W.partitionBy("reason").orderBy(F.xxhash64("row"), "row")
    ranked: Any = reasons.withColumn("rank", F.row_number().over(chosen)).where(F.col("rank") <= _SAMPLES)
    samples: dict[str, list[str]] = {}
    for row in ranked.orderBy("reason", "rank").collect():
        samples.setdefault(row["reason"], []).append(row["row"])
    return samples


@dataclass(frozen=True)
class _Batch:
    """A batch in progress.

    ``remaining``: its checked rows, without those of erased entities. ``any_erased``: whether erasures concern the
    group.
    """

    context: Context
    table: GroupTable
    remaining: DataFrame
    record: BatchRecord
    any_erased: bool


def _earlier(batch: _Batch) -> WriteResult | None:
    """The result of an earlier write of this batch, if any; searched only if rejected rows would be written first."""
    record = batch.record
    if not record.invalid:
        return None
    earlier = batch.table.find_batch(batch.context.spark, record.tenant_id, record.batch_id)
    return None if earlier is None else _result(batch, *earlier)


def _append(batch: _Batch) -> WriteResult:
    context, table, record = batch.context, batch.table, batch.record
    now = table.next_created(context.spark, context.clock())
    # Rejected rows come first, so that stored values mean that the whole batch is stored.
    if record.invalid:
        table.append_rejected(bad_rows(batch.remaining), record.tenant_id, record.batch_id, now)
        context.step("write.rejected")
    table.append_values(good_rows(batch.remaining), replace(record, created_at=now.astimezone(UTC).isoformat()), now)
    context.step("write.values")
    return _result(batch, *_find(batch))


def _result(batch: _Batch, version: int, stored: BatchRecord) -> WriteResult:
    """The result in the commit that holds this batch id, which may be an earlier one; raises BatchConflictError."""
    table, record = batch.table, batch.record
    is_same = stored.fingerprint == record.fingerprint
    if not is_same and not (
        batch.any_erased and is_already_stored(batch.context, table, batch.remaining, record, stored)
    ):
        raise BatchConflictError(
            f"group {table.group.name!r}: batch id {record.batch_id!r} was used before (table version {version}) for "
            "other rows; nothing was written. Give this batch an id of its own"
        )
    duplicate = stored.token != record.token
    return WriteResult(stored.written, stored.failed, record.batch_id, version, stored.errors, duplicate)


def _find(batch: _Batch) -> tuple[int, BatchRecord]:
    spark, table, record = batch.context.spark, batch.table, batch.record
    recent = table.find_batch(spark, record.tenant_id, record.batch_id, limit=20)
    stored = recent or table.find_batch(spark, record.tenant_id, record.batch_id)
    if stored is None:
        raise BatchConflictError(
            f"group {table.group.name!r}: batch id {record.batch_id!r} was used before, in a commit older than the "
            "table's history, so this batch was not written and cannot be compared with it; give it an id of its own"
        )
    return stored


def _most_frequent(errors: dict[str, int]) -> str:
    reasons = [f"{reason} ({count})" for reason, count in list(errors.items())[:5]]
    return "; ".join(reasons) + ("; ..." if len(errors) > 5 else "")
