"""The command line: its commands, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from featurestore import __version__
from featurestore.cli import (
    catalog,
    definitions,
    environment,
    jobs,
    maintenance,
    projects,
    reading,
    statistics,
    training_sets,
    values,
    vectors,
)
from featurestore.cli.invocation import AsJson, Conf, Log, Profile, Tenant, common_options

app = typer.Typer(
    name="featurestore",
    help="An offline feature store on Spark and Delta Lake.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
groups = typer.Typer(no_args_is_help=True)
runs = typer.Typer(no_args_is_help=True)
rejected = typer.Typer(no_args_is_help=True)
training_set = typer.Typer(no_args_is_help=True)
catalogue = typer.Typer(no_args_is_help=True)
app.add_typer(groups, name="groups", help="Feature groups in force.")
app.add_typer(runs, name="runs", help="The run ledger.")
app.add_typer(rejected, name="rejected", help="Rows that broke rules, with their reasons.")
app.add_typer(training_set, name="training-set", help="Training sets: build, compare, audit, export.")
app.add_typer(catalogue, name="catalog", help="The catalogue of features, as pages to look at.")

app.command("init")(common_options(projects.init))
app.command("plan")(common_options(definitions.plan))
app.command("apply")(common_options(definitions.apply))
app.command("ingest")(common_options(values.ingest))
app.command("write")(common_options(values.write))
app.command("get")(common_options(reading.get))
app.command("history")(common_options(reading.history))
app.command("batch")(common_options(reading.batch))
app.command("join")(common_options(reading.join))
app.command("aggregate")(common_options(reading.aggregate))
app.command("search")(common_options(reading.search))
app.command("stats")(common_options(reading.stats))
app.command("entity-timestamps")(common_options(reading.entity_timestamps))
app.command("fine-tuning")(common_options(training_sets.fine_tuning))
app.command("materialize")(common_options(jobs.materialize))
app.command("backfill")(common_options(jobs.backfill))
app.command("cleanup")(common_options(maintenance.cleanup))
app.command("vacuum")(common_options(maintenance.vacuum))
app.command("optimize")(common_options(maintenance.optimize))
app.command("erase")(common_options(maintenance.erase))
app.command("erasures")(common_options(maintenance.list_erasures))
app.command("profile")(common_options(statistics.profile))
app.command("drift")(common_options(statistics.drift))
app.command("metrics")(common_options(statistics.metrics))
app.command("sync-embeddings")(common_options(vectors.sync_embeddings))
app.command("doctor")(common_options(environment.doctor))
groups.command("list")(common_options(definitions.list_groups))
groups.command("show")(common_options(definitions.show_group))
runs.command("list")(common_options(jobs.list_runs))
runs.command("show")(common_options(jobs.show_run))
runs.command("abandon")(common_options(jobs.abandon_run))
rejected.command("list")(common_options(values.list_rejected))
rejected.command("retry")(common_options(values.retry_rejected))
training_set.command("load")(common_options(training_sets.load))
training_set.command("build")(common_options(training_sets.build))
training_set.command("list")(common_options(training_sets.list_versions))
training_set.command("show")(common_options(training_sets.show))
training_set.command("rebuild")(common_options(training_sets.rebuild))
training_set.command("extend")(common_options(training_sets.extend))
training_set.command("audit")(common_options(training_sets.audit))
training_set.command("diff")(common_options(training_sets.diff))
training_set.command("export")(common_options(training_sets.export))
training_set.command("delete")(common_options(training_sets.delete))
catalogue.command("build")(common_options(catalog.build))


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"featurestore {__version__}")
        raise typer.Exit


@app.callback()
def options_before_the_command(
    context: typer.Context,
    conf: Conf = None,
    profile: Profile = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
    log: Log = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """An offline feature store on Spark and Delta Lake. The options may stand before or after the command."""
    context.obj = {"conf": conf, "profile": profile, "tenant": tenant, "as_json": as_json, "log": log}


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. What is not a FeatureStoreError is raised."""
    try:
        app(args=list(arguments), prog_name="featurestore")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that ``arguments`` (by default the process's own) name, and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def task() -> None:
    """The process's own command, for a platform that calls an entry point: it returns where ``main`` exits with code 0.

    Some, as Databricks' wheel tasks, take any SystemExit for a failure.
    """
    code = run(sys.argv[1:])
    if code:
        sys.exit(code)
