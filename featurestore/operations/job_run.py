"""Record every run of a job in the ledger: its start, and then its end or the error that stopped it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal
from uuid import uuid4

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.errors import InvalidArgumentError
from featurestore.operations.context import Context, Scope
from featurestore.stores.runner import is_gone, this_runner
from featurestore.stores.small_tables.rows import written_json
from featurestore.stores.small_tables.runs import Run
from featurestore.stores.storage_faults import storage_error

# The tenant id of store-wide runs; no tenant can have it.
STORE = "_store"


class RunningJob:
    """A run in progress. ``report`` adds the facts that its last record in the ledger will hold."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.facts: dict[str, Any] = {}
        self.state: Literal["succeeded", "failed"] = "succeeded"

    def report(self, details: dict[str, Any] | None = None, **facts: Any) -> None:
        """Add facts to the run's last record: ``rows_written``, ``rows_failed``, ``table_version``, and ``details``.

        ``details`` holds what only this job reports; it is stored as JSON.
        """
        self.facts |= facts
        if details is not None:
            self.facts["details"] = written_json(details, f"the details of {self.run.job} run {self.run.run_id}")

    def fail(self, error: str) -> None:
        """End the run as failed without raising; the job's result reports the failure."""
        self.state = "failed"
        self.facts["error"] = error[:4000]


@contextmanager
def recorded_run(
    scope: Scope,
    job: str,
    group: FeatureGroup | None = None,
    window: TimeWindow | None = None,
    earlier: Sequence[Run] | None = None,
) -> Iterator[RunningJob]:
    """Record that a job runs, and then how it ended; an exception is recorded as a failure and re-raised.

    First, earlier runs of the same job on the same group and window are marked as abandoned if their process is gone.
    ``earlier``: these runs, if they have been read; the run then counts as one attempt more.
    """
    scope.runs.create()
    name, version = ("", 0) if group is None else (group.name, group.version)
    attempt = 1 if earlier is None else len(earlier) + 1
    for other in scope.runs.of_job(scope.tenant_id, job, name, version) if earlier is None else earlier:
        if other.state == "running" and other.window == window and is_gone(other.runner):
            abandon(scope.context, other, "its process is gone; the next run of the job found it so")
    run = Run(
        tenant_id=scope.tenant_id,
        run_id=uuid4().hex,
        job=job,
        feature_group=name,
        group_version=version,
        window=window,
        attempt=attempt,
        code_version=scope.context.code_version,
        runner=this_runner(),
    )
    running = RunningJob(run)
    scope.runs.record(run, scope.now())
    scope.step(f"{job}.started")
    try:
        yield running
    except BaseException as raised:
        plain = storage_error(raised)
        error = plain or raised
        failed = run.ended("failed", **(running.facts | {"error": f"{type(error).__name__}: {error}"[:4000]}))
        scope.runs.record(failed, scope.now())
        if plain is not None:
            raise plain from raised
        raise
    scope.step(f"{job}.done")
    scope.runs.record(run.ended(running.state, **running.facts), scope.now())
    scope.step(f"{job}.recorded")


def abandon(context: Context, run: Run, reason: str) -> Run:
    """Mark a run as abandoned."""
    ended = replace(run, state="abandoned", sequence=run.sequence + 1, error=reason)
    context.runs.record(ended, context.clock())
    return ended


def abandon_run(context: Context, run: Run) -> Run:
    """Mark a run as abandoned for a person who knows that it has stopped.

    Raises InvalidArgumentError for a run that ended.
    """
    if run.state != "running":
        raise InvalidArgumentError(f"run {run.run_id!r} is {run.state}; only a running run can be abandoned")
    return abandon(context, run, "abandoned by hand")
