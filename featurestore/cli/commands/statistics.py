"""Commands that watch features: profile, drift, metrics; each is also a job for spark-submit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from featurestore.cli.arguments import report_option
from featurestore.cli.commands.maintenance import Groups
from featurestore.cli.commands.values import GroupName
from featurestore.cli.invocation import Invocation

if TYPE_CHECKING:
    from featurestore.offline_store import OfflineStore
    from featurestore.operations.statistics.drift import Compared


def profile(
    invocation: Invocation,
    groups: Groups = None,
    start: Annotated[str | None, typer.Option("--start", help="Only dates from this instant on.")] = None,
    end: Annotated[str | None, typer.Option("--end", help="Only dates before this instant.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Also dates whose rows did not change.")] = False,
    report: Annotated[
        Path | None, report_option("Write the report (HTML) of the one group named to this file.")
    ] = None,
) -> None:
    """Compute the statistics of every feature and date whose rows changed since the last profile."""
    if report is not None and len(groups or ()) != 1:
        raise typer.BadParameter("a report covers one group; name exactly one", param_hint="--report")
    tenant = invocation.required_tenant()
    store = invocation.open().tenant(tenant)
    with invocation.working(f"Profiling {', '.join(groups or ['every group'])}"):
        result = store.profile(groups or None, start, end, full=full)
    lines = []
    if report is not None and groups:
        from featurestore.reports.profile_report import profile_report

        lines = [Text(f"Report: {profile_report(store.profiled(groups[0], start, end), report)}")]
    invocation.answer([asdict(profiled) for profiled in result.groups], result, *lines)


def drift(
    invocation: Invocation,
    group: GroupName,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="2026-10-01/2026-11-01, or a length before the current one: 28d.")
    ] = None,
    current: Annotated[str | None, typer.Option("--current", help="A period in the same form.")] = None,
    training_set: Annotated[
        str | None, typer.Option("--training-set", help="The baseline is this saved set: NAME, or NAME@VERSION.")
    ] = None,
    feature: Annotated[list[str] | None, typer.Option("--feature", help="Only this feature; may be repeated.")] = None,
    report: Annotated[Path | None, report_option("Write the report (HTML) to this file.")] = None,
    no_refresh: Annotated[
        bool, typer.Option("--no-refresh", help="Compare the existing profiles; do not profile changed dates first.")
    ] = False,
) -> None:
    """Compare the distributions of a group's features in two periods, or in a training set and now.

    Exit code 22 on drift.
    """
    if baseline is not None and training_set is not None:
        raise typer.BadParameter("give either --baseline or --training-set", param_hint="--baseline/--training-set")
    tenant = invocation.required_tenant()
    store = invocation.open().tenant(tenant)
    before: Compared | None = baseline if training_set is None else _saved(store, training_set)
    with invocation.working(f"Comparing {group}"):
        result = store.drift(group, baseline=before, current=current, features=feature or None, refresh=not no_refresh)
    lines = []
    if report is not None:
        from featurestore.reports.drift_report import drift_report

        lines = [Text(f"Report: {drift_report(result, report)}")]
    invocation.answer(asdict(result), result, *lines)
    result.require_none()


def _saved(store: OfflineStore, text: str) -> Compared:
    from featurestore.data_loader import FeatureDataLoader

    name, _, version = text.partition("@")
    if version and not version.isdigit():
        raise typer.BadParameter(f"{text!r} is not NAME or NAME@VERSION", param_hint="--training-set")
    return FeatureDataLoader(store).get(name, int(version) if version else None)


def metrics(
    invocation: Invocation,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A local file whose name ends in .prom.")],
) -> None:
    """Write metrics of the tenant's jobs and groups to a file in Prometheus text format."""
    tenant = invocation.required_tenant()
    store = invocation.open().tenant(tenant)
    written = store.write_metrics(path)
    invocation.answer({"path": str(written)}, Text(f"Wrote {written}"))
