"""Start Java for Spark, with all that it prints in a log file, so that a command's output is the command's own."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from featurestore.config import SPARK_LOG_ON_STDERR
from featurestore.errors import RuntimeSetupError
from featurestore.late_spark import py4j_errors, spark_errors

KEPT = timedelta(days=7)
_PREFIX = "featurestore-spark-"
# Java's own last words, and the stack below them, which names no cause.
_UNCAUGHT = re.compile(r"^Exception in thread .*", re.MULTILINE)
_STACK = re.compile(r"^\s+at ")
_LAST_LINES = 3
# A process has one Java for Spark, whoever started it.
_log: Path | None = None


def spark_log() -> Path | None:
    """The log of the Java that this package started in this process; None if it started none, or none with a log."""
    return _log


@contextmanager
def java_with_log(properties: Mapping[str, str], place: str | None) -> Iterator[None]:
    """Start Java for a session with these properties, unless this process has one; the session is started inside.

    ``place`` is the setting ``spark_log``. Raises RuntimeSetupError, which names the cause and the log, if Java or the
    session does not start.
    """
    from pyspark import SparkContext

    try:
        # Under spark-submit, Java is there and belongs to the scheduler.
        if SparkContext._gateway is None and "PYSPARK_GATEWAY_PORT" not in os.environ:
            _start_java(properties, place)
        yield
    except (spark_errors.PySparkRuntimeError, py4j_errors.Py4JError) as error:
        raise RuntimeSetupError(_message(error)) from error


def _start_java(properties: Mapping[str, str], place: str | None) -> None:
    from pyspark import SparkConf, SparkContext, java_gateway

    global _log
    launch_gateway: Any = java_gateway.launch_gateway
    conf = SparkConf().setAll(list(properties.items()))
    if place == SPARK_LOG_ON_STDERR:
        SparkContext._ensure_initialized(gateway=launch_gateway(conf))
        return
    _log = _new_log(place)
    with _log.open("ab") as log:
        # Ivy and Java print before any logger is configured, so the whole output goes to the file.
        SparkContext._ensure_initialized(gateway=launch_gateway(conf, {"stdout": log, "stderr": log}))


def _new_log(place: str | None) -> Path:
    """A new file that only this user may read; logs that nothing was written to for a week are removed."""
    folder = Path.home() / ".cache" / "featurestore" / "spark_logs" if place is None else Path(place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{folder} is not writable")
    except OSError as error:
        if place is not None:
            raise RuntimeSetupError(
                f"Spark's log cannot be written to {folder} ({error}); set spark_log to a folder of this machine, or "
                f"to '{SPARK_LOG_ON_STDERR}'"
            ) from error
        # A service's user often has no home.
        folder = Path(tempfile.gettempdir())
    _remove_old(folder)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    file, name = tempfile.mkstemp(prefix=f"{_PREFIX}{stamp}-", suffix=".log", dir=folder)
    os.close(file)
    return Path(name)


def _remove_old(folder: Path) -> None:
    oldest = (datetime.now(UTC) - KEPT).timestamp()
    for log in folder.glob(f"{_PREFIX}*.log"):
        # Another process may remove the same file.
        with suppress(FileNotFoundError):
            facts = log.stat()
            if facts.st_uid == os.getuid() and facts.st_mtime < oldest:
                log.unlink()


def _message(error: Exception) -> str:
    if isinstance(error, py4j_errors.Py4JJavaError):
        cause = str(error.java_exception.toString()).partition("\n")[0]
    else:
        cause = str(error).partition("\n")[0] if _log is None else _last_words(_log.read_text(errors="replace"))
    where = "above" if _log is None else f"in {_log}"
    return (
        f"Spark did not start: {cause}. Check the Spark properties in the settings and, if jars could not be fetched, "
        f"the connection to Maven Central or spark.jars.ivySettings; Spark's messages are {where}"
    )


def _last_words(text: str) -> str:
    """Why Java ended: the exception that ended it, else its last lines."""
    uncaught = _UNCAUGHT.search(text)
    if uncaught is not None:
        return uncaught[0]
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _STACK.match(line)]
    return "; ".join(lines[-_LAST_LINES:]) or "Java printed nothing"


def share_of_running_tasks() -> float | None:
    """The share of the tasks of Spark's running jobs that are done, from 0 to 1; None if no job runs here."""
    pyspark = sys.modules.get("pyspark")
    context: Any = None if pyspark is None else pyspark.SparkContext._active_spark_context
    if context is None:
        return None
    tracker = context.statusTracker()
    jobs = [tracker.getJobInfo(job) for job in tracker.getActiveJobsIds()]
    stages = [tracker.getStageInfo(stage) for job in jobs if job is not None for stage in job.stageIds]
    known = [stage for stage in stages if stage is not None]
    tasks = sum(stage.numTasks for stage in known)
    return sum(stage.numCompletedTasks for stage in known) / tasks if tasks else None
