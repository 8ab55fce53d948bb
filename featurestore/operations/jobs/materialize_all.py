"""Materialize every group that computes its values, each after the groups that it reads."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import timedelta

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.sets.dependencies import in_order
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.display.displayed import Listing
from featurestore.errors import JobFailedError
from featurestore.operations.context import Scope
from featurestore.operations.instants import argument_count
from featurestore.operations.jobs.backfill import MOST_PARALLEL
from featurestore.operations.jobs.materialize import MaterializeResult, describe_windows, materialize


def materialize_all(
    scope: Scope, window: TimeWindow, *, rerun: bool, lookback: timedelta | None, parallel: int
) -> Listing[MaterializeResult]:
    """Materialize one window of all groups with a transformation, in the order of their dependencies.

    Up to ``parallel`` groups run at once. A group that fails, or leaves its rows unpublished, stops only the groups
    that read it. JobFailedError then names all of these groups, and the next call does what is missing.
    """
    argument_count("parallel", parallel, MOST_PARALLEL)
    groups = [group for group in in_order(scope.context.refresh().feature_groups()) if group.is_materialized]
    work = _Work(groups)
    with ThreadPoolExecutor(parallel) as pool:
        running: dict[Future[MaterializeResult], FeatureGroup] = {}
        try:
            while True:
                for group in work.ready():
                    running[pool.submit(materialize, scope, group, window, rerun=rerun, lookback=lookback)] = group
                if not running:
                    break
                for ended in wait(running, return_when=FIRST_COMPLETED).done:
                    work.end(running.pop(ended), ended)
        finally:
            # If the caller is interrupted, groups that have not begun are left for the next call.
            for future in running:
                future.cancel()
    if work.stopped:
        names = [group.name for group in groups if group.name in work.stopped]
        reasons = "".join(f"\n- {name}: {work.stopped[name]}" for name in names)
        raise JobFailedError(
            f"{len(work.stopped)} of {len(groups)} groups were not materialized over {window}; the others are done:"
            f"{reasons}"
        )
    return Listing((work.results[group.name] for group in groups), describe_windows)


@dataclass
class _Work:
    """The groups that have not begun, in the order of their dependencies; results and failures by group."""

    waiting: list[FeatureGroup]
    results: dict[str, MaterializeResult] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._unfinished = {group.name for group in self.waiting}

    def ready(self) -> list[FeatureGroup]:
        """Take the groups that can begin. Groups that read one that was stopped are stopped."""
        begin, still = [], []
        for group in self.waiting:
            waits_for = [name for name in group.upstream if name in self.stopped]
            if waits_for:
                self._stop(group, f"not run, since it reads {', '.join(waits_for)}")
            elif self._unfinished.isdisjoint(group.upstream):
                begin.append(group)
            else:
                still.append(group)
        self.waiting = still
        return begin

    def end(self, group: FeatureGroup, ended: Future[MaterializeResult]) -> None:
        error = ended.exception()
        if error is not None:
            # A transformation may raise anything; only the group's readers stop.
            if not isinstance(error, Exception):
                raise error
            self._stop(group, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
            return
        result = ended.result()
        if result.state == "unpublished":
            self._stop(group, f"ExpectationError: {'; '.join(result.broken)}")
            return
        self.results[group.name] = result
        self._unfinished.discard(group.name)

    def _stop(self, group: FeatureGroup, reason: str) -> None:
        self.stopped[group.name] = reason
        self._unfinished.discard(group.name)
