"""Backfill: cut a range of time into windows, and materialize the missing ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal, TypeAlias

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.durations import format_duration, parse_duration
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.display.description import Display, Mark, Table, Tone, counted
from featurestore.display.displayed import Displayed, Listing
from featurestore.errors import ExpectationError, InvalidArgumentError, JobFailedError, TransformationError
from featurestore.operations.context import Scope, check_stored
from featurestore.operations.instants import argument_count
from featurestore.operations.jobs.materialize import (
    MATERIALIZE,
    MaterializeResult,
    describe_windows,
    materialize,
    open_once,
)
from featurestore.stores.runner import is_gone
from featurestore.stores.small_tables.runs import Run

WindowState = Literal["done", "running", "failed", "interrupted", "missing"]
Order = Literal["oldest", "newest"]
# Called with the window's result, or with None if the window failed.
OnWindowDone: TypeAlias = Callable[[MaterializeResult | None], None]

MOST_WINDOWS = 100_000
# Each window in progress uses a thread.
MOST_PARALLEL = 256
_TONES: dict[WindowState, Tone] = {
    "done": "good",
    "running": "warning",
    "failed": "bad",
    "interrupted": "bad",
    "missing": "muted",
}


@dataclass(frozen=True)
class PlannedWindow:
    """A window and its state: ``interrupted`` if a run of it began and the run's process is gone."""

    window: TimeWindow
    state: WindowState

    @property
    def is_due(self) -> bool:
        """Whether to materialize the window. One that seems to run is due, too: its batch id prevents doubled rows."""
        return self.state != "done"


@dataclass(frozen=True)
class BackfillResult(Displayed):
    """What a backfill did: one result per due window, ordered by time, and how many windows were done before."""

    group: str
    results: tuple[MaterializeResult, ...]
    done_before: int

    @property
    def written(self) -> int:
        return sum(result.written for result in self.results)

    @property
    def failed(self) -> int:
        return sum(result.failed for result in self.results)

    def display(self) -> Display:
        """One line per window that this backfill did."""
        title = (
            f"{self.group}: {counted(len(self.results), 'window')} done, {self.done_before:,} were before; "
            f"{counted(self.written, 'row')} written, {self.failed:,} rejected"
        )
        return replace(describe_windows(self.results), title=title)


def describe_planned(planned: Sequence[PlannedWindow]) -> Display:
    """One line per window, with its state."""
    due = sum(each.is_due for each in planned)
    rows = tuple((each.window, Mark(each.state, _TONES[each.state])) for each in planned)
    return Display(f"{counted(len(planned), 'window')}, {due:,} to do", tables=(Table(("window", "state"), rows),))


def plan_backfill(
    scope: Scope, group: FeatureGroup, window: TimeWindow, every: timedelta | str
) -> Listing[PlannedWindow]:
    """The windows of length ``every`` that cover ``[start, end)``, oldest first, each with its state in the ledger.

    The last window may be shorter. Raises InvalidArgumentError, and TransformationError for a group without a
    transformation.
    """
    check_stored(group, "backfill")
    if not group.is_materialized:
        raise TransformationError(f"feature group {group.name!r} has no transformation to backfill")
    windows = window.split(_length(every, window))
    runs: dict[TimeWindow, list[Run]] = {}
    for run in scope.runs.of_job(scope.tenant_id, MATERIALIZE, group.name, group.version):
        if run.window is not None:
            runs.setdefault(run.window, []).append(run)
    return Listing((PlannedWindow(part, _state(runs.get(part, []))) for part in windows), describe_planned)


def _length(every: timedelta | str, window: TimeWindow) -> timedelta:
    try:
        length = parse_duration(every)
    except ValueError as error:
        raise InvalidArgumentError(f"every: {error}") from error
    if (window.end - window.start) / length > MOST_WINDOWS:
        raise InvalidArgumentError(
            f"every {format_duration(length)} cuts {window} into more than {MOST_WINDOWS} windows; "
            "give a longer duration"
        )
    return length


def _state(runs: Sequence[Run]) -> WindowState:
    if not runs:
        return "missing"
    if any(run.state == "succeeded" for run in runs):
        return "done"
    last = runs[-1]
    if last.state == "running":
        return "interrupted" if is_gone(last.runner) else "running"
    return "failed" if last.state == "failed" else "interrupted"


@dataclass(frozen=True, kw_only=True)
class BackfillRequest:
    """The planned windows, how many run at once, which come first, and the callback after each."""

    windows: Sequence[PlannedWindow]
    parallel: int
    order: Order
    on_window_done: OnWindowDone


def backfill(scope: Scope, group: FeatureGroup, request: BackfillRequest) -> BackfillResult:
    """Materialize the due windows, up to ``parallel`` at once; each succeeds or fails on its own.

    After an interruption the same call does what is still missing. A window that fails does not stop the others;
    JobFailedError then names the windows that failed. ``on_window_done`` is called after each window, with its result,
    or with None if it failed. Raises ExpectationError if windows broke the group's expectations.
    """
    argument_count("parallel", request.parallel, MOST_PARALLEL)
    if request.order not in ("oldest", "newest"):
        raise InvalidArgumentError(
            f"order is {request.order!r}; possible: 'oldest', 'newest' (which windows come first)"
        )
    due = [planned.window for planned in request.windows if planned.is_due]
    if request.order == "newest":
        due.reverse()
    results: list[MaterializeResult] = []
    failures: list[tuple[TimeWindow, Exception]] = []
    in_thread = _InThread(scope, group)
    with ThreadPoolExecutor(request.parallel) as pool:
        running = {pool.submit(in_thread.materialize, window): window for window in due}
        for window, ended in _as_they_end(running):
            error = ended.exception()
            if error is None:
                results.append(ended.result())
            elif isinstance(error, Exception):
                failures.append((window, error))
            else:
                raise error
            request.on_window_done(ended.result() if error is None else None)
    _require_all(group, due, failures)
    in_order = tuple(sorted(results, key=lambda result: result.window.start))
    done = BackfillResult(group.name, in_order, len(request.windows) - len(due))
    _require_expectations(done)
    return done


class _InThread(threading.local):
    """What the windows of one thread share: the group's transformation, its session and its sources."""

    def __init__(self, scope: Scope, group: FeatureGroup) -> None:
        self._scope, self._group = scope, group
        self._opening = open_once(scope, group)

    def materialize(self, window: TimeWindow) -> MaterializeResult:
        try:
            return materialize(self._scope, self._group, window, opening=self._opening)
        except BaseException:
            # Whatever failed may be due to what was opened.
            self._opening = open_once(self._scope, self._group)
            raise


def _as_they_end(
    running: dict[Future[MaterializeResult], TimeWindow],
) -> Iterator[tuple[TimeWindow, Future[MaterializeResult]]]:
    try:
        for ended in as_completed(running):
            yield running[ended], ended
    finally:
        # If the caller is interrupted, windows that have not begun are left for the next call.
        for future in running:
            future.cancel()


def _require_all(
    group: FeatureGroup, due: Sequence[TimeWindow], failures: Sequence[tuple[TimeWindow, Exception]]
) -> None:
    if not failures:
        return
    faults = "".join(f"\n- {window}: {type(error).__name__}: {error}" for window, error in failures[:5])
    more = f"\n- and {len(failures) - 5} more" if len(failures) > 5 else ""
    raise JobFailedError(
        f"backfill of {group.name!r}: {len(failures)} of {len(due)} windows failed, the others are done. Fix the "
        f"cause and run the same command again:{faults}{more}"
    ) from failures[0][1]


def _require_expectations(done: BackfillResult) -> None:
    broken = [result for result in done.results if result.broken]
    if broken:
        faults = "".join(f"\n- {result.window}: {'; '.join(result.broken)} ({result.state})" for result in broken[:5])
        raise ExpectationError(f"backfill of {done.group!r}: {len(broken)} windows break its expectations:{faults}")
