"""The command line: its commands and its exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, NoReturn

import typer

from featurestore import __version__
from featurestore.cli.commands import (
    catalog,
    definitions,
    environment,
    imports,
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
derived = typer.Typer(no_args_is_help=True)
runs = typer.Typer(no_args_is_help=True)
rejected = typer.Typer(no_args_is_help=True)
training_set = typer.Typer(no_args_is_help=True)
catalogue = typer.Typer(no_args_is_help=True)

# Panels of the help, each for something that a user wants to do.
_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Start": {"init": projects.init, "doctor": environment.doctor, "log-store": environment.log_store},
    "Define": {"plan": definitions.plan, "apply": definitions.apply, "import-feast": imports.import_feast},
    "Write": {"ingest": values.ingest, "write": values.write},
    "Compute": {"materialize": jobs.materialize, "backfill": jobs.backfill},
    "Read": {
        "get": reading.get,
        "history": reading.history,
        "batch": reading.batch,
        "join": reading.join,
        "aggregate": reading.aggregate,
        "search": reading.search,
        "stats": reading.stats,
    },
    "Training data": {"entity-timestamps": reading.entity_timestamps, "fine-tuning": training_sets.fine_tuning},
    "Watch": {"profile": statistics.profile, "drift": statistics.drift, "metrics": statistics.metrics},
    "Keep up": {
        "sync-embeddings": vectors.sync_embeddings,
        "cleanup": maintenance.cleanup,
        "optimize": maintenance.optimize,
        "vacuum": maintenance.vacuum,
        "erase": maintenance.erase,
        "erasures": maintenance.list_erasures,
    },
}
for _panel, _commands in _COMMANDS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_panel)(common_options(_command))
app.add_typer(groups, name="groups", help="Feature groups in force: list, show.", rich_help_panel="Define")
app.add_typer(derived, name="derived", help="Derived features in force: list, show.", rich_help_panel="Define")
app.add_typer(
    catalogue, name="catalog", help="The catalogue of features as a static site: build.", rich_help_panel="Define"
)
app.add_typer(
    rejected, name="rejected", help="Rows that broke rules, with their reasons: list, retry.", rich_help_panel="Write"
)
app.add_typer(runs, name="runs", help="The run ledger: list, show, abandon.", rich_help_panel="Compute")
app.add_typer(
    training_set,
    name="training-set",
    help="Training sets: build, show, compare, audit, export.",
    rich_help_panel="Training data",
)
derived.command("list")(common_options(definitions.list_derived))
derived.command("show")(common_options(definitions.show_derived))
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


def _show_version(requested: bool) -> None:
    if requested:
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
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """An offline feature store on Spark and Delta Lake. The options may come before or after the command."""
    options = {"conf": conf, "profile": profile, "tenant": tenant, "as_json": as_json, "log": log}
    context.obj = {**(context.obj or {}), **options}


def run(arguments: Sequence[str], on_step: Callable[[str], None] | None = None) -> int:
    """Run one command; returns its exit code. Raises any error that is not a FeatureStoreError.

    ``on_step``: as in ``FeatureStore.open``.
    """
    try:
        app(args=list(arguments), prog_name="featurestore", obj={"on_step": on_step})
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command in ``arguments`` (the process's own by default), and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def task() -> None:
    """Run the process's own command for a platform that calls an entry point; return, not exit, on success.

    Some platforms, such as Databricks' wheel tasks, take any SystemExit for a failure.
    """
    code = run(sys.argv[1:])
    if code:
        sys.exit(code)
