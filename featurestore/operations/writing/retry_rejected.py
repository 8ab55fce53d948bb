"""Write rejected rows again after a rule changed: each row once, even after interruptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

import numpy as np
import pyarrow as pa

from featurestore.columnar.rows.batch_summary import has_faults, reason_counts
from featurestore.columnar.rows.checked_rows import check_local_rows
from featurestore.columnar.text.text_rows import arrow_from_json_lines
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import TableBusyError
from featurestore.frames.columns import column
from featurestore.frames.rows.conform import FAULTS, ROW
from featurestore.frames.rows.text_rows import rows_from_json_lines
from featurestore.frames.rows.validation import check_rows
from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.late_spark import F
from featurestore.operations.context import Scope, check_stored
from featurestore.operations.given_as import Frame, To, frame_as, given_as
from featurestore.operations.writing.batch import WriteResult
from featurestore.operations.writing.ingest import ReadRows, write_batch
from featurestore.operations.writing.spark_batch import reason_counts_by_spark
from featurestore.stores.group_table import GroupTable
from featurestore.stores.runner import is_running_here, this_runner


def rejected(scope: Scope, group: FeatureGroup, batch_id: str | None, to: To) -> Frame:
    """The tenant's rejected rows of a group, or of one of its batches; see ``OfflineStore.rejected``."""
    check_stored(group, "rejecting rows")
    table = scope.table(group)
    local = None if to == "spark" else table.read_rejected_locally(scope.tenant_id, batch_id)
    if local is not None:
        return given_as(scope.context, local, to)
    return frame_as(table.read_rejected(scope.tenant_id, batch_id), to)


def retry_rejected(scope: Scope, group: FeatureGroup, batch_id: str | None) -> WriteResult:
    """Check a batch's rejected rows by the current rules, and write the good ones.

    ``batch_id``: None for all rejected rows of the group. Rows that are good now move to the group's values, with the
    current time as created timestamp unless the row has one. The others stay rejected, with their old reasons;
    ``failed`` and ``errors`` count these.

    This takes three commits: the good rows are claimed, written as a batch with the claim as its id, and removed from
    the rejected rows. A run that finds an earlier claim finishes it: rows that were written are removed, and a claim
    that was never written is given up, so that its rows are checked again. Raises TableBusyError if another run, of
    this machine, has claimed rows and is still writing them.
    """
    check_stored(group, "rejecting rows")
    table = scope.table(group)
    for claim in table.claims(scope.tenant_id):
        if _is_in_progress(claim):
            raise TableBusyError(
                f"group {group.name!r}: another run is writing rejected rows again ({claim}); nothing was "
                "written. Wait for it, and try again"
            )
        if table.find_batch(scope.tenant_id, claim) is None:
            table.give_up(scope.tenant_id, claim)
        else:
            table.remove_claimed(scope.tenant_id, claim)
    local = _checked_here(scope, table, batch_id)
    with _new_claim() as claim:
        if local is None:
            return _retry_by_spark(scope, table, batch_id, claim)
        return _retry_here(scope, table, batch_id, claim, local)


def _checked_here(scope: Scope, table: GroupTable, batch_id: str | None) -> pa.Table | None:
    """The rejected rows, checked by the current rules, with their texts in ``value``; None if they are Spark's."""
    if not table.takes_local_writes():
        return None
    rejected = table.read_rejected_locally(scope.tenant_id, batch_id)
    if rejected is None or rejected.num_rows > scope.settings.local_batch_rows:
        return None
    rows = _rows_of(scope, table.group, rejected["row"].to_pylist())
    checked = None if rows is None else check_local_rows(rows, table.group, scope.tenant_id, _zone(scope))
    if rows is None or checked is None:
        return None
    return checked.select([FAULTS]).append_column("value", rows.column(ROW))


def _rows_of(scope: Scope, group: FeatureGroup, texts: Sequence[str | None]) -> pa.Table | None:
    try:
        return arrow_from_json_lines([text for text in texts if text is not None], group, scope.tenant_id)
    except UndecidedError:
        return None


def _zone(scope: Scope) -> str | None:
    return scope.settings.timestamp_zone


def _retry_here(scope: Scope, table: GroupTable, batch_id: str | None, claim: str, checked: pa.Table) -> WriteResult:
    """Claim, write and remove the rows that are good now, without Spark."""
    bad = has_faults(checked)
    texts = checked.column("value")
    still_bad = set(texts.filter(pa.array(bad)).to_pylist())
    mended = [text for text in dict.fromkeys(texts.to_pylist()) if text not in still_bad]
    written = None
    if mended:
        table.claim_locally(mended, scope.tenant_id, batch_id, claim)
        rows = _rows_of(scope, table.group, table.claimed_texts(scope.tenant_id, claim))
        assert rows is not None, "the same texts were read before they were claimed"
        written = write_batch(scope, table.group, ReadRows(rows), batch_id=claim, on_invalid="fail")
        table.remove_claimed(scope.tenant_id, claim)
    return _result(claim, written, int(np.count_nonzero(bad)), reason_counts(checked))


def _retry_by_spark(scope: Scope, table: GroupTable, batch_id: str | None, claim: str) -> WriteResult:
    group = table.group
    texts = table.read_rejected(scope.tenant_id, batch_id).select(column("row").alias("value"))
    checked = check_rows(rows_from_json_lines(texts, group, scope.tenant_id), group, scope.tenant_id, _zone(scope))
    # Persist: Spark plans the check of many columns for seconds, and a merge plans its source several times.
    faults = checked.select(FAULTS, ROW).persist()
    try:
        good = F.size(FAULTS) == 0
        counts = {row["good"]: row["count"] for row in faults.groupBy(good.alias("good")).count().collect()}
        errors = reason_counts_by_spark(faults)
        if counts.get(True):
            still_bad = faults.where(~good).select(column(ROW).alias("value"))
            mended = texts.distinct().join(still_bad, "value", "left_anti")
            table.claim(mended.withColumnRenamed("value", "row"), scope.tenant_id, batch_id, claim)
    finally:
        faults.unpersist()
    written = None
    if counts.get(True):
        claimed = table.read_rejected(scope.tenant_id, claim=claim).select(column("row").alias("value"))
        rows = rows_from_json_lines(claimed, group, scope.tenant_id)
        written = write_batch(scope, group, rows, batch_id=claim, on_invalid="fail")
        table.remove_claimed(scope.tenant_id, claim)
    return _result(claim, written, counts.get(False, 0), errors)


# The claims of runs of this process that have not ended.
_IN_PROGRESS: set[str] = set()


@contextmanager
def _new_claim() -> Iterator[str]:
    """A claim that names the process, so that others can tell whether it is still at work."""
    claim = f"retry/{uuid4().hex}/{this_runner()}"
    _IN_PROGRESS.add(claim)
    try:
        yield claim
    finally:
        _IN_PROGRESS.discard(claim)


def _is_in_progress(claim: str) -> bool:
    """Whether the run that made the claim still works; a run of another machine counts as ended."""
    _, _, runner = (*claim.split("/", 2), "")[:3]
    return claim in _IN_PROGRESS or (runner != "" and runner != this_runner() and is_running_here(runner))


def _result(claim: str, written: WriteResult | None, failed: int, errors: dict[str, int]) -> WriteResult:
    return WriteResult(
        written=0 if written is None else written.written,
        failed=failed,
        batch_id=claim,
        table_version=None if written is None else written.table_version,
        errors=errors,
    )
