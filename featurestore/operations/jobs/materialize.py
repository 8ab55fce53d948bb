"""Materialize: run a group's transformation over a window of time and write its values, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any, Literal, TypeAlias

from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.display.description import Display, Mark, Table, Tone, count, counted
from featurestore.display.displayed import Displayed
from featurestore.errors import ExpectationError, TransformationError
from featurestore.frames.columns import column
from featurestore.frames.rows.conform import FAULTS
from featurestore.frames.rows.faults import faults_present
from featurestore.frames.timestamps import instant
from featurestore.late_spark import DataFrame, F, W
from featurestore.operations.context import Scope, check_stored
from featurestore.operations.job_run import recorded_run
from featurestore.operations.jobs.scheduled import scheduled_rows
from featurestore.operations.jobs.transform import OpenTransformation, isolated
from featurestore.operations.jobs.transformation_errors import rows_that_compute
from featurestore.operations.writing.batch import WriteResult, reasons
from featurestore.operations.writing.ingest import write_batch
from featurestore.stores.small_tables.runs import Run

MATERIALIZE = "materialize"
Opening: TypeAlias = Callable[[], OpenTransformation]
_TONES: dict[str, Tone] = {"succeeded": "good", "skipped": "muted", "unpublished": "bad"}


@dataclass(frozen=True)
class MaterializeResult(Displayed):
    """What a run did: ``skipped`` if the window was done before.

    ``broken``: the group's expectations that the run broke; the state is ``unpublished`` if its rows were rejected for
    that. ``corrected``: earlier windows that were computed again because sources got late rows (``lookback``).
    """

    run_id: str | None
    group: str
    window: TimeWindow
    state: Literal["succeeded", "skipped", "unpublished"]
    written: int = 0
    failed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    table_version: int | None = None
    broken: tuple[str, ...] = ()
    corrected: tuple[MaterializeResult, ...] = ()

    def display(self) -> Display:
        """The outcome of the window, and of earlier windows that were computed again."""
        if self.state == "skipped":
            outcome = "done before, nothing to do; --rerun (rerun=True) computes it again"
        elif self.state == "unpublished":
            outcome = f"left unpublished, {counted(self.failed, 'row')} among the rejected ones"
        else:
            outcome = f"{counted(self.written, 'row')} written, {self.failed:,} rejected"
        corrections = (
            f"{result.window}: computed again, {counted(result.written, 'row')} corrected, {result.failed:,} rejected"
            for result in self.corrected
        )
        breaches = (Mark(f"Not as expected: {breach}", "bad") for breach in self.broken)
        facts = (("run", self.run_id), ("table version", self.table_version))
        return Display(
            f"{self.group} over {self.window}: {outcome}",
            lines=(*corrections, *breaches),
            facts=tuple(fact for fact in facts if fact[1] is not None),
            tables=reasons(self.failed, self.errors),
        )

    def require_expectations(self) -> None:
        """Raise ExpectationError if the run or a correction broke an expectation of its group."""
        for result in (*self.corrected, self):
            if result.broken:
                outcome = (
                    "were left unpublished, among the rejected rows"
                    if result.state == "unpublished"
                    else "were written"
                )
                raise ExpectationError(
                    f"{result.group} over {result.window} breaks its expectations: {'; '.join(result.broken)}. "
                    f"Its rows {outcome}"
                )


def describe_windows(results: Sequence[MaterializeResult]) -> Display:
    """One line per group and window."""
    columns = ("group", "window", "state", "written", "rejected", "table version", "not as expected")
    rows = tuple(
        (
            result.group,
            result.window,
            Mark(result.state, _TONES[result.state]),
            count(result.written),
            count(result.failed),
            result.table_version,
            "\n".join(result.broken),
        )
        for result in results
    )
    written, failed = sum(result.written for result in results), sum(result.failed for result in results)
    title = f"{counted(len(results), 'window')}: {counted(written, 'row')} written, {failed:,} rejected"
    return Display(title, tables=(Table(columns, rows),))


def materialize(
    scope: Scope,
    group: FeatureGroup,
    window: TimeWindow,
    *,
    rerun: bool = False,
    lookback: timedelta | None = None,
    opening: Opening | None = None,
) -> MaterializeResult:
    """Compute a window's values and append them; a window that is done is skipped unless ``rerun``.

    ``rerun`` computes the window again and appends only rows that differ from the stored ones, as corrections.
    ``lookback`` first does the same with done windows that end less than that long before this one's start, to pick up
    late rows of the sources. ``opening`` gives the group's transformation, which windows may share. The ledger holds
    the run from its start; a failure is recorded there and raised. After a crash, run the window again: if its rows
    were written, they are found and not written twice.
    """
    check_stored(group, "materializing")
    if not group.is_materialized:
        raise TransformationError(
            f"feature group {group.name!r} has no transformation to materialize; write its rows with write_batch, or "
            "declare a transformation"
        )
    opening = opening or open_once(scope, group)
    runs = scope.runs.of_job(scope.tenant_id, MATERIALIZE, group.name, group.version)
    corrected = [
        _run(scope, group, earlier, opening, [run for run in runs if run.window == earlier])
        for earlier in _looked_back(runs, window, lookback)
    ]
    of_window = [run for run in runs if run.window == window]
    if any(run.state == "succeeded" for run in of_window) and not rerun:
        return MaterializeResult(None, group.name, window, "skipped", corrected=tuple(corrected))
    return replace(_run(scope, group, window, opening, of_window), corrected=tuple(corrected))


def open_once(scope: Scope, group: FeatureGroup) -> Opening:
    """Open the group's transformation when the first window needs it, and then again and again the same one."""

    def opened() -> OpenTransformation:
        assert group.transformation is not None
        return OpenTransformation(isolated(scope, group.sources), group.sources, group.transformation)

    return cache(opened)


def _looked_back(runs: Sequence[Run], window: TimeWindow, lookback: timedelta | None) -> list[TimeWindow]:
    """The done windows that end in ``(start - lookback, start]``, oldest first."""
    if lookback is None:
        return []
    done = {run.window for run in runs if run.state == "succeeded" and run.window is not None}
    near = (earlier for earlier in done if earlier.end <= window.start and window.start - earlier.end < lookback)
    return sorted(near, key=lambda earlier: (earlier.start, earlier.end))


def _run(
    scope: Scope, group: FeatureGroup, window: TimeWindow, opening: Opening, earlier: Sequence[Run]
) -> MaterializeResult:
    done = sum(run.state == "succeeded" for run in earlier)
    with recorded_run(scope, MATERIALIZE, group, window, earlier) as job:
        result = _write(scope, group, window, opening, done)
        unpublished = bool(result.broken) and result.table_version is None and result.written == 0 and result.failed > 0
        job.report(
            {"broken": result.broken} if result.broken else None,
            rows_written=result.written,
            rows_failed=result.failed,
            table_version=result.table_version,
        )
        if unpublished:
            job.fail(f"ExpectationError: {'; '.join(result.broken)}")
    return MaterializeResult(
        job.run.run_id,
        group.name,
        window,
        "unpublished" if unpublished else "succeeded",
        result.written,
        result.failed,
        result.errors,
        result.table_version,
        result.broken,
    )


def _write(scope: Scope, group: FeatureGroup, window: TimeWindow, opening: Opening, done: int) -> WriteResult:
    # The batch id ends with the number of earlier successes, so a retry after a crash has the id of the crashed run.
    batch_id = f"{MATERIALIZE}/{window.start.isoformat()}/{window.end.isoformat()}/{done}"
    batch = scope.table(group).find_batch(scope.tenant_id, batch_id)
    if batch is not None:
        version, record = batch
        return WriteResult(record.written, record.failed, batch_id, version, record.errors, duplicate=True)
    if group.every is not None:
        computed = scheduled_rows(scope, group, window, again=done > 0)
        return write_batch(
            scope,
            group,
            computed,
            batch_id=batch_id,
            on_invalid="quarantine",
            window_end=None if done else window.end,
        )
    assert group.transformation is not None
    opened = opening()
    with rows_that_compute(group.transformation, group.sources):
        rows = opened.rows(window)
        timed = _inside_window(_with_event_timestamp(rows, window), window)
        # The transformation may say when a value was known; a correction is known from now on, whatever it says.
        changed = _changed_rows(scope, group, timed.drop("created_timestamp"), window) if done else timed
        return write_batch(
            opened.scope,
            group,
            changed,
            batch_id=batch_id,
            on_invalid="quarantine",
            window_end=None if done else window.end,
        )


def _with_event_timestamp(rows: DataFrame, window: TimeWindow) -> DataFrame:
    """Rows without an event timestamp get the window's end, when the whole window was known."""
    end = instant(window.end)
    if "event_timestamp" not in rows.columns:
        return rows.withColumn("event_timestamp", end)
    if rows.schema["event_timestamp"].dataType.typeName() != "timestamp":
        return rows
    return rows.withColumn("event_timestamp", F.coalesce(column("event_timestamp"), end))


def _inside_window(rows: DataFrame, window: TimeWindow) -> DataFrame:
    """Add a reason to each row outside ``[start, end]``: another window's run would write it a second time."""
    if rows.schema["event_timestamp"].dataType.typeName() != "timestamp":
        return rows
    outside = ~column("event_timestamp").between(instant(window.start), instant(window.end))
    reason = F.when(outside, F.lit("outside the window that was materialized"))
    return rows.withColumn(FAULTS, faults_present([("event_timestamp", reason)]))


def _changed_rows(scope: Scope, group: FeatureGroup, rows: DataFrame, window: TimeWindow) -> DataFrame:
    """The rows that differ from the newest stored row of the same key and event timestamp."""
    features = [name for name in group.feature_names if name in rows.columns]
    identity = [*group.join_keys, "event_timestamp"]
    stored = scope.read_values(group, [*group.join_keys, *TIME_COLUMNS, *features])
    in_window = stored.where(column("event_timestamp").between(instant(window.start), instant(window.end)))
    newest = W.partitionBy(*identity).orderBy(F.desc("created_timestamp"))
    latest: Any = in_window.withColumn("__rank", F.row_number().over(newest)).where("__rank = 1")
    old, new = latest.alias("old"), rows.alias("new")
    same = F.lit(True)
    for name in [*identity, *features]:
        same = same & F.col(f"new.{name}").eqNullSafe(F.col(f"old.{name}"))
    return new.join(old, same, "left_anti")
