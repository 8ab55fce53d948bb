"""Materialize: run a group's transformation over a window of time and write its values, once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

from pyspark.sql import DataFrame
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.time_window import TimeWindow
from featurestore.errors import TransformationError
from featurestore.frames.columns import column
from featurestore.frames.conform import FAULTS
from featurestore.frames.schema import TIME_COLUMNS
from featurestore.frames.timestamps import instant
from featurestore.operations.context import Context
from featurestore.operations.ingest import WriteResult, write_batch
from featurestore.operations.transform import isolated, transform
from featurestore.stores.runs import Run

_JOB = "materialize"


@dataclass(frozen=True)
class MaterializeResult:
    """What a run did: ``skipped`` where the window had been done before."""

    run_id: str | None
    group: str
    window: TimeWindow
    state: Literal["succeeded", "skipped"]
    written: int = 0
    failed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    table_version: int | None = None


def materialize(
    context: Context, tenant_id: str, group: FeatureGroup, window: TimeWindow, rerun: bool = False
) -> MaterializeResult:
    """Compute a window's values and append them; a window that was done is skipped, unless ``rerun``.

    ``rerun`` computes it again and appends only rows that differ from what is stored, as corrections. The run is in
    the ledger from its start; a failure is recorded there and raised. After a crash the window is simply run again:
    if its rows had been written, they are found and not written twice.
    """
    if group.transformation is None:
        raise TransformationError(
            f"feature group {group.name!r} has no transformation to materialize; write it with write_batch, or declare one"
        )
    earlier = context.runs.of_window(context.spark, tenant_id, _JOB, group.name, group.version, window)
    done = sum(state == "succeeded" for state, _ in earlier)
    if done and not rerun:
        return MaterializeResult(None, group.name, window, "skipped")
    run = Run(
        tenant_id=tenant_id,
        run_id=uuid4().hex,
        job=_JOB,
        feature_group=group.name,
        group_version=group.version,
        window=window,
        attempt=len(earlier) + 1,
        code_version=context.code_version,
    )
    context.runs.record(context.spark, run, context.clock())
    try:
        result = _write(context, tenant_id, group, window, done)
    except BaseException as error:
        failed = run.ended("failed", error=f"{type(error).__name__}: {error}"[:4000])
        context.runs.record(context.spark, failed, context.clock())
        raise
    ended = run.ended(
        "succeeded", rows_written=result.written, rows_failed=result.failed, table_version=result.table_version
    )
    context.runs.record(context.spark, ended, context.clock())
    return MaterializeResult(
        run.run_id, group.name, window, "succeeded", result.written, result.failed, result.errors, result.table_version
    )


def _write(context: Context, tenant_id: str, group: FeatureGroup, window: TimeWindow, done: int) -> WriteResult:
    # The batch id counts the successes before it: a retry after a crash has the id of the run that crashed.
    batch_id = f"{_JOB}/{window.start.isoformat()}/{window.end.isoformat()}/{done}"
    found = context.table(group).find_batch(context.spark, tenant_id, batch_id)
    if found is not None:
        version, record = found
        return WriteResult(record.written, record.failed, batch_id, version, record.errors, duplicate=True)
    inside = isolated(context)
    assert group.transformation is not None
    rows = transform(inside, tenant_id, group.sources, group.transformation, window)
    timed = _inside_window(_with_event_timestamp(rows, window), window)
    changed = _changed_rows(context, tenant_id, group, timed, window) if done else timed
    return write_batch(inside, tenant_id, group, changed, batch_id)


def _with_event_timestamp(rows: DataFrame, window: TimeWindow) -> DataFrame:
    """A row without its own event timestamp gets the window's end: then, all of the window was known."""
    end = instant(window.end)
    if "event_timestamp" not in rows.columns:
        return rows.withColumn("event_timestamp", end)
    if rows.schema["event_timestamp"].dataType.typeName() != "timestamp":
        return rows
    return rows.withColumn("event_timestamp", F.coalesce(column("event_timestamp"), end))


def _inside_window(rows: DataFrame, window: TimeWindow) -> DataFrame:
    """A reason for each row outside ``[start, end]``: another window's run would write it a second time."""
    if rows.schema["event_timestamp"].dataType.typeName() != "timestamp":
        return rows
    outside = ~column("event_timestamp").between(instant(window.start), instant(window.end))
    reason = F.array(F.lit("event_timestamp: outside the window that was materialized"))
    return rows.withColumn(FAULTS, F.when(outside, reason))


def _changed_rows(
    context: Context, tenant_id: str, group: FeatureGroup, rows: DataFrame, window: TimeWindow
) -> DataFrame:
    """Those rows of which the store does not already hold the same values as its newest for that key and moment."""
    features = [name for name in group.feature_names if name in rows.columns]
    identity = [*group.join_keys, "event_timestamp"]
    stored = context.table(group).read_values(context.spark, tenant_id, [*group.join_keys, *TIME_COLUMNS, *features])
    in_window = stored.where(column("event_timestamp").between(instant(window.start), instant(window.end)))
    newest = W.partitionBy(*identity).orderBy(F.desc("created_timestamp"))
    latest: Any = in_window.withColumn("__rank", F.row_number().over(newest)).where("__rank = 1")
    old, new = latest.alias("old"), rows.alias("new")
    same = F.lit(True)
    for name in [*identity, *features]:
        same = same & F.col(f"new.{name}").eqNullSafe(F.col(f"old.{name}"))
    return new.join(old, same, "left_anti")
