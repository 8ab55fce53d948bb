"""Traces of lost commits in a table's log: checksums and checkpoints without their commit, or rows without any commit.

Delta reads a log up to the newest commit file that exists. If newer ones were lost, it would silently answer from an
older version, or start the table anew. Only tables on a local disk are checked, because there the check costs almost
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from os import SEEK_END
from pathlib import Path

from featurestore.errors import StorageError

_COMMIT = re.compile(r"(\d{20})\.json")
# Delta writes its checksums and checkpoints, and Hadoop its checksum of a commit, after the commit.
_AFTER = re.compile(r"(\d{20})\.(?:crc|checkpoint\..*)|\.(\d{20})\.json\.crc")
_REMEDY = (
    "put back copies of the lost files, or the whole folder from one backup; to continue without the rows of the lost "
    "commits, see Storage in docs/runbook.md"
)
_END_BYTES = 64


def check_log(table: str, begins_with_rows: bool = False) -> None:
    """Raise StorageError if commits of a local table are lost (the newest ones, or all), or the newest is cut off.

    Only losses that the folder shows are detected. A table that does not exist passes. With ``begins_with_rows``, rows
    without a commit pass, too: they belong to a writer that is still running or was stopped.
    """
    log = _log_of(table)
    # Another writer may add commits while the folder is read, so a commit that seems lost is looked up again.
    if lost_commit(_names(log)) and (lost := lost_commit(_names(log))):
        raise StorageError(f"table {table}: {log / lost} is lost, with the newest commits of the log; {_REMEDY}")
    newest = max(filter(_COMMIT.fullmatch, _names(log)), default=None)
    if newest is None:
        if not begins_with_rows:
            _check_no_rows(table, log)
    elif not _ends_well(log / newest):
        raise StorageError(f"table {table}: {log / newest} is cut off; {_REMEDY}")


def _check_no_rows(table: str, log: Path) -> None:
    """Raise StorageError if there are rows but no commits: the first commit creates the log, so commits were lost."""
    rows = (file for file in log.parent.rglob("*.parquet") if log not in file.parents)
    if log.is_dir() and (file := next(rows, None)) and not any(map(_COMMIT.fullmatch, _names(log))):
        raise StorageError(f"table {table}: {log} has no commits, and there are rows, such as {file}; {_REMEDY}")


def lost_commit(names: Iterable[str]) -> str | None:
    """Return the first commit missing after the newest, judged by a log's file names; None if none is missing."""
    newest = after = -1
    for name in names:
        if match := _COMMIT.fullmatch(name):
            newest = max(newest, int(match[1]))
        elif match := _AFTER.fullmatch(name):
            after = max(after, int(match[1] or match[2]))
    return f"{newest + 1:020d}.json" if after > newest else None


def _names(log: Path) -> list[str]:
    try:
        return [file.name for file in log.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _ends_well(commit: Path) -> bool:
    """Return whether a commit ends with the end of an action; an erasure may have padded it with spaces."""
    try:
        with commit.open("rb") as file:
            size = file.seek(0, SEEK_END)
            file.seek(max(0, size - _END_BYTES))
            end = file.read()
    except FileNotFoundError:
        # Delta deletes old commits once a checkpoint covers them.
        return True
    return size > 0 and (not end.strip() or end.rstrip().endswith(b"}"))


def _log_of(table: str) -> Path:
    return Path(table.removeprefix("file://")) / "_delta_log"
