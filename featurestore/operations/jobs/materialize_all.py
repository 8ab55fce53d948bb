"""Materialize every group that computes its values, each after the groups that it reads."""

from __future__ import annotations

from datetime import timedelta

from featurestore.definitions.dependencies import in_order
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.display.displayed import Listing
from featurestore.errors import JobFailedError
from featurestore.operations.context import Scope
from featurestore.operations.jobs.materialize import MaterializeResult, describe_windows, materialize


def materialize_all(
    scope: Scope, window: TimeWindow, *, rerun: bool, lookback: timedelta | None
) -> Listing[MaterializeResult]:
    """Materialize one window of all groups with a transformation, in the order of their dependencies.

    A group that fails, or leaves its rows unpublished, stops only the groups that read it. JobFailedError then names
    all of these groups, and the next call does what is missing.
    """
    groups = [group for group in in_order(scope.context.refresh().feature_groups()) if group.transformation is not None]
    results: list[MaterializeResult] = []
    stopped: dict[str, str] = {}
    for group in groups:
        waits_for = [name for name in group.upstream if name in stopped]
        if waits_for:
            stopped[group.name] = f"not run, since it reads {', '.join(waits_for)}"
            continue
        try:
            result = materialize(scope, group, window, rerun=rerun, lookback=lookback)
        except Exception as error:  # a transformation may raise anything; only its readers stop
            stopped[group.name] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            continue
        results.append(result)
        if result.state == "unpublished":
            stopped[group.name] = f"ExpectationError: {'; '.join(result.broken)}"
    if stopped:
        reasons = "".join(f"\n- {name}: {reason}" for name, reason in stopped.items())
        raise JobFailedError(
            f"{len(stopped)} of {len(groups)} groups were not materialized over {window}; the others are done:{reasons}"
        )
    return Listing(results, describe_windows)
