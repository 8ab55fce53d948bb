"""What a table's commits say about removed files, and the commits by which a vacuum without Spark says it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from featurestore.stores.delta.log import LogCommit
from featurestore.stores.delta.own_commits import OwnCommit
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.places import Folder

_START, _END = "VACUUM START", "VACUUM END"
_REMOVED = ("numRemovedFiles", "numTargetFilesRemoved", "numTargetDeletionVectorsAdded", "numDeletionVectorsAdded")


@dataclass(frozen=True)
class Commit:
    """What a commit says about files: whether it removed any from the newest version, and when.

    ``vacuumed_before`` is set for a vacuum: it deleted files that had left the newest version before this instant.
    """

    version: int
    at: datetime
    removes_files: bool
    vacuumed_before: datetime | None = None

    @classmethod
    def of(cls, commit: LogCommit) -> Commit:
        vacuumed = None
        if commit.operation == _START and commit.metric("numFilesToDelete"):
            parameters = commit.info["operationParameters"]
            # A vacuum without hours of its own goes by the duration in the table's properties.
            name = "specified" if "specifiedRetentionMillis" in parameters else "default"
            vacuumed = commit.at - timedelta(milliseconds=int(parameters[f"{name}RetentionMillis"]))
        return cls(commit.version, commit.at, any(commit.metric(name) for name in _REMOVED), vacuumed)


def commits(table: DeltaTable) -> list[Commit]:
    """Return all commits that the table's log still holds, newest first."""
    return [Commit.of(commit) for commit in table.history()]


def removed_by_last_vacuum(table: DeltaTable) -> tuple[int, int]:
    """Return the number and the bytes of what the vacuum that has just ended removed, by its commit."""
    for commit in table.history(limit=10):
        if commit.operation == _START:
            return commit.metric("numFilesToDelete"), commit.metric("sizeOfDataToDelete")
    raise AssertionError(f"the history of {table} does not contain its vacuum")


def record_start(folder: Folder, after: int, horizon: timedelta, files: int, size: int) -> int:
    """Commit that a vacuum is about to remove files, as Spark's vacuum does; returns the commit's version."""
    parameters = {"retentionCheckEnabled": False, "specifiedRetentionMillis": horizon // timedelta(milliseconds=1)}
    metrics = {"numFilesToDelete": files, "sizeOfDataToDelete": size}
    return _commit(folder, after, OwnCommit(_START, parameters, metrics))


def record_end(folder: Folder, after: int, files: int, folders: int) -> int:
    """Commit that a vacuum has removed files and empty folders."""
    metrics = {"numDeletedFiles": files, "numVacuumedDirectories": folders}
    return _commit(folder, after, OwnCommit(_END, {"status": "COMPLETED"}, metrics))


def _commit(folder: Folder, after: int, commit: OwnCommit) -> int:
    """Make the next commit after a version, or after those that others made meanwhile: it conflicts with none."""
    version = after + 1
    while not commit.is_made(folder, version):
        version += 1
    return version
