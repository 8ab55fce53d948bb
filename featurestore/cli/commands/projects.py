"""The command init: start a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from featurestore import __version__
from featurestore.cli.invocation import Invocation


def init(
    invocation: Invocation,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A new or empty folder.")],
) -> None:
    """Write a small project to start from: settings, definitions, a job, and a test that passes unchanged."""
    from featurestore.cli.start_project import start_project

    files = start_project(path, __version__)
    table = Table("file", "what it is")
    for file, purpose in files.items():
        table.add_row(file, Text(purpose))
    readme = Text(f"{path / 'README.md'} says how to continue.")
    invocation.answer({"path": str(path.expanduser().resolve()), "files": files}, table, readme)
