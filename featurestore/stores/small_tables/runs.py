"""The run ledger: an append-only table of what each job did; a run's newest row is its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from featurestore.definitions.values.time_window import TimeWindow
from featurestore.display.description import Display, Mark, Table, Tone, count, counted, utc_text
from featurestore.display.displayed import Displayed, Listing
from featurestore.errors import NotFoundError
from featurestore.frames.schema import table_schema
from featurestore.late_spark import DataFrame, F, SparkSession, W
from featurestore.stores.delta.table import DeltaTable

# ``abandoned``: the run's process ended without recording how the run ended.
State = Literal["running", "succeeded", "failed", "abandoned"]
_TONES: dict[State, Tone] = {"running": "warning", "succeeded": "good", "failed": "bad", "abandoned": "bad"}

_COLUMNS = (
    "tenant_id string, run_id string, sequence int, job string, feature_group string, group_version int, "
    "window_start timestamp, window_end timestamp, state string, attempt int, rows_written bigint, rows_failed bigint, "
    "table_version bigint, code_version string, error string, recorded_at timestamp, runner string, details string"
)


@dataclass(frozen=True)
class Run(Displayed):
    """One run of one job; ``sequence`` counts its states.

    ``runner`` identifies the process that runs it, so that others can check whether that process still lives.
    ``details`` is the job's own report, as JSON. For jobs that do not run on one feature group, ``feature_group`` is
    empty and ``group_version`` is 0. ``recorded_at`` is when the ledger recorded this state, UTC.
    """

    tenant_id: str
    run_id: str
    job: str
    feature_group: str
    group_version: int
    window: TimeWindow | None
    attempt: int
    code_version: str
    state: State = "running"
    sequence: int = 0
    rows_written: int | None = None
    rows_failed: int | None = None
    table_version: int | None = None
    error: str | None = None
    runner: str | None = None
    details: str | None = None
    recorded_at: datetime | None = field(default=None, compare=False)

    def ended(self, state: State, **facts: Any) -> Run:
        return replace(self, state=state, sequence=self.sequence + 1, **facts)

    def display(self) -> Display:
        """Show everything that the ledger holds about the run."""
        fields = asdict(self) | {"window": self.window, "state": Mark(self.state, _TONES[self.state])}
        facts = tuple((name.replace("_", " "), fact) for name, fact in fields.items())
        return Display(f"{self.job} {self.run_id[:12]}", facts=facts)


def describe_runs(runs: Sequence[Run]) -> Display:
    """Show one line per run."""
    if not runs:
        return Display("There are no runs yet.")
    columns = ("run", "recorded at", "job", "group", "window", "state", "written", "rejected", "error")
    rows = tuple(
        (
            run.run_id[:12],
            utc_text(run.recorded_at),
            run.job,
            run.feature_group,
            f"{utc_text(run.window.start)} to {utc_text(run.window.end)}" if run.window else None,
            Mark(run.state, _TONES[run.state]),
            count(run.rows_written),
            count(run.rows_failed),
            run.error,
        )
        for run in runs
    )
    return Display(counted(len(runs), "run"), tables=(Table(columns, rows),))


@dataclass(frozen=True)
class RunLedger:
    table: DeltaTable

    def create(self, spark: SparkSession) -> None:
        """Create the ledger, or add the columns that an older one lacks."""
        if not self.table.exists(spark):
            return self.table.create(spark, table_schema(_COLUMNS), ["tenant_id"])
        stored = self.table.read(spark).columns
        return self.table.add_columns(spark, [field for field in table_schema(_COLUMNS) if field.name not in stored])

    def record(self, spark: SparkSession, run: Run, now: datetime) -> None:
        start, end = (run.window.start, run.window.end) if run.window else (None, None)
        row = (
            run.tenant_id, run.run_id, run.sequence, run.job, run.feature_group, run.group_version, start, end,
            run.state, run.attempt, run.rows_written, run.rows_failed, run.table_version, run.code_version,
            _storable(run.error), now, run.runner, run.details,
        )  # fmt: skip
        self.table.append(spark.createDataFrame([row], table_schema(_COLUMNS)).coalesce(1))

    def runs(self, spark: SparkSession, tenant_id: str) -> DataFrame:
        """Return one row per run of the tenant: its newest state."""
        return self.newest(spark, tenant_id).drop("sequence")

    def newest(self, spark: SparkSession, tenant_id: str) -> DataFrame:
        """Return one row per run of the tenant: its newest state, with ``sequence``, the number of that state."""
        newest = W.partitionBy("run_id").orderBy(F.desc("sequence"))
        rows = self.table.read(spark).where(F.col("tenant_id") == F.lit(tenant_id))
        return rows.withColumn("__rank", F.row_number().over(newest)).where("__rank = 1").drop("__rank")

    def last_of_each(self, spark: SparkSession, tenant_id: str) -> list[Run]:
        """Return the last recorded run of each job and group version, in its newest state."""
        last = W.partitionBy("job", "feature_group", "group_version").orderBy(F.desc("recorded_at"), "run_id")
        ranked = self.newest(spark, tenant_id).withColumn("__rank", F.row_number().over(last))
        return [_run(row) for row in ranked.where("__rank = 1").drop("__rank").toArrow().to_pylist()]

    def of_job(self, spark: SparkSession, tenant_id: str, job: str, group: str, group_version: int) -> list[Run]:
        """Return every run of one job on one group in its newest state, oldest attempt first."""
        rows = (
            self.newest(spark, tenant_id)
            .where((F.col("job") == job) & (F.col("feature_group") == group))
            .where(F.col("group_version") == group_version)
        )
        return sorted((_run(row) for row in rows.toArrow().to_pylist()), key=lambda run: (run.attempt, run.run_id))

    def of_window(
        self, spark: SparkSession, tenant_id: str, job: str, group: str, group_version: int, window: TimeWindow
    ) -> list[Run]:
        """Return every run of one job on one window of a group in its newest state, oldest attempt first."""
        return [run for run in self.of_job(spark, tenant_id, job, group, group_version) if run.window == window]

    def latest(self, spark: SparkSession, tenant_id: str, limit: int) -> Listing[Run]:
        """Return up to ``limit`` runs in their newest state, newest first."""
        rows = self.newest(spark, tenant_id).orderBy(F.desc("recorded_at"), "run_id").limit(limit)
        return Listing(map(_run, rows.toArrow().to_pylist()), describe_runs)

    def get(self, spark: SparkSession, tenant_id: str, run_id: str) -> Run:
        """Return one run by its id, or by the first characters of it; raises NotFoundError."""
        if not run_id:
            raise NotFoundError("the run id is empty; list runs to see their ids")
        rows = self.newest(spark, tenant_id).where(F.col("run_id").startswith(run_id)).limit(2).toArrow().to_pylist()
        if len(rows) != 1:
            problem = "is the beginning of several; give more of it" if rows else "is not in the ledger"
            raise NotFoundError(f"run {run_id!r} of tenant {tenant_id!r} {problem}; list runs to see their ids")
        return _run(rows[0])


def _storable(text: str | None) -> str | None:
    """Escape what UTF-8 cannot encode: an error may quote a user's text that has half a surrogate pair."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _run(row: dict[str, Any]) -> Run:
    start, end = row.pop("window_start"), row.pop("window_end")
    recorded_at = row.pop("recorded_at").astimezone(UTC)
    window = None if start is None else TimeWindow(start.astimezone(UTC), end.astimezone(UTC))
    return Run(**row, window=window, recorded_at=recorded_at)
