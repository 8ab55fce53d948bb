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
    """One window of all groups with a transformation, in the order of their dependencies.

    A group that fails, or leaves its rows unpublished, stops those that read it, and no others; JobFailedError then
    tells of all of them, and a next call does what is missing.
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
        except Exception as error:  # whatever a transformation raises: it is told, and stops only what reads it
            stopped[group.name] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            continue
        results.append(result)
        if result.state == "unpublished":
            stopped[group.name] = f"ExpectationError: {'; '.join(result.broken)}"
    if stopped:
        told = "".join(f"\n- {name}: {why}" for name, why in stopped.items())
        raise JobFailedError(
            f"{len(stopped)} of {len(groups)} groups were not materialized over {window}; the others are done:{told}"
        )
    return Listing(results, describe_windows)
