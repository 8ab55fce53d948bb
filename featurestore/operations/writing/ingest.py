"""Write a batch: conform, validate, split, append the good rows once, store the bad ones with their reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from uuid import uuid4

import pyarrow as pa

from featurestore.columnar.rows.local_rows import arrow_from_dicts, arrow_from_pandas, arrow_from_table
from featurestore.columnar.rows.names import REASON
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import BatchConflictError, InvalidArgumentError, InvalidRowsError, SchemaError
from featurestore.frames.rows.conform import read_columns
from featurestore.late_pandas import pd
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Scope, check_stored
from featurestore.operations.erasure.suppress import of_group, suppressions
from featurestore.operations.writing.batch import CheckedBatch, WriteResult
from featurestore.operations.writing.fetched_rows import can_be_fetched, fetched_rows, persisted
from featurestore.operations.writing.local_batch import checked_locally
from featurestore.operations.writing.spark_batch import checked_by_spark
from featurestore.stores.arrow import to_spark
from featurestore.stores.group_table import BatchRecord, GroupTable
from featurestore.stores.small_tables.suppression import Suppression

OnInvalid = Literal["quarantine", "fail"]
Rows: TypeAlias = DataFrame | pd.DataFrame | pa.Table | Sequence[dict[str, Any]]


@dataclass(frozen=True)
class ReadRows:
    """Rows that were read from text, as ``check_local_rows`` accepts them: perhaps with faults and texts of rows."""

    table: pa.Table


def write_batch(
    scope: Scope,
    group: FeatureGroup,
    rows: Rows | ReadRows,
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
    check_stored(group, "writing")
    table = scope.table(group)
    erased = of_group(suppressions(scope), group)
    with _checked(scope, table, rows, erased, chosen_id, window_end is not None) as batch:
        record = batch.record
        if record.written + record.failed == 0:
            return WriteResult(0, 0, chosen_id, None)
        if record.invalid and on_invalid == "fail":
            raise InvalidRowsError(
                f"group {group.name!r}: {record.invalid} of {record.written + record.failed} rows break rules, and "
                f"nothing was written: {_most_frequent(record.errors)}"
            )
        broken = () if window_end is None else batch.broken(window_end)
        if broken and group.expect is not None and group.expect.on_breach == "reject":
            result = _reject_run(scope, batch, broken)
        else:
            result = _earlier(table, batch, bool(erased)) or _append(scope, table, batch, bool(erased))
            result = replace(result, samples=batch.samples() if record.invalid else {}, broken=broken)
        # An erasure that began in the meantime may have searched the table before these rows were written.
        if of_group(suppressions(scope), group) != erased or _may_have_been_late(result, record):
            batch.erase_again()
        return result


@contextmanager
def _checked(
    scope: Scope,
    table: GroupTable,
    rows: Rows | ReadRows,
    erased: Sequence[Suppression],
    batch_id: str,
    has_window: bool,
) -> Iterator[CheckedBatch]:
    """Check the rows here if they are few, here or with Spark, and this process may write the table; else by Spark."""
    zone, most = scope.settings.timestamp_zone, scope.settings.local_batch_rows
    takes_local = table.takes_local_writes()
    with ExitStack() as checking, ExitStack() as computing:
        given: DataFrame | pa.Table
        if not isinstance(rows, DataFrame):
            given = here = _as_arrow(rows, table.group, zone)
        elif takes_local and most and can_be_fetched(rows):
            # Columns that can never fit are refused before any job runs.
            read_columns(rows, table.group, zone)
            # Persist: all that follows must see the same rows, and a query may return other rows the next time.
            given = computing.enter_context(persisted(rows))
            here = fetched_rows(given, most)
        else:
            given, here = rows, None
        local = None
        if here is not None and here.num_rows <= most and takes_local:
            local = checked_locally(scope, table, here, erased, batch_id)
        if local is not None:
            yield local
            return
        frame = given if isinstance(given, DataFrame) else to_spark(scope.spark, given)
        batch = checking.enter_context(checked_by_spark(scope, table, frame, erased, batch_id, has_window))
        # The checked rows are persisted themselves by now.
        computing.close()
        yield batch


def _may_have_been_late(result: WriteResult, record: BatchRecord) -> bool:
    """Whether an earlier attempt may have written rows of erased entities and stopped before it checked again."""
    return result.duplicate and REASON in record.errors and REASON not in result.errors


def _reject_run(scope: Scope, batch: CheckedBatch, broken: tuple[str, ...]) -> WriteResult:
    """Write all rows of a run to the rejected rows, with their own reasons and the run's."""
    record = batch.record
    reasons = [f"the run breaks {text}" for text in broken]
    samples = batch.reject_run(reasons, scope.now())
    failed = record.written + record.failed
    errors = record.errors | dict.fromkeys(reasons, record.written + record.invalid)
    return WriteResult(0, failed, record.batch_id, None, errors, samples=samples, broken=broken)


def _batch_id(batch_id: str | None) -> str:
    if batch_id is None:
        return uuid4().hex
    if not isinstance(batch_id, str) or not 1 <= len(batch_id) <= 200:
        raise InvalidArgumentError(f"batch_id {batch_id!r} must be a text of 1 to 200 characters")
    return batch_id


def _as_arrow(rows: Any, group: FeatureGroup, zone: str | None) -> pa.Table:
    """Rows of this process as Arrow; event timestamps finer than a microsecond are rounded up to the next one."""
    if isinstance(rows, ReadRows):
        return rows.table
    if isinstance(rows, pd.DataFrame):
        return arrow_from_pandas(rows, group, zone)
    if isinstance(rows, pa.Table):
        return arrow_from_table(rows, group)
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        return arrow_from_dicts(rows, group, zone)
    raise SchemaError(
        f"group {group.name!r}: rows are {type(rows).__name__}; give a Spark or pandas DataFrame, a pyarrow Table or a "
        "list of dicts"
    )


def _earlier(table: GroupTable, batch: CheckedBatch, any_erased: bool) -> WriteResult | None:
    """The result of an earlier write of this batch, if any; searched only if rejected rows would be written first."""
    record = batch.record
    if not record.invalid:
        return None
    earlier = table.find_batch(record.tenant_id, record.batch_id)
    return None if earlier is None else _result(table, batch, any_erased, *earlier)


def _append(scope: Scope, table: GroupTable, batch: CheckedBatch, any_erased: bool) -> WriteResult:
    record = batch.record
    now = table.next_created(scope.context.clock())
    # Rejected rows come first, so that stored values mean that the whole batch is stored.
    if record.invalid:
        batch.append_rejected(now)
        scope.step("write.rejected")
    batch.append_values(replace(record, created_at=now.astimezone(UTC).isoformat()), now)
    scope.step("write.values")
    return _result(table, batch, any_erased, *_find(table, record))


def _result(table: GroupTable, batch: CheckedBatch, any_erased: bool, version: int, stored: BatchRecord) -> WriteResult:
    """The result in the commit that holds this batch id, which may be an earlier one; raises BatchConflictError."""
    record = batch.record
    is_same = stored.fingerprint == record.fingerprint
    if not is_same and not (any_erased and _is_already_stored(batch, stored)):
        raise BatchConflictError(
            f"group {table.group.name!r}: batch id {record.batch_id!r} was used before (table version {version}) for "
            "other rows; nothing was written. Give this batch an id of its own"
        )
    duplicate = stored.token != record.token
    return WriteResult(stored.written, stored.failed, record.batch_id, version, stored.errors, duplicate)


def _is_already_stored(batch: CheckedBatch, stored: BatchRecord) -> bool:
    """Whether every row that this retry would write is stored already, by the batch with the record ``stored``.

    People who erase an entity also remove it from their own files, so a retry has fewer rows than the batch had, and
    another fingerprint. If every row that it would write is stored, nothing is lost by calling the batch written.
    """
    record = batch.record
    if record.written > stored.written or record.invalid > stored.failed or stored.created_at is None:
        return False
    return batch.is_stored(datetime.fromisoformat(stored.created_at))


def _find(table: GroupTable, record: BatchRecord) -> tuple[int, BatchRecord]:
    recent = table.find_batch(record.tenant_id, record.batch_id, limit=20)
    stored = recent or table.find_batch(record.tenant_id, record.batch_id)
    if stored is None:
        raise BatchConflictError(
            f"group {table.group.name!r}: batch id {record.batch_id!r} was used before, in a commit older than the "
            "table's history, so this batch was not written and cannot be compared with it; give it an id of its own"
        )
    return stored


def _most_frequent(errors: dict[str, int]) -> str:
    reasons = [f"{reason} ({count})" for reason, count in list(errors.items())[:5]]
    return "; ".join(reasons) + ("; ..." if len(errors) > 5 else "")
