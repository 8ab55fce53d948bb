"""Exported files: they are written under a temporary name, and become visible only when complete."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from featurestore.definitions.names import is_unicode
from featurestore.errors import ExportError, InvariantError
from featurestore.frames.columns import column
from featurestore.late_spark import DataFrame, F, Observation, SparkSession, py4j_errors, spark_errors
from featurestore.stores.file_system import Files
from featurestore.stores.files.leftovers import RUNNER, remove_left_behind
from featurestore.stores.layout import local_folder
from featurestore.stores.places import Folder, library_uri
from featurestore.stores.runner import this_runner

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/.*)")
# Spark treats a path with one of these as a pattern, so it would look for other files.
_PATTERN = "*?[]{}\\"
_TIMESTAMPS = "spark.sql.parquet.outputTimestampType"


@dataclass(frozen=True)
class WrittenFile:
    """A written file; ``path`` is relative to the folder that was written to."""

    path: str
    bytes: int


@dataclass(frozen=True)
class ExportedRows:
    """How many rows were written, and the hash of their content; None if their types cannot be hashed."""

    rows: int
    content_hash: str | None


@dataclass(frozen=True)
class Staging:
    """Folders beside the target: executors write to ``written``; files to publish are moved to ``whole``."""

    target: str
    root: str
    files: Files

    @property
    def written(self) -> str:
        return f"{self.root}/written"

    @property
    def whole(self) -> str:
        return f"{self.root}/whole"

    @property
    def folder(self) -> Folder:
        """``whole``, as this process writes and reads it without Spark."""
        here = local_folder(self.whole)
        return Folder.of(library_uri(self.whole) if here is None else str(here))

    def take(self, path: str, name: str) -> None:
        """Move a file from ``written`` to ``whole``, under another name."""
        self.files.rename(f"{self.written}/{path}", f"{self.whole}/{name}")

    def write_text(self, name: str, text: str) -> None:
        """Write a small file into ``whole``."""
        self.files.write_text(f"{self.whole}/{name}", text)

    def local_place(self, name: str) -> Path:
        """Where this process writes a file into ``whole``, in a folder that is there; only on this machine's disk."""
        folder = local_folder(self.whole)
        assert folder is not None, "only files of this machine are written by this process"
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def clear(self) -> None:
        """Remove all files, of either folder."""
        for folder in (self.written, self.whole):
            self.files.delete(folder)

    def check_total(self, what: str, actual: int, expected: int) -> None:
        """Raise InvariantError if the files do not hold what was to be written."""
        if actual != expected:
            raise InvariantError(
                f"{self.target}: the files hold {actual} {what} and {expected} were to be written; nothing was made "
                "visible. If the executors run on other machines, name a folder that all of them can reach"
            )


@contextmanager
def new_folder(files: Files, path: str) -> Iterator[Staging]:
    """Create a folder that appears at ``path``, by one rename, when the block succeeds; otherwise leave nothing behind.

    What killed attempts at the same path left is removed first. Raises ExportError if something already exists at the
    path, the folder cannot be written to, or Spark failed; before the block runs if that is known by then.
    """
    target = full_path(path)
    parent, _, name = target.rpartition("/")
    place = parent if "://" in parent else f"file://{parent}"
    staging = Staging(target, f"{place}/.{name}.{uuid4().hex}", files)
    with _export_errors(target):
        if files.exists(target):
            raise ExportError(f"{target} is there already; remove it, or name another folder")
        remove_left_behind(files, target)
        try:
            files.write_text(f"{staging.root}/{RUNNER}", this_runner())
            staging.write_text("_probe", "")
            files.delete(f"{staging.whole}/_probe")
            yield staging
            files.rename(staging.whole, target)
        finally:
            files.delete(staging.root)


def sizes_in(files: Files, folder: str) -> dict[str, int]:
    """Return the bytes of each file below a folder, by its path there, without hidden files."""
    sizes = {name: files.length(f"{folder}/{name}") for name, _ in files.files_in(folder) if not name.startswith(".")}
    for inner in files.folders_in(folder):
        sizes |= {f"{inner}/{path}": size for path, size in sizes_in(files, f"{folder}/{inner}").items()}
    return sizes


def full_path(path: str) -> str:
    """Return an absolute local path, or a URI as ``scheme://...``, without a trailing slash. Raises ExportError."""
    if not isinstance(path, str) or not path.strip():
        raise ExportError(f"path is {path!r}; name a new folder")
    if not is_unicode(path):
        raise ExportError(f"path {path!r} has half a surrogate pair, which no file name can have; name another folder")
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
def _export_errors(target: str) -> Iterator[None]:
    """Translate errors of file systems and of Spark into ExportError or InvariantError."""
    try:
        yield
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error}") from error
    except (spark_errors.PySparkException, py4j_errors.Py4JJavaError) as error:
        kind = InvariantError if "INVARIANT:" in str(error) else ExportError
        raise kind(f"{target} was not written: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return one line: the last one of an error in Python code, the first one of others."""
    if isinstance(error, py4j_errors.Py4JJavaError):
        return str(error.java_exception)
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1] if "Traceback" in str(error) else lines[0]


def write_lines(
    staging: Staging, lines: DataFrame, line_end: str, by: Sequence[str] = ()
) -> tuple[int, list[WrittenFile]]:
    """Write the column ``value`` as UTF-8 text, one line per row; returns their number and the files, by path.

    Empty files are not returned. Each task writes one file, in the order of its rows. The values of the columns ``by``
    name the files' folders (``split=train/shard=0``). Raises InvariantError if the files are not as long as the lines.
    """
    observed = Observation()
    length = F.octet_length(F.col("value")) + F.lit(len(line_end))
    counts = [F.count(F.lit(1)).alias("rows"), F.coalesce(F.sum(length), F.lit(0)).alias("bytes")]
    # One uncompressed file per task, whatever the session's settings say.
    options = {"lineSep": line_end, "compression": "none", "maxRecordsPerFile": "0"}
    writer = lines.observe(observed, *counts).write.mode("append").options(**options)
    writer.partitionBy(*by).text(staging.written)
    files = list_files(staging, lines.sparkSession)
    staging.check_total("bytes", sum(file.bytes for file in files), observed.get["bytes"])
    return observed.get["rows"], files


def write_parquet(staging: Staging, rows: DataFrame) -> int:
    """Write Parquet, with instants as UTC microseconds; returns the number of rows.

    Raises InvariantError if the files hold another number of rows.
    """
    observed = Observation()
    counted = rows.observe(observed, F.count(F.lit(1)).alias("rows"))
    with _microsecond_timestamps(rows.sparkSession):
        counted.write.mode("append").parquet(staging.whole)
    staging.check_total("rows", rows.sparkSession.read.parquet(staging.whole).count(), observed.get["rows"])
    return int(observed.get["rows"])


@contextmanager
def _microsecond_timestamps(spark: SparkSession) -> Iterator[None]:
    """Make the session write timestamps that every reader understands; only a session's setting changes their type.

    Other tools read Spark's default, INT96, as a time without a zone.
    """
    before = spark.conf.get(_TIMESTAMPS)
    if before == "TIMESTAMP_MICROS":
        yield
        return
    spark.conf.set(_TIMESTAMPS, "TIMESTAMP_MICROS")
    try:
        yield
    finally:
        spark.conf.set(_TIMESTAMPS, str(before))


def list_files(staging: Staging, spark: SparkSession) -> list[WrittenFile]:
    """List the non-empty files below ``written``, as this process sees them, by path."""
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    listed = reader.load(staging.written).select(column("path"), column("length")).collect()
    files = [WrittenFile(row["path"].rpartition("/written/")[2], row["length"]) for row in listed]
    return sorted(files, key=lambda file: file.path)
