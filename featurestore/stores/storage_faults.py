"""Storage faults, reported with what to do about them: a full disk, a damaged file, a lost log entry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from featurestore.errors import StorageError
from featurestore.late_spark import py4j_errors, spark_errors
from featurestore.stores.file_system_faults import FILE_SYSTEM_FAULTS, advice_of

_NO_FILE = (
    "a file that the table's log names is not there; vacuum or an erasure removed it, or it was lost: read a "
    "newer version"
)
_DAMAGED = "the file is damaged; put a copy in its place, or remove its rows"
_LOST = "an entry of the table's log is lost; put back a copy of it"
_LOG_DAMAGED = "the table's log is damaged, or a part of it is lost; put back a copy of it"
# Causes in Python's tasks -> what to do about a file.
_OF_CAUSES = {"FileNotFoundError": _NO_FILE, "ChangedFileError": "run it again when the file's writer is done"}
# Conditions of Spark and Delta -> what to do.
_CONDITIONS = {
    "MALFORMED_RECORD_IN_PARSING": "a row of the file has more or fewer cells than its header, or cannot be read; mend "
    "the row, or name a mode in the options of the source",
    "FAILED_READ_FILE.FILE_NOT_EXIST": _NO_FILE,
    "FAILED_READ_FILE": _DAMAGED,
    "CANNOT_READ_FILE_FOOTER": _DAMAGED,
    "DELTA_LOG_FILE_NOT_FOUND": _LOST,
    "DELTA_VERSIONS_NOT_CONTIGUOUS": _LOST,
    "DELTA_TRUNCATED_TRANSACTION_LOG": _LOST,
    "DELTA_MISSING_PART_FILES": "a checkpoint of the table's log is lost; put back a copy of it",
    "DELTA_STATE_RECOVER_ERROR": _LOG_DAMAGED,
}
# Java classes without a condition -> what to do; the second only if a table was read.
_CLASSES = {"org.apache.hadoop.fs.ChecksumException": _DAMAGED}
_CLASSES_OF_A_LOG = {
    "com.fasterxml.jackson.core.JsonParseException": _LOG_DAMAGED,
    "com.fasterxml.jackson.core.io.JsonEOFException": _LOG_DAMAGED,
    "com.fasterxml.jackson.databind.JsonMappingException": _LOG_DAMAGED,
}
# What a Python worker raises for a file of values, with its cause. Spark gives no more than the text of a traceback.
_UNREADABLE = re.compile(r"^featurestore[\w.]*\.UnreadableFileError: (.*?: (\w+): .*)$", re.MULTILINE)
_PATH = re.compile(r"(?:file:|[a-z0-9]+://)?/[^\s'\"`,;()]+")
_MOST_CAUSES = 20


@contextmanager
def storage_errors(table: str | None = None) -> Iterator[None]:
    """Raise StorageError, with table and file, in place of Spark's error for a storage fault; re-raise any other."""
    try:
        yield
    except Exception as error:
        fault = storage_error(error, table)
        if fault is None:
            raise
        raise fault from error


def storage_error(error: BaseException, table: str | None = None) -> StorageError | None:
    """The StorageError for an error that is a storage fault; None for any other error."""
    known = (OSError, spark_errors.PySparkException, py4j_errors.Py4JJavaError)
    message = _message(error, table) if isinstance(error, known) else None
    if message is None:
        return None
    return StorageError(message if table is None else f"table {table}: {message}")


def _message(error: BaseException, table: str | None) -> str | None:
    text = "\n".join(_messages(error))
    for known in FILE_SYSTEM_FAULTS:
        if known in text:
            return f"{_line_with(text, known)}: {advice_of(known)}"
    if unreadable := _UNREADABLE.search(text):
        of_file = _OF_CAUSES.get(unreadable[2], _DAMAGED)
        return f"{unreadable[1]}: {advice_of(unreadable[1]) or of_file}"
    names = conditions(error)
    for known, advice in _CONDITIONS.items():
        if any(condition == known or condition.startswith(f"{known}.") for condition in names):
            return f"{file_of(error) or _line_with(text, known)}: {advice}"
    classes = _CLASSES if table is None else _CLASSES | _CLASSES_OF_A_LOG
    for cause in java_causes(error):
        kind = str(cause.getClass().getName())
        if advice := classes.get(kind, _advice_by_thrower(cause, kind, table)):
            return f"{cause.getMessage()}: {advice}"
    return None


def _advice_by_thrower(cause: Any, kind: str, table: str | None) -> str:
    """The advice for exceptions of a general class: Parquet's reader failed, or Delta found an inconsistent log."""
    trace = cause.getStackTrace()
    thrower = str(trace[0].getClassName()) if len(trace) else ""
    if thrower.startswith("org.apache.parquet."):
        return _DAMAGED
    # A stopped Spark session throws the same class.
    of_delta = kind == "java.lang.IllegalStateException" and thrower.startswith("org.apache.spark.sql.delta.")
    return _LOG_DAMAGED if of_delta and table is not None else ""


def conditions(error: BaseException) -> list[str]:
    """The names of Spark's and Delta's conditions for an error and its causes, for those that have one."""
    own = error.getCondition() if isinstance(error, spark_errors.PySparkException) else None
    named = [own, *(_condition(cause) for cause in java_causes(error))]
    return [condition for condition in named if condition]


def _condition(cause: Any) -> str | None:
    try:
        condition = cause.getCondition()
    except py4j_errors.Py4JError:
        # Exceptions of Java itself do not have this method.
        return None
    return None if condition is None else str(condition)


def file_of(error: BaseException) -> str | None:
    """The file that Spark or Delta names in an error or in one of its causes."""
    for cause in java_causes(error):
        if _condition(cause) is not None and (path := cause.getMessageParameters().get("path")):
            return unquote(str(path)).removeprefix("file://").removeprefix("file:")
    return None


def java_causes(error: BaseException) -> Iterator[Any]:
    """The Java exception of an error, and its causes."""
    cause = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    for _ in range(_MOST_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.getCause()


def _messages(error: BaseException) -> Iterator[str]:
    """The messages of the error and of its causes, including those in Java."""
    yield str(error).partition("\nJVM stacktrace")[0]
    yield from (str(cause.toString()) for cause in java_causes(error))


def _line_with(text: str, known: str) -> str:
    """The line that contains ``known``, with a file from another line if it names none."""
    lines = text.splitlines()
    line = next(line.strip() for line in lines if known in line)[:500]
    if _PATH.search(line):
        return line
    paths = [match.group() for match in map(_PATH.search, lines) if match]
    return f"{line} ({paths[0]})" if paths else line
