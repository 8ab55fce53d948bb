"""Commands on feature values: ingest, materialize, runs list."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from featurestore.cli.invocation import Invocation

GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="The feature group.")]


def ingest(
    invocation: Invocation,
    group: GroupName,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A CSV, JSON lines or Parquet file, or a folder of them.")
    ],
    batch_id: Annotated[str | None, typer.Option("--batch-id", help="Written once, however often retried.")] = None,
    on_invalid: Annotated[
        Literal["quarantine", "fail"],
        typer.Option("--on-invalid", help="Keep bad rows with their reasons, or write nothing where there is one."),
    ] = "quarantine",
    format: Annotated[
        Literal["csv", "jsonl", "parquet"] | None,
        typer.Option("--format", help="The file's format, where its name does not tell it."),
    ] = None,
) -> None:
    """Write a file's rows to a feature group; bad rows are kept apart, with their reasons."""
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    from featurestore.stores.row_files import read_rows

    store = feature_store.tenant(tenant)
    with invocation.working(f"Writing {file} to {group}"):
        rows = read_rows(feature_store.spark, _place(file), feature_store.feature_group(group), tenant, format)
        result = store.write_batch(group, rows, batch_id, on_invalid)
    head = f"{group}: {result.written} rows written, {result.failed} rejected"
    if result.duplicate:
        head = f"{group}: this batch was written before; nothing was written now"
    version = "" if result.table_version is None else f", table version {result.table_version}"
    told: list[RenderableType] = [
        Text(f"{head} (batch {result.batch_id}{version})"),
        *_reasons(result.failed, result.errors),
    ]
    if result.failed:
        told.append(Text(f"The rejected rows: store.rejected({group!r}, {result.batch_id!r})"))
    invocation.answer({"group": group, "tenant": tenant, **asdict(result)}, *told)


def materialize(
    invocation: Invocation,
    group: GroupName,
    start: Annotated[str, typer.Option("--start", help="First instant of the window: 2026-11-01T00:00:00Z.")],
    end: Annotated[str, typer.Option("--end", help="First instant after the window.")],
    rerun: Annotated[bool, typer.Option("--rerun", help="Also where it was done: append what differs.")] = False,
) -> None:
    """Run a group's transformation over a window of time, and write its values once."""
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    _check_window(start, end, feature_store.settings.timestamp_zone)
    with invocation.working(f"Materializing {group} over [{start}, {end})"):
        result = feature_store.tenant(tenant).materialize_feature(group, start, end, rerun)
    if result.state == "skipped":
        head = f"{group} over {result.window}: done before, nothing to do; --rerun computes it again"
    else:
        head = f"{group} over {result.window}: {result.written} rows written, {result.failed} rejected"
    invocation.answer({"tenant": tenant, **asdict(result)}, Text(head), *_reasons(result.failed, result.errors))


def list_runs(
    invocation: Invocation,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 20,
) -> None:
    """List the tenant's runs: which job, which window, how it ended."""
    from pyspark.sql import functions as F

    tenant = invocation.required_tenant()
    frame = invocation.open().tenant(tenant).runs()
    runs = frame.orderBy(F.desc("recorded_at"), "run_id").limit(limit).toArrow().to_pylist()
    table = Table("recorded at", "job", "group", "window", "state", "written", "rejected", "error")
    for run in runs:
        table.add_row(
            _instant(run["recorded_at"]),
            run["job"],
            run["feature_group"],
            f"{_instant(run['window_start'])} to {_instant(run['window_end'])}",
            run["state"],
            _count(run["rows_written"]),
            _count(run["rows_failed"]),
            Text(run["error"] or ""),
        )
    invocation.answer(runs, table if runs else Text(f"There are no runs of {tenant} yet."))


def _place(file: str) -> str:
    """A local file by its full path: Spark may have been started in another folder."""
    return str(Path(file).absolute()) if Path(file).exists() else file


def _check_window(start: str, end: str, zone: str | None) -> None:
    from featurestore.definitions.time_window import TimeWindow

    try:
        TimeWindow.of(start, end, zone)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--start/--end") from error


def _reasons(failed: int, errors: dict[str, int]) -> list[RenderableType]:
    """Why rows were rejected, most frequent first; nothing where none was."""
    if not failed:
        return []
    table = Table("rejected because", "rows")
    table.columns[1].justify = "right"
    for reason, count in errors.items():
        table.add_row(Text(reason), str(count))
    return [table]


def _instant(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")


def _count(number: int | None) -> str:
    return "" if number is None else str(number)
