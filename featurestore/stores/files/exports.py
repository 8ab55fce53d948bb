"""Files for others to read: written under a temporary name by the executors, visible only when whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from featurestore.definitions.names import is_unicode
from featurestore.errors import ExportError, InvariantError
from featurestore.frames.columns import column
from featurestore.stores.file_system import Files

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/.*)")
# Spark reads these as patterns, and would look for other files.
_PATTERN = "*?[]{}\\"
_TIMESTAMPS = "spark.sql.parquet.outputTimestampType"


@dataclass(frozen=True)
class WrittenFile:
    """A file that is there; ``path`` is below the folder that was written to."""

    path: str
    bytes: int


@dataclass(frozen=True)
class Staging:
    """Folders beside the target: executors write to ``written``; what of it is to be seen is put into ``whole``."""

    target: str
    root: str
    spark: SparkSession
    files: Files

    @property
    def written(self) -> str:
        return f"{self.root}/written"

    @property
    def whole(self) -> str:
        return f"{self.root}/whole"

    def take(self, path: str, name: str) -> None:
        """Put a file below ``written`` into ``whole``, under its name there."""
        self.files.rename(f"{self.written}/{path}", f"{self.whole}/{name}")

    def write_text(self, name: str, text: str) -> None:
        """Write a small file into ``whole``."""
        self.files.write_text(f"{self.whole}/{name}", text)

    def check_total(self, what: str, there: int, wanted: int) -> None:
        """Raise InvariantError where the files do not hold what was given to be written."""
        if there != wanted:
            raise InvariantError(
                f"{self.target}: the files hold {there} {what} and {wanted} were to be written; nothing was made visible. "
                "Where the executors are other machines, name a folder that all of them reach"
            )


@contextmanager
def new_folder(spark: SparkSession, files: Files, path: str) -> Iterator[Staging]:
    """A folder that appears at ``path``, by one rename, when the block has ended well; else nothing is left behind.

    Raises ExportError, before the block runs where that can be told: something is at the path already, the place cannot
    be written to, or Spark failed.
    """
    target = full_path(path)
    parent, _, name = target.rpartition("/")
    place = parent if "://" in parent else f"file://{parent}"
    staging = Staging(target, f"{place}/.{name}.{uuid4().hex}", spark, files)
    with _explained(target):
        if files.exists(target):
            raise ExportError(f"{target} is there already; remove it, or name another folder")
        try:
            staging.write_text("_probe", "")
            files.delete(f"{staging.whole}/_probe")
            yield staging
            files.rename(staging.whole, target)
        finally:
            files.delete(staging.root)


def full_path(path: str) -> str:
    """A local path from its root, or a URI as ``scheme://...``, without a slash at its end. Raises ExportError."""
    if not isinstance(path, str) or not path.strip():
        raise ExportError(f"path is {path!r}; name a new folder")
    if not is_unicode(path):
        raise ExportError(f"path {path!r} holds half a surrogate pair, which no file name has; name another folder")
    if any(character in path for character in _PATTERN):
        raise ExportError(f"path {path!r} has one of {_PATTERN}, which Spark reads as patterns; name another folder")
    uri = _URI.fullmatch(path)
    if uri is None:
        return str(Path(path).absolute())
    full = path if uri[2].startswith("//") else f"{uri[1]}://{uri[2]}"
    if not re.fullmatch(r"[^/]+//[^/]*/.*[^/]/*", full):
        raise ExportError(f"path {path!r} names no folder in {uri[1]}; give one")
    return full.rstrip("/")


@contextmanager
def _explained(target: str) -> Iterator[None]:
    """What file systems and Spark say, as errors for people."""
    try:
        yield
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error}") from error
    except (PySparkException, Py4JJavaError) as error:
        kind = InvariantError if "INVARIANT:" in str(error) else ExportError
        raise kind(f"{target} was not written: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """One line: of an error in Python code its last, of others the first."""
    if isinstance(error, Py4JJavaError):
        return str(error.java_exception)
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1] if "Traceback" in str(error) else lines[0]


def write_lines(
    staging: Staging, lines: DataFrame, line_end: str, by: Sequence[str] = ()
) -> tuple[int, list[WrittenFile]]:
    """Write the column ``value`` as UTF-8 text, a line a row; gives how many, and the files that hold any, by path.

    A file a task, in the order of its rows; ``by``: columns by whose values the files go to folders
    (``split=train/shard=0``). Raises InvariantError where the files are not as long as the lines.
    """
    told = Observation()
    length = F.octet_length(F.col("value")) + F.lit(len(line_end))
    counts = [F.count(F.lit(1)).alias("rows"), F.coalesce(F.sum(length), F.lit(0)).alias("bytes")]
    # A task's file is one, whatever the session says, and not compressed.
    options = {"lineSep": line_end, "compression": "none", "maxRecordsPerFile": "0"}
    writer = lines.observe(told, *counts).write.mode("append").options(**options)
    writer.partitionBy(*by).text(staging.written)
    found = list_files(staging)
    staging.check_total("bytes", sum(file.bytes for file in found), told.get["bytes"])
    return told.get["rows"], found


def write_parquet(staging: Staging, rows: DataFrame) -> int:
    """Write Parquet, instants as UTC microseconds; gives how many rows. Raises InvariantError where files have others."""
    told = Observation()
    counted = rows.observe(told, F.count(F.lit(1)).alias("rows"))
    with _instants_that_all_can_read(rows.sparkSession):
        counted.write.mode("append").parquet(staging.whole)
    staging.check_total("rows", staging.spark.read.parquet(staging.whole).count(), told.get["rows"])
    return int(told.get["rows"])


@contextmanager
def _instants_that_all_can_read(spark: SparkSession) -> Iterator[None]:
    """Spark's default, INT96, is read elsewhere as a time without a zone; no switch but the session's changes it."""
    before = spark.conf.get(_TIMESTAMPS)
    if before == "TIMESTAMP_MICROS":
        yield
        return
    spark.conf.set(_TIMESTAMPS, "TIMESTAMP_MICROS")
    try:
        yield
    finally:
        spark.conf.set(_TIMESTAMPS, str(before))


def list_files(staging: Staging) -> list[WrittenFile]:
    """The files below ``written`` that are not empty, as this process sees them, by path."""
    reader = staging.spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    listed = reader.load(staging.written).select(column("path"), column("length")).collect()
    found = [WrittenFile(row["path"].rpartition("/written/")[2], row["length"]) for row in listed]
    return sorted(found, key=lambda file: file.path)
