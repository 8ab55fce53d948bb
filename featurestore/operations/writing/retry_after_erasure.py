"""Recognise a retried batch from which the user has removed the rows of erased entities."""

from __future__ import annotations

from datetime import datetime

from featurestore.frames.columns import column
from featurestore.frames.rows.conform import ROW
from featurestore.frames.rows.validation import bad_rows, good_rows
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Context
from featurestore.stores.group_table import BatchRecord, GroupTable


def is_already_stored(
    context: Context, table: GroupTable, remaining: DataFrame, record: BatchRecord, stored: BatchRecord
) -> bool:
    """Whether every row of a retry is stored already.

    ``remaining``: the retry's checked rows, without those of erased entities.

    People who erase an entity also remove it from their own files, so a retry has fewer rows than the batch had, and
    another fingerprint. If every row that it would write is stored, nothing is lost by calling the batch written.
    """
    if record.written > stored.written or record.invalid > stored.failed or stored.created_at is None:
        return False
    spark, tenant_id = context.spark, record.tenant_id
    good = table.as_stored(good_rows(remaining), tenant_id, datetime.fromisoformat(stored.created_at))
    if not good.exceptAll(table.read_whole(spark, tenant_id)).isEmpty():
        return False
    rejected = table.read_rejected(spark, tenant_id, record.batch_id).select(column("row").alias(ROW))
    return bad_rows(remaining).select(ROW).exceptAll(rejected).isEmpty()
