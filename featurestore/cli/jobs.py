"""Commands for a scheduler: materialize, backfill, runs; each is a job for spark-submit, too."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from featurestore.cli.arguments import End, Start
from featurestore.cli.invocation import Invocation
from featurestore.cli.values import GroupName, reasons

Lookback = Annotated[
    str | None, typer.Option("--lookback", help="Compute windows done so shortly before again, for late rows: 2d.")
]


def materialize(
    invocation: Invocation,
    start: Start,
    end: End,
    group: Annotated[str | None, typer.Argument(metavar="[GROUP]", help="The feature group.")] = None,
    every_group: Annotated[bool, typer.Option("--all", help="Every group, each after those that it reads.")] = False,
    rerun: Annotated[bool, typer.Option("--rerun", help="Also where it was done: append what differs.")] = False,
    lookback: Lookback = None,
) -> None:
    """Run a group's transformation over a window of time, and write its values once."""
    if (group is None) != every_group:
        raise typer.BadParameter("name a group, or give --all", param_hint="GROUP")
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    _check_window(start, end, feature_store.settings.timestamp_zone)
    store = feature_store.tenant(tenant)
    with invocation.working(f"Materializing {group or 'every group'} over [{start}, {end})"):
        if group is None:
            results = store.materialize_all(start, end, rerun, lookback)
        else:
            results = [store.materialize_feature(group, start, end, rerun, lookback)]
    documents = [{"tenant": tenant, **asdict(result)} for result in results]
    shown = [part for result in results for part in _told(result)]
    invocation.answer(documents if group is None else documents[0], *shown)
    for result in results:
        result.require_expectations()


def _told(result: Any) -> list[Any]:
    if result.state == "skipped":
        head = f"{result.group} over {result.window}: done before, nothing to do; --rerun computes it again"
    elif result.state == "unpublished":
        head = f"{result.group} over {result.window}: left unpublished, {result.failed} rows among the rejected ones"
    else:
        head = f"{result.group} over {result.window}: {result.written} rows written, {result.failed} rejected"
    corrections = [
        Text(f"  {one.window}: computed again, {one.written} rows corrected, {one.failed} rejected")
        for one in result.corrected
    ]
    return [Text(head), *corrections, *reasons(result.failed, result.errors)]


def backfill(
    invocation: Invocation,
    group: GroupName,
    start: Start,
    end: End,
    every: Annotated[str, typer.Option("--every", help="The length of a window: 1d, 6h, 1w.")] = "1d",
    parallel: Annotated[int, typer.Option("--parallel", min=1, help="Windows at once.")] = 1,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="The latest windows first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the windows and their state; run none.")] = False,
) -> None:
    """Cut a range of time into windows and materialize those that are missing; run again after an interruption."""
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    _check_window(start, end, feature_store.settings.timestamp_zone)
    store = feature_store.tenant(tenant)
    planned = store.plan_backfill(group, start, end, every)
    if dry_run:
        table = Table("window", "state")
        for one in planned:
            table.add_row(str(one.window), one.state)
        return invocation.answer([asdict(one) for one in planned], table)
    due = sum(one.is_due for one in planned)
    with _progress(invocation) as progress:
        bar = progress.add_task(f"{group}: windows", total=due)
        done = store.backfill(
            group,
            start,
            end,
            every,
            parallel,
            "newest" if newest_first else "oldest",
            told=lambda result: progress.update(bar, advance=1),
        )
    head = (
        f"{group}: {len(done.results)} windows done, {done.done_before} were before; {done.written} rows written, {done.failed} "
        "rejected"
    )
    return invocation.answer({"tenant": tenant, **asdict(done)}, Text(head))


def _progress(invocation: Invocation) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


def show_run(
    invocation: Invocation,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Its id, or the beginning of it.")],
) -> None:
    """Show all that the ledger says of one run."""
    tenant = invocation.required_tenant()
    run = invocation.open().tenant(tenant).run(run_id)
    table = Table(show_header=False)
    for name, fact in asdict(run).items():
        if name != "window":
            table.add_row(name.replace("_", " "), Text("" if fact is None else str(fact)))
    table.add_row("window", Text("" if run.window is None else str(run.window)))
    invocation.answer(asdict(run), table)


def abandon_run(
    invocation: Invocation,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Its id, or the beginning of it.")],
) -> None:
    """Mark a run that is said to be running, and is not, as abandoned."""
    tenant = invocation.required_tenant()
    run = invocation.open().tenant(tenant).abandon_run(run_id)
    invocation.answer(asdict(run), Text(f"{run.run_id}: {run.state}"))


def list_runs(
    invocation: Invocation,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 20,
    of_store: Annotated[
        bool, typer.Option("--store", help="Of what is done for all tenants at once, such as vacuum.")
    ] = False,
) -> None:
    """List the tenant's runs: which job, which window, how it ended."""
    from pyspark.sql import functions as F

    if of_store:
        whose, frame = "the store", invocation.open().runs()
    else:
        whose = invocation.required_tenant()
        frame = invocation.open().tenant(whose).runs()
    runs = frame.orderBy(F.desc("recorded_at"), "run_id").limit(limit).toArrow().to_pylist()
    table = Table("run", "recorded at", "job", "group", "window", "state", "written", "rejected", "error")
    for run in runs:
        table.add_row(
            run["run_id"][:12],
            _instant(run["recorded_at"]),
            run["job"],
            run["feature_group"],
            f"{_instant(run['window_start'])} to {_instant(run['window_end'])}" if run["window_start"] else "",
            run["state"],
            _count(run["rows_written"]),
            _count(run["rows_failed"]),
            Text(run["error"] or ""),
        )
    invocation.answer(runs, table if runs else Text(f"There are no runs of {whose} yet."))


def _check_window(start: str, end: str, zone: str | None) -> None:
    from featurestore.definitions.time_window import TimeWindow

    try:
        TimeWindow.of(start, end, zone)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--start/--end") from error


def _instant(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")


def _count(number: int | None) -> str:
    return "" if number is None else str(number)
