"""Start Java for Spark, with all that it prints in a log file, so that a command's output is the command's own."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
# What says which jars Spark fetches, and what says what else is on Java's class path.
_PACKAGES = ("spark.jars.packages", "spark.jars.excludes", "spark.jars.repositories", "spark.jars.ivySettings")
_CLASS_PATH = "spark.driver.extraClassPath"
_OPTIONS = "spark.driver.extraJavaOptions"
_NOT_WITH = (_CLASS_PATH, "spark.jars", "spark.remote", "spark.submit.pyFiles")
# A process has one Java for Spark, whoever started it.
_log: Path | None = None


@dataclass(frozen=True)
class ClassArchive:
    """Spark's and Delta's classes as Java holds them, in a file that Java maps: a start takes half the processor time.

    Java leaves it aside, and starts as without it, if the file, the class path or Java itself is another than when it
    was recorded. Spark need not look for Delta's jars either: they are on the class path. ``featurestore doctor``
    records it, in ``spark.jars.ivy``; see https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html.
    """

    file: Path

    @classmethod
    def of(cls, properties: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> ClassArchive | None:
        """The archive for sessions with these properties, recorded or not.

        None if they have none: for a session with executors of their own, or with jars that the user names.
        """
        master, command = properties.get("spark.master", ""), java_command(environ)
        is_local = master == "local" or master.startswith("local[")
        if not is_local or command is None or any(name in properties for name in _NOT_WITH):
            return None
        from pyspark import SparkContext, __version__

        java = Path(command).resolve()
        modules = java.parent.parent / "lib" / "modules"
        is_of = [java, modules.stat().st_mtime_ns if modules.exists() else 0, SparkContext.__module__, __version__]
        packages = [properties.get(name) for name in _PACKAGES]
        key = hashlib.sha256(repr([*map(str, is_of), sys.modules["pyspark"].__file__, packages]).encode()).hexdigest()
        return cls(Path(properties["spark.jars.ivy"]).absolute() / "classes" / f"{key[:16]}.jsa")

    @property
    def is_there(self) -> bool:
        """Whether it was recorded, and all jars that it was recorded with exist."""
        return self.file.exists() and bool(jars := self._jars()) and all(map(os.path.exists, jars))

    def used(self, properties: Mapping[str, str]) -> dict[str, str]:
        """The properties of a session that starts from it."""
        return self._properties(properties, self._jars(), f'"-XX:SharedArchiveFile={self.file}"')

    def recording(self, properties: Mapping[str, str], jars: Sequence[str], file: Path) -> dict[str, str]:
        """The properties of a session that writes the archive to ``file`` when its Java ends."""
        return self._properties(properties, jars, f'"-XX:ArchiveClassesAtExit={file}"')

    def publish(self, file: Path, jars: Sequence[str]) -> None:
        """Make a recorded file the archive."""
        listed = file.with_suffix(".jars")
        listed.write_text("\n".join(jars))
        listed.replace(self.file.with_suffix(".jars"))
        file.replace(self.file)

    def _jars(self) -> list[str]:
        listed = self.file.with_suffix(".jars")
        return listed.read_text().splitlines() if listed.exists() else []

    @staticmethod
    def _properties(properties: Mapping[str, str], jars: Sequence[str], option: str) -> dict[str, str]:
        kept = {name: value for name, value in properties.items() if name not in _PACKAGES}
        # Java's own words about an archive that does not fit would be news to nobody.
        options = f"{option} -Xlog:cds=off -Xlog:cds+dynamic=off {properties.get(_OPTIONS, '')}".strip()
        return kept | {_CLASS_PATH: os.pathsep.join(jars), _OPTIONS: options}


def java_command(environ: Mapping[str, str]) -> str | None:
    """The Java that Spark would start: that of ``JAVA_HOME``, there or not, else the first of the path."""
    home = environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else shutil.which("java", path=environ.get("PATH"))


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
