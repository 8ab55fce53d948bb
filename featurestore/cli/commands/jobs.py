"""Commands for a scheduler, materialize and backfill, which are also jobs for spark-submit; and the run ledger."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from featurestore.cli.arguments import End, Start
from featurestore.cli.commands.values import GroupName
from featurestore.cli.invocation import Invocation
from featurestore.display.description import counted
from featurestore.operations.instants import MOST_ROWS

if TYPE_CHECKING:
    from featurestore.operations.jobs.materialize import MaterializeResult
    from featurestore.stores.small_tables.runs import Run

Lookback = Annotated[
    str | None,
    typer.Option("--lookback", help="Also recompute windows that ended this shortly before, for late rows: 2d."),
]


def materialize(
    invocation: Invocation,
    start: Start,
    end: End,
    group: Annotated[str | None, typer.Argument(metavar="GROUP", help="The feature group.")] = None,
    every_group: Annotated[
        bool, typer.Option("--all", help="Every group, each after the groups that it reads.")
    ] = False,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Compute a finished window again; append what differs.")
    ] = False,
    lookback: Lookback = None,
    parallel: Annotated[int, typer.Option("--parallel", min=1, help="With --all, how many groups run at once.")] = 1,
) -> None:
    """Run a group's transformation over a window of time, and write its values once."""
    if (group is None) != every_group:
        raise typer.BadParameter("name a group, or give --all", param_hint="GROUP")
    if parallel > 1 and not every_group:
        raise typer.BadParameter("one group runs alone; give --all with it", param_hint="--parallel")
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    _check_window(start, end, feature_store.settings.timestamp_zone)
    store = feature_store.tenant(tenant)
    with invocation.working(f"Materializing {group or 'every group'} over [{start}, {end})"):
        if group is None:
            results = [*store.materialize_all(start, end, rerun=rerun, lookback=lookback, parallel=parallel)]
        else:
            results = [store.materialize_feature(group, start, end, rerun=rerun, lookback=lookback)]
    documents = [{"tenant": tenant, **asdict(result)} for result in results]
    invocation.answer(documents if group is None else documents[0], *results)
    for result in results:
        result.require_expectations()


def backfill(
    invocation: Invocation,
    group: GroupName,
    start: Start,
    end: End,
    every: Annotated[str, typer.Option("--every", help="The length of a window: 1d, 6h, 1w.")] = "1d",
    parallel: Annotated[int, typer.Option("--parallel", min=1, help="How many windows run at once.")] = 1,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="The latest windows first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the windows and their state; run none.")] = False,
) -> None:
    """Cut a range of time into windows and materialize those that are missing; run again after an interruption."""
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    _check_window(start, end, feature_store.settings.timestamp_zone)
    store = feature_store.tenant(tenant)
    planned = store.plan_backfill(group, start, end, every=every)
    if dry_run:
        return invocation.answer([asdict(window) for window in planned], planned)
    due = sum(window.is_due for window in planned)
    rows = 0

    def on_window_done(result: MaterializeResult | None) -> None:
        nonlocal rows
        rows += 0 if result is None else result.written
        bar.describe(f"{group}: {counted(rows, 'row')}")
        bar.advance(1)

    with invocation.counting(feature_store, f"Backfilling {group}", "windows") as bar:
        bar.rows(0, due)
        result = store.backfill(
            group,
            start,
            end,
            every=every,
            parallel=parallel,
            order="newest" if newest_first else "oldest",
            on_window_done=on_window_done,
        )
    invocation.summary(feature_store, bar, result.written)
    return invocation.answer({"tenant": tenant, **asdict(result)}, Text(result.display().title))


def show_run(
    invocation: Invocation,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or the beginning of it.")],
) -> None:
    """Show everything that the ledger records about one run."""
    tenant = invocation.required_tenant()
    run = invocation.open().tenant(tenant).run(run_id)
    invocation.answer(asdict(run), run)


def abandon_run(
    invocation: Invocation,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or the beginning of it.")],
) -> None:
    """Mark a run as abandoned: the ledger shows it as running, but its process is gone."""
    tenant = invocation.required_tenant()
    run = invocation.open().tenant(tenant).abandon_run(run_id)
    invocation.answer(asdict(run), Text(f"{run.run_id}: {run.state}"))


def list_runs(
    invocation: Invocation,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MOST_ROWS, help="Maximum number of runs, newest first.")
    ] = 20,
    of_store: Annotated[
        bool, typer.Option("--store", help="The runs of store-wide jobs, such as vacuum, instead.")
    ] = False,
) -> None:
    """List the tenant's runs: job, window, state."""
    if of_store:
        runs = invocation.open().latest_runs(limit=limit)
    else:
        tenant = invocation.required_tenant()
        runs = invocation.open().tenant(tenant).latest_runs(limit=limit)
    invocation.answer([_row(run) for run in runs], runs)


def _row(run: Run) -> dict[str, Any]:
    """The run as a row of the ledger's table."""
    window = {"window_start": run.window and run.window.start, "window_end": run.window and run.window.end}
    return {name: fact for name, fact in asdict(run).items() if name not in ("window", "sequence")} | window


def _check_window(start: str, end: str, zone: str | None) -> None:
    from featurestore.definitions.values.time_window import TimeWindow

    try:
        TimeWindow.of(start, end, zone)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--start/--end") from error
