"""What a table's log still has of commits that are gone: their checksums and checkpoints, or rows without any commit.

Delta reads a log up to the newest commit that is there. Where newer ones were lost, it would answer from an older version, or
begin the table anew, without a word. A local disk is looked at, where that costs next to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from os import SEEK_END
from pathlib import Path

from featurestore.errors import StorageError

_COMMIT = re.compile(r"(\d{20})\.json")
# Delta's checksums and checkpoints, and Hadoop's checksum of a commit, come after the commit.
_AFTER = re.compile(r"(\d{20})\.(?:crc|checkpoint\..*)|\.(\d{20})\.json\.crc")
_REMEDY = (
    "put back copies of the lost files, or the whole folder from one backup; to go on with what is left, and without the rows "
    "of the lost commits, see Storage in docs/runbook.md"
)
_END = 64


def check_log(table: str, begins_with_rows: bool = False) -> None:
    """Raise StorageError where commits of a local table are known to be lost: the newest ones, or all.

    Also where the newest one is cut off. A table that is not there is none of these. ``begins_with_rows``: rows without a
    commit are those of a writer that is under way, or was stopped.
    """
    log = _log_of(table)
    # Commits come while the folder is read: what seems lost is looked for again.
    if lost_commit(_names(log)) and (lost := lost_commit(_names(log))):
        raise StorageError(f"table {table}: {log / lost} is lost, with the newest commits of the log; {_REMEDY}")
    newest = max(filter(_COMMIT.fullmatch, _names(log)), default=None)
    if newest is None:
        if not begins_with_rows:
            _check_no_rows(table, log)
    elif not _ends_well(log / newest):
        raise StorageError(f"table {table}: {log / newest} is cut off; {_REMEDY}")


def _check_no_rows(table: str, log: Path) -> None:
    """The log has no commit; where there are rows, it had one: a log is begun by the first commit."""
    rows = (file for file in log.parent.rglob("*.parquet") if log not in file.parents)
    if log.is_dir() and (file := next(rows, None)) and not any(map(_COMMIT.fullmatch, _names(log))):
        raise StorageError(f"table {table}: {log} has no commits, and there are rows, such as {file}; {_REMEDY}")


def lost_commit(names: Iterable[str]) -> str | None:
    """The first commit that is missing after the newest one, by the names in a log's folder; None where none is known of."""
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
    """Whether a commit ends with the end of an action; an erasure may have filled it up with spaces."""
    try:
        with commit.open("rb") as file:
            size = file.seek(0, SEEK_END)
            file.seek(max(0, size - _END))
            end = file.read()
    except FileNotFoundError:
        # Old commits are cleaned away once there is a checkpoint.
        return True
    return size > 0 and (not end.strip() or end.rstrip().endswith(b"}"))


def _log_of(table: str) -> Path:
    return Path(table.removeprefix("file://")) / "_delta_log"
