"""Faults of the storage below a table, told so that people know what to do: a full disk, a damaged file, a lost log entry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from py4j.protocol import Py4JError, Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException

from featurestore.errors import StorageError

# What the file system says -> what to do.
_FILE_SYSTEM = {
    "No space left on device": "the disk is full; make room",
    "Disk quota exceeded": "the quota of the disk is used up; make room",
    "File too large": "the file system takes no file so large, or a limit of this process is reached; raise it",
    "Read-only file system": "the file system is read-only; mount it for writing, or name another warehouse",
    "Permission denied": "this user may not write there; grant it, or name another warehouse",
    "Mkdirs failed to create": "a folder cannot be made there; see that it may be written to",
}
_NO_FILE = "a file that the table's log names is not there; vacuum or an erasure removed it, or it was lost: read a newer version"
_DAMAGED = "the file is damaged; put a copy in its place, or remove its rows"
# Spark's and Delta's conditions -> what to do.
_CONDITIONS = {
    "FAILED_READ_FILE.FILE_NOT_EXIST": _NO_FILE,
    "FAILED_READ_FILE": _DAMAGED,
    "CANNOT_READ_FILE_FOOTER": _DAMAGED,
    "DELTA_LOG_FILE_NOT_FOUND": "an entry of the table's log is lost; put back a copy of it",
    "DELTA_VERSIONS_NOT_CONTIGUOUS": "an entry of the table's log is lost; put back a copy of it",
    "DELTA_TRUNCATED_TRANSACTION_LOG": "an entry of the table's log is lost; put back a copy of it",
    "DELTA_STATE_RECOVER_ERROR": "the table's log is damaged; put back a copy of it",
}
_PATH = re.compile(r"(?:file:|[a-z0-9]+://)?/[^\s'\"`,;()]+")
_MOST_CAUSES = 20


@contextmanager
def told_plainly() -> Iterator[None]:
    """Raise StorageError, with the file, in place of what Spark says of a fault of the storage; all else as it is."""
    try:
        yield
    except Exception as error:
        told = storage_error(error)
        if told is None:
            raise
        raise told from error


def storage_error(error: BaseException) -> StorageError | None:
    """What an error says of a fault of the storage; none where it is of another kind."""
    told = _told(error) if isinstance(error, PySparkException | Py4JJavaError | OSError) else None
    return None if told is None else StorageError(told)


def _told(error: BaseException) -> str | None:
    text = "\n".join(_messages(error))
    condition = error.getCondition() if isinstance(error, PySparkException) else None
    for known, advice in _FILE_SYSTEM.items():
        if known in text:
            return f"{_line_with(text, known)}: {advice}. Nothing of it is to be seen; run it again then"
    for known, advice in _CONDITIONS.items():
        if (condition or "").startswith(known) or f"[{known}" in text:
            return f"{_line_with(text, known)}: {advice}"
    return None


def conditions(error: BaseException) -> list[str]:
    """The conditions by which Spark and Delta name an error and its causes, as far as they name them."""
    own = error.getCondition() if isinstance(error, PySparkException) else None
    named = [own, *(_condition(cause) for cause in _causes(error))]
    return [condition for condition in named if condition]


def _condition(cause: Any) -> str | None:
    try:
        told = cause.getCondition()
    except Py4JError:
        # Java's own exceptions have no such method.
        return None
    return None if told is None else str(told)


def file_of(error: BaseException) -> str | None:
    """The file that Spark or Delta names in an error or in one of its causes."""
    for cause in _causes(error):
        if _condition(cause) is not None and (path := cause.getMessageParameters().get("path")):
            return unquote(str(path)).removeprefix("file://").removeprefix("file:")
    return None


def _causes(error: BaseException) -> Iterator[Any]:
    """The error as Java has it, and its causes."""
    cause = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    for _ in range(_MOST_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.getCause()


def _messages(error: BaseException) -> Iterator[str]:
    """What the error and its causes say, in Java, too."""
    yield str(error).partition("\nJVM stacktrace")[0]
    yield from (str(cause.toString()) for cause in _causes(error))


def _line_with(text: str, known: str) -> str:
    """The line that says it, and a file where that line names none and another does."""
    lines = text.splitlines()
    line = next(line.strip() for line in lines if known in line)[:500]
    if _PATH.search(line):
        return line
    paths = [found.group() for found in map(_PATH.search, lines) if found]
    return f"{line} ({paths[0]})" if paths else line
