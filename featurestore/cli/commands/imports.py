"""The command import-feast: definitions from a Feast project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from featurestore.cli.invocation import Invocation
from featurestore.errors import InvalidArgumentError


def import_feast(
    invocation: Invocation,
    repo: Annotated[Path, typer.Argument(metavar="REPO", help="The folder of a Feast project, after `feast apply`.")],
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="FILE", help="A new file; features/feast.yml in the --conf folder by default."),
    ] = None,
    tenant_column: Annotated[
        str | None, typer.Option("--tenant-column", metavar="NAME", help="The sources' column with each row's tenant.")
    ] = None,
    shared: Annotated[bool, typer.Option("--shared", help="Let every tenant read all rows of the sources.")] = False,
) -> None:
    """Write definitions of a Feast project's views as groups in place; say what has no counterpart.

    Name either --tenant-column or --shared: Feast does not say to which tenant a row belongs.
    """
    if shared == (tenant_column is not None):
        raise typer.BadParameter("name one of the two", param_hint="--tenant-column / --shared")
    target = into or (invocation.conf or Path("conf")) / "features" / "feast.yml"
    _check_free(target)
    from featurestore.feast import import_repo

    with invocation.working(f"Reading the registry of {repo}"):
        imported = import_repo(repo, tenant_column=tenant_column)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(imported.text)
    except FileExistsError:
        _check_free(target)
    groups = {view: group.name for view, group in imported.groups.items()}
    document = {"path": str(target.resolve()), "groups": groups, "without_counterpart": dict(imported.notes)}
    views = Table("feature view", "group", "features")
    for view, group in imported.groups.items():
        views.add_row(Text(view), Text(group.name), Text(", ".join(feature.name for feature in group.features)))
    notes = Table("without a counterpart", "why, and what to do")
    for name, why in imported.notes.items():
        notes.add_row(Text(name), Text(why))
    end = Text(f"Written to {target}; `featurestore plan {target}` shows what it would change.")
    invocation.answer(document, views, *([notes] if imported.notes else []), end)


def _check_free(target: Path) -> None:
    if target.exists():
        raise InvalidArgumentError(f"{target} is there already; name another file with --into, or remove it first")
