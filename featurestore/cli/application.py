"""The command line: its commands, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from featurestore.cli import definitions, environment, training_sets, values
from featurestore.cli.invocation import AsJson, Conf, Profile, Tenant, common_options

app = typer.Typer(
    name="featurestore",
    help="An offline feature store on Spark and Delta Lake.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
groups = typer.Typer(no_args_is_help=True)
runs = typer.Typer(no_args_is_help=True)
training_set = typer.Typer(no_args_is_help=True)
app.add_typer(groups, name="groups", help="Feature groups in force.")
app.add_typer(runs, name="runs", help="The run ledger.")
app.add_typer(training_set, name="training-set", help="Training sets: build, list, show, rebuild, extend.")

app.command("plan")(common_options(definitions.plan))
app.command("apply")(common_options(definitions.apply))
app.command("ingest")(common_options(values.ingest))
app.command("materialize")(common_options(values.materialize))
app.command("doctor")(common_options(environment.doctor))
groups.command("list")(common_options(definitions.list_groups))
groups.command("show")(common_options(definitions.show_group))
runs.command("list")(common_options(values.list_runs))
training_set.command("build")(common_options(training_sets.build))
training_set.command("list")(common_options(training_sets.list_versions))
training_set.command("show")(common_options(training_sets.show))
training_set.command("rebuild")(common_options(training_sets.rebuild))
training_set.command("extend")(common_options(training_sets.extend))


@app.callback()
def options_before_the_command(
    context: typer.Context,
    conf: Conf = None,
    profile: Profile = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """An offline feature store on Spark and Delta Lake. The options may stand before or after the command."""
    context.obj = {"conf": conf, "profile": profile, "tenant": tenant, "as_json": as_json}


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
