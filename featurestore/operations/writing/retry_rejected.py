"""Write rejected rows again after a rule changed: each row once, even after interruptions."""

from __future__ import annotations

from uuid import uuid4

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.frames.columns import column
from featurestore.frames.rows.conform import FAULTS, ROW
from featurestore.frames.rows.text_rows import rows_from_json_lines
from featurestore.frames.rows.validation import check_rows
from featurestore.late_spark import F
from featurestore.operations.context import Scope
from featurestore.operations.given_as import Frame, To, frame_as, given_as
from featurestore.operations.writing.batch import WriteResult
from featurestore.operations.writing.ingest import write_batch


def rejected(scope: Scope, group: FeatureGroup, batch_id: str | None, to: To) -> Frame:
    """The tenant's rejected rows of a group, or of one of its batches; see ``OfflineStore.rejected``."""
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
    that was never written is given up, so that its rows are checked again.
    """
    table = scope.table(group)
    for claim in table.claims(scope.tenant_id):
        if table.find_batch(scope.tenant_id, claim) is None:
            table.give_up(scope.tenant_id, claim)
        else:
            table.remove_claimed(scope.tenant_id, claim)
    texts = table.read_rejected(scope.tenant_id, batch_id).select(column("row").alias("value"))
    checked = check_rows(
        rows_from_json_lines(texts, group, scope.tenant_id), group, scope.tenant_id, scope.settings.timestamp_zone
    )
    good = F.size(FAULTS) == 0
    counts = {row["good"]: row["count"] for row in checked.groupBy(good.alias("good")).count().collect()}
    claim = f"retry/{uuid4().hex}"
    written = None
    if counts.get(True):
        still_bad = checked.where(~good).select(column(ROW).alias("value"))
        mended = texts.distinct().join(still_bad, "value", "left_anti")
        table.claim(mended.withColumnRenamed("value", "row"), scope.tenant_id, batch_id, claim)
        claimed = table.read_rejected(scope.tenant_id, claim=claim).select(column("row").alias("value"))
        rows = rows_from_json_lines(claimed, group, scope.tenant_id)
        written = write_batch(scope, group, rows, batch_id=claim, on_invalid="fail")
        table.remove_claimed(scope.tenant_id, claim)
    remaining = checked.where(~good).select(F.explode(FAULTS).alias("reason")).groupBy("reason").count().collect()
    return WriteResult(
        written=0 if written is None else written.written,
        failed=counts.get(False, 0),
        batch_id=claim,
        table_version=None if written is None else written.table_version,
        errors={
            row["reason"]: row["count"] for row in sorted(remaining, key=lambda row: (-row["count"], row["reason"]))
        },
    )
