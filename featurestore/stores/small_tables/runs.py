"""The run ledger: an append-only table of what each job did; a run's newest row is its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa

from featurestore.columnar.schema import table_schema
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.display.description import Display, Mark, Table, Tone, count, counted, utc_text
from featurestore.display.displayed import Displayed, Listing
from featurestore.errors import NotFoundError
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.delta.which_rows import equal
from featurestore.stores.small_tables.small_table import SmallTable, rows_of, small_table

# ``abandoned``: the run's process ended without recording how the run ended.
State = Literal["running", "succeeded", "failed", "abandoned"]
_TONES: dict[State, Tone] = {"running": "warning", "succeeded": "good", "failed": "bad", "abandoned": "bad"}

_SCHEMA = table_schema(
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
    table: SmallTable

    @classmethod
    def of(cls, table: DeltaTable) -> RunLedger:
        return cls(small_table(table, _SCHEMA, ["tenant_id"]))

    def create(self) -> None:
        """Create the ledger, or add the columns that an older one lacks."""
        self.table.create()

    def record(self, run: Run, now: datetime) -> None:
        start, end = (run.window.start, run.window.end) if run.window else (None, None)
        row = {name: getattr(run, name, None) for name in _SCHEMA.names}
        row |= {"window_start": start, "window_end": end, "error": _storable(run.error), "recorded_at": now}
        self.table.append(rows_of(_SCHEMA, [row]))

    def states(self, tenant_id: str, **values: Any) -> pa.Table:
        """Return every recorded state of every run of the tenant, or of those with these values."""
        return self.table.read(equal(tenant_id=tenant_id, **values))

    def rows(self, tenant_id: str) -> pa.Table:
        """Return one row per run of the tenant: its newest state."""
        return rows_of(_SCHEMA, self._newest(tenant_id)).drop_columns("sequence")

    def _newest(self, tenant_id: str, **values: Any) -> list[dict[str, Any]]:
        newest: dict[str, dict[str, Any]] = {}
        for row in self.states(tenant_id, **values).to_pylist():
            known = newest.get(row["run_id"])
            if known is None or row["sequence"] > known["sequence"]:
                newest[row["run_id"]] = row
        return list(newest.values())

    def _runs(self, tenant_id: str) -> list[Run]:
        """The tenant's runs in their newest states, the last recorded first."""
        runs = sorted(map(_run, self._newest(tenant_id)), key=lambda run: run.run_id)
        return sorted(runs, key=_recorded_at, reverse=True)

    def last_of_each(self, tenant_id: str) -> list[Run]:
        """Return the last recorded run of each job and group version, in its newest state."""
        last: dict[tuple[str, str, int], Run] = {}
        for run in self._runs(tenant_id):
            last.setdefault((run.job, run.feature_group, run.group_version), run)
        return list(last.values())

    def of_job(self, tenant_id: str, job: str, group: str, group_version: int) -> list[Run]:
        """Return every run of one job on one group in its newest state, oldest attempt first."""
        newest = self._newest(tenant_id, job=job, feature_group=group, group_version=group_version)
        return sorted(map(_run, newest), key=lambda run: (run.attempt, run.run_id))

    def of_window(self, tenant_id: str, job: str, group: str, group_version: int, window: TimeWindow) -> list[Run]:
        """Return every run of one job on one window of a group in its newest state, oldest attempt first."""
        return [run for run in self.of_job(tenant_id, job, group, group_version) if run.window == window]

    def latest(self, tenant_id: str, limit: int) -> Listing[Run]:
        """Return up to ``limit`` runs in their newest state, newest first."""
        return Listing(self._runs(tenant_id)[:limit], describe_runs)

    def get(self, tenant_id: str, run_id: str) -> Run:
        """Return one run by its id, or by the first characters of it; raises NotFoundError."""
        if not run_id:
            raise NotFoundError("the run id is empty; list runs to see their ids")
        found = [run for run in self._runs(tenant_id) if run.run_id.startswith(run_id)]
        if len(found) != 1:
            problem = "is the beginning of several; give more of it" if found else "is not in the ledger"
            raise NotFoundError(f"run {run_id!r} of tenant {tenant_id!r} {problem}; list runs to see their ids")
        return found[0]


def _recorded_at(run: Run) -> datetime:
    assert run.recorded_at is not None
    return run.recorded_at


def _storable(text: str | None) -> str | None:
    """Escape what UTF-8 cannot encode: an error may quote a user's text that has half a surrogate pair."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _run(row: dict[str, Any]) -> Run:
    start, end = row.pop("window_start"), row.pop("window_end")
    recorded_at = row.pop("recorded_at").astimezone(UTC)
    window = None if start is None else TimeWindow(start.astimezone(UTC), end.astimezone(UTC))
    return Run(**row, window=window, recorded_at=recorded_at)
