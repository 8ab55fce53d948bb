"""Files read by name: exactly those that a user names, every file of a folder, and none twice.

Spark treats a path as a pattern, silently skips sub-folders, and uses the columns of the first file for all. Therefore
this module lists the files itself, and reads them in groups that have the same columns.
"""

from __future__ import annotations

import posixpath
import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from featurestore.errors import InvalidArgumentError, NotFoundError, SchemaError, StorageError
from featurestore.frames.rows.csv_header import header_record, is_whole
from featurestore.frames.rows.union import union_losslessly
from featurestore.late_spark import DataFrame, DataFrameReader, SparkSession, py4j_errors, spark_errors
from featurestore.stores.file_system import Files, exact, has_pattern
from featurestore.stores.storage_faults import conditions, file_of

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(//[^/]*)?(?=/)")
_ONE_SLASH = re.compile(r"^(\w[\w+.-]*):/(?!/)")
# The reader's options that choose which files are read.
_LISTING_OPTIONS = {"pathglobfilter", "modifiedbefore", "modifiedafter", "timezone"}
# How many bytes are read for a header: first the smaller number, then the larger if the header does not end within it.
_HEADER_BYTES = (1 << 16, 1 << 24)
_HEADER_LINES = 50
_READERS = 8

_CONDITIONS = {
    "PARQUET_TYPE_ILLEGAL": "it holds a type that Spark cannot read; timestamps must be in microseconds (pandas: "
    "to_parquet(..., coerce_timestamps='us'))",
    "COLUMN_ALREADY_EXISTS": "columns have the same name, or names that differ only in case, and Spark ignores case; "
    "rename one of each",
    "CONFLICTING_DIRECTORY_STRUCTURES": "its folders named key=value do not have one structure; read them one by one",
    "CONFLICTING_PARTITION_COLUMN_NAMES": "its folders named key=value have different keys; read them one by one",
    "UNABLE_TO_INFER_SCHEMA": "it has no rows to infer its columns from",
    "MALFORMED_RECORD_IN_SCHEMA_INFERENCE": "one of its rows cannot be read; fix the row, or set a mode in the options",
    "MALFORMED_RECORD_IN_PARSING": "one of its rows cannot be read; fix the row, or set a mode in the options",
}


@dataclass(frozen=True)
class Listing:
    """The files at a path, by full names, in order; ``root`` is the path that Spark receives."""

    root: str
    paths: tuple[str, ...]
    flat: bool = False

    def keys(self, path: str) -> tuple[str, ...]:
        """Return the columns that a file has from folders named ``key=value`` below the root."""
        root, full = _without_scheme(self.root), _without_scheme(path)
        if self.flat or not full.startswith(f"{root}/"):
            return ()
        folders = full.removeprefix(f"{root}/").split("/")[:-1]
        return tuple(unquote(folder.partition("=")[0]) for folder in folders if "=" in folder)

    def columns(self) -> list[str]:
        """Return all columns that come from names of folders."""
        return sorted({key for path in self.paths for key in self.keys(path)})

    def check_columns(self, columns: Iterable[str]) -> None:
        """Raise SchemaError if columns of the files are also in names of folders: Spark would use the folders'."""
        both = sorted({name.strip().lower() for name in columns} & {key.lower() for key in self.columns()})
        if both:
            raise SchemaError(
                f"{display_path(self.root)}: columns {both} are in the files and in the names of folders (key=value); "
                "rename the folders, or drop the columns"
            )


@dataclass(frozen=True)
class NamedFiles:
    """Reads files by name. ``files`` is None for a client of Spark Connect, which reads many headers more slowly."""

    spark: SparkSession
    files: Files | None

    def list(self, path: str, options: Mapping[str, str] | None = None) -> Listing:
        """List the file at a path, or all files below it; like Spark, skips names that begin with ``_`` or ``.``.

        Raises NotFoundError if there is none, InvalidArgumentError for a name that Hadoop cannot open.
        """
        root = _full(path)
        lower_options = {name.lower(): value for name, value in (options or {}).items()}
        listing_options = {name: value for name, value in lower_options.items() if name in _LISTING_OPTIONS}
        with read_errors(path):
            reader = self.spark.read.format("text").options(recursiveFileLookup="true", **listing_options)
            uris = reader.load(exact(root)).inputFiles()
        paths = tuple(sorted(_ONE_SLASH.sub(r"\1:///", unquote(uri)) for uri in uris))
        if not paths:
            raise NotFoundError(
                f"{path}: there is no file to read; files and folders with names that begin with '_' or '.' are "
                "skipped, so rename such a file"
            )
        for file in paths:
            if file.startswith("file:") and ":" in posixpath.basename(file):
                raise InvalidArgumentError(
                    f"{_without_scheme(file)}: Hadoop cannot open a local file that has ':' in its name; rename it"
                )
        return Listing(root, paths, flat=lower_options.get("recursivefilelookup", "").lower() == "true")

    def load(
        self, listing: Listing, reader: Callable[[str], DataFrameReader], group: Callable[[str], Hashable | None]
    ) -> dict[str, DataFrame]:
        """Return the rows of each group of files that have the same columns, under the path of the group's first file.

        Files are in one group if ``group`` returns the same value for them and their folders give the same columns; a
        file is left out if ``group`` returns None. ``reader`` makes a reader for the group of a file.
        """
        groups: dict[Hashable, list[str]] = {}
        for path in listing.paths:
            if (group_key := group(path)) is not None:
                groups.setdefault((group_key, listing.keys(path)), []).append(path)
        frames = {}
        for paths in groups.values():
            by_folder = bool(listing.keys(paths[0]))
            group_reader = reader(paths[0])
            if by_folder:
                group_reader = group_reader.option("basePath", listing.root)
            else:
                group_reader = group_reader.option("recursiveFileLookup", "true")
            # With the root alone the plan is shorter, and Spark lists the folder once.
            whole = len(paths) == len(listing.paths) and not by_folder
            frames[paths[0]] = group_reader.load(exact(listing.root) if whole else [exact(path) for path in paths])
        return frames

    def load_as_one(
        self, listing: Listing, reader: Callable[[str], DataFrameReader], group: Callable[[str], Hashable | None]
    ) -> DataFrame:
        """Return the rows of all groups; raises SchemaError if the types of a column have no common type."""
        frames = self.load(listing, reader, group)
        return union_losslessly({display_path(path): rows for path, rows in frames.items()})

    def parquet(self, listing: Listing, options: Mapping[str, str] | None = None) -> DataFrame:
        """Read Parquet files, with the columns of all; raises SchemaError if a column's types have no common type."""

        def reader(path: str) -> DataFrameReader:
            return self.spark.read.format("parquet").option("mergeSchema", "true").options(**(options or {}))

        if listing.columns():
            flat = reader(listing.root).option("recursiveFileLookup", "true")
            listing.check_columns(flat.load(exact(listing.paths[0])).columns)
        try:
            return self.load_as_one(listing, reader, lambda path: "")
        except Exception as error:
            if "CANNOT_MERGE_SCHEMAS" not in conditions(error):
                raise
        schemas = {path: reader(path).load(exact(path)).schema.json() for path in listing.paths}
        return self.load_as_one(listing, reader, schemas.__getitem__)

    def headers(
        self, listing: Listing, encoding: str = "utf-8-sig", quote: str = '"', comment: str = ""
    ) -> dict[str, str | None]:
        """Return each file's first record, None for an empty file; bytes that cannot be decoded become surrogates."""

        def header(path: str) -> str | None:
            for number in _HEADER_BYTES:
                text = self._start(path, number, encoding)
                record = header_record(text, quote, comment)
                if is_whole(text, record):
                    break
            return record

        with ThreadPoolExecutor(_READERS) as pool:
            return dict(zip(listing.paths, pool.map(header, listing.paths), strict=True))

    def _start(self, path: str, number: int, encoding: str) -> str:
        if self.files is not None:
            try:
                # An incremental decoder drops a character that is cut off at the end.
                decoder = getincrementaldecoder(encoding)(errors="surrogateescape")
                return decoder.decode(self.files.read_start(path, number))
            except (OSError, UnicodeDecodeError) as error:
                raise SchemaError(f"{display_path(path)} cannot be read: {error}") from error
            except LookupError as error:
                raise InvalidArgumentError(
                    f"encoding {encoding!r} is not known; name one such as ISO-8859-1"
                ) from error
        lines = self.spark.read.format("text").load(exact(path)).limit(_HEADER_LINES).collect()
        return "\n".join(row["value"] for row in lines).removeprefix("\ufeff")


def display_path(path: str) -> str:
    """Return a path as people write it: local paths without a scheme."""
    return _without_scheme(path) if path.startswith("file:") else path


@contextmanager
def read_errors(path: str) -> Iterator[None]:
    """Translate Spark's errors about a path that it cannot read into this package's errors."""
    try:
        yield
    except spark_errors.IllegalArgumentException as error:
        raise InvalidArgumentError(
            f"{path} cannot be read: {str(error).splitlines()[0]}; Hadoop cannot open names that contain ':', and "
            "options must be Spark's"
        ) from error
    except Exception as error:
        classes = [condition.partition(".")[0] for condition in conditions(error)]
        if "PATH_NOT_FOUND" in classes:
            hint = " (names are read literally, not as patterns)" if has_pattern(path) else ""
            raise NotFoundError(f"{path}: there is no such file or folder{hint}") from error
        for condition in classes:
            if condition in _CONDITIONS:
                raise SchemaError(f"{file_of(error) or path}: {_CONDITIONS[condition]}") from error
        if isinstance(error, py4j_errors.Py4JJavaError) and not classes:
            raise StorageError(f"{path} cannot be reached: {error.java_exception}") from error
        raise


def _full(path: str) -> str:
    """Return an absolute local path, because Spark may have been started in another folder."""
    if _SCHEME.match(path) is None and Path(path).exists():
        return posixpath.normpath(str(Path(path).absolute()))
    return path.rstrip("/") or path


def _without_scheme(path: str) -> str:
    return posixpath.normpath(_SCHEME.sub("", path, count=1))
