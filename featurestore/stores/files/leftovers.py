"""Temporary folders beside the files and folders that they become, and those that killed attempts left."""

from __future__ import annotations

import re

from featurestore.stores.file_system import Files
from featurestore.stores.runner import is_gone

# A file in a temporary folder that names the process that writes there.
RUNNER = "_runner"


def unfinished(files: Files, target: str) -> list[str]:
    """List the temporary folders beside a target, of attempts that never ended or still run."""
    parent, _, name = target.rpartition("/")
    temporary = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{32}}")
    return [f"{parent}/{folder}" for folder in files.folders_in(parent or "/") if temporary.fullmatch(folder)]


def left_behind(files: Files, target: str) -> list[str]:
    """List the temporary folders beside a target whose processes have certainly ended.

    The folder of a process on another machine is not among them, nor one that names no process.
    """
    return [folder for folder in unfinished(files, target) if is_gone(_runner_in(files, folder))]


def remove_left_behind(files: Files, target: str) -> None:
    """Remove the temporary folders of killed attempts."""
    for folder in left_behind(files, target):
        files.delete(folder)


def _runner_in(files: Files, folder: str) -> str | None:
    runner = f"{folder}/{RUNNER}"
    # Killed before its first file was complete, an attempt left no rows; until then, one that runs looks the same.
    return (files.read_text(runner) or None) if files.exists(runner) else None
