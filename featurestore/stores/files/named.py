"""Files by their names: exactly those that a user names, every file of a folder, none twice.

Spark takes a path for a pattern, passes over sub-folders without a word, and knows the columns of the first file alone; so
the files are listed here, and read in groups that have the same columns.
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

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import IllegalArgumentException
from pyspark.sql import DataFrame, DataFrameReader, SparkSession

from featurestore.errors import InvalidArgumentError, NotFoundError, SchemaError, StorageError
from featurestore.frames.rows.csv_header import header_record, is_whole
from featurestore.frames.rows.union import union_losslessly
from featurestore.stores.file_system import Files, exact, has_pattern
from featurestore.stores.storage_faults import conditions, file_of

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(//[^/]*)?(?=/)")
_ONE_SLASH = re.compile(r"^(\w[\w+.-]*):/(?!/)")
# Of the options that a reader has, those that say which files are read.
_LISTING = {"pathglobfilter", "modifiedbefore", "modifiedafter", "timezone"}
# Bytes that are read for a header, and for one that does not end within them.
_STARTS = (1 << 16, 1 << 24)
_HEADER_LINES = 50
_READERS = 8

_CONDITIONS = {
    "PARQUET_TYPE_ILLEGAL": "it holds a type that Spark cannot read; timestamps must be in microseconds (pandas: "
    "to_parquet(..., coerce_timestamps='us'))",
    "COLUMN_ALREADY_EXISTS": "columns have the same name, or names that differ only in case, which Spark does not tell "
    "apart; rename one of each",
    "CONFLICTING_DIRECTORY_STRUCTURES": "its folders named key=value do not lie in one structure; read them one by one",
    "CONFLICTING_PARTITION_COLUMN_NAMES": "its folders named key=value have different keys; read them one by one",
    "UNABLE_TO_INFER_SCHEMA": "it has no rows to tell its columns by",
    "MALFORMED_RECORD_IN_SCHEMA_INFERENCE": "a row of it cannot be read; mend the row, or name a mode in the options",
    "MALFORMED_RECORD_IN_PARSING": "a row of it cannot be read; mend the row, or name a mode in the options",
}


@dataclass(frozen=True)
class Listing:
    """The files at a path, by full names, in order; ``root`` is the path as Spark is given it."""

    root: str
    paths: tuple[str, ...]
    flat: bool = False

    def keys(self, path: str) -> tuple[str, ...]:
        """The columns that a file has from folders named ``key=value`` below the root."""
        root, full = _without_scheme(self.root), _without_scheme(path)
        if self.flat or not full.startswith(f"{root}/"):
            return ()
        folders = full.removeprefix(f"{root}/").split("/")[:-1]
        return tuple(unquote(folder.partition("=")[0]) for folder in folders if "=" in folder)

    def columns(self) -> list[str]:
        """All columns that come from folders' names."""
        return sorted({key for path in self.paths for key in self.keys(path)})

    def check_columns(self, columns: Iterable[str]) -> None:
        """Raise SchemaError where columns of the files stand in the names of the folders, too: Spark would take those."""
        both = sorted({name.strip().lower() for name in columns} & {key.lower() for key in self.columns()})
        if both:
            raise SchemaError(
                f"{shown(self.root)}: columns {both} stand in the files and in the names of folders (key=value); name the "
                "folders otherwise, or drop the columns"
            )


@dataclass(frozen=True)
class NamedFiles:
    """Reads files by name. ``files``: none for a client of Spark Connect, which is slower to look at many headers."""

    spark: SparkSession
    files: Files | None

    def list(self, path: str, options: Mapping[str, str] | None = None) -> Listing:
        """The files at a path: it, or all below it; names that begin with ``_`` or ``.`` are passed over, as Spark does.

        Raises NotFoundError where there is none, InvalidArgumentError for a name that Hadoop cannot open.
        """
        root = _full(path)
        given = {name.lower(): value for name, value in (options or {}).items()}
        chosen = {name: value for name, value in given.items() if name in _LISTING}
        with explained(path):
            reader = self.spark.read.format("text").options(recursiveFileLookup="true", **chosen)
            uris = reader.load(exact(root)).inputFiles()
        paths = tuple(sorted(_ONE_SLASH.sub(r"\1:///", unquote(uri)) for uri in uris))
        if not paths:
            raise NotFoundError(
                f"{path}: there is no file to read; files and folders whose names begin with '_' or '.' are passed over, "
                "so give such a file another name"
            )
        for file in paths:
            if file.startswith("file:") and ":" in posixpath.basename(file):
                raise InvalidArgumentError(
                    f"{_without_scheme(file)}: Hadoop cannot open a local file that has ':' in its name; rename it"
                )
        return Listing(root, paths, flat=given.get("recursivefilelookup", "").lower() == "true")

    def load(
        self, listing: Listing, reader: Callable[[str], DataFrameReader], group: Callable[[str], Hashable | None]
    ) -> dict[str, DataFrame]:
        """The rows of each group of files that have the same columns, known by the first of them.

        ``group`` tells them apart, and gives None for a file to leave out; columns of the listing's folders do so, too.
        ``reader`` makes a reader for the group of a file.
        """
        groups: dict[Hashable, list[str]] = {}
        for path in listing.paths:
            if (kind := group(path)) is not None:
                groups.setdefault((kind, listing.keys(path)), []).append(path)
        frames = {}
        for paths in groups.values():
            by_folder = bool(listing.keys(paths[0]))
            chosen = reader(paths[0])
            chosen = (
                chosen.option("basePath", listing.root) if by_folder else chosen.option("recursiveFileLookup", "true")
            )
            # The root alone is the shorter plan, and Spark lists it once.
            whole = len(paths) == len(listing.paths) and not by_folder
            frames[paths[0]] = chosen.load(exact(listing.root) if whole else [exact(path) for path in paths])
        return frames

    def load_as_one(
        self, listing: Listing, reader: Callable[[str], DataFrameReader], group: Callable[[str], Hashable | None]
    ) -> DataFrame:
        """The rows of all groups; raises SchemaError where the types of a column have none in common."""
        return union_losslessly({shown(path): rows for path, rows in self.load(listing, reader, group).items()})

    def parquet(self, listing: Listing, options: Mapping[str, str] | None = None) -> DataFrame:
        """Parquet files with the columns of all; raises SchemaError where the types of a column have none in common."""

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
        """Each file's first record; none of an empty file. Bytes that are not of the encoding are surrogates in it."""

        def header(path: str) -> str | None:
            for number in _STARTS:
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
                # What is cut off within a character is left out.
                decoder = getincrementaldecoder(encoding)(errors="surrogateescape")
                return decoder.decode(self.files.read_start(path, number))
            except (OSError, UnicodeDecodeError) as error:
                raise SchemaError(f"{shown(path)} cannot be read: {error}") from error
            except LookupError as error:
                raise InvalidArgumentError(
                    f"encoding {encoding!r} is not known; name one such as ISO-8859-1"
                ) from error
        lines = self.spark.read.format("text").load(exact(path)).limit(_HEADER_LINES).collect()
        return "\n".join(row["value"] for row in lines).removeprefix("\ufeff")


def shown(path: str) -> str:
    """A file as people know it."""
    return _without_scheme(path) if path.startswith("file:") else path


@contextmanager
def explained(path: str) -> Iterator[None]:
    """What Spark says of a path that it cannot read, as errors for people."""
    try:
        yield
    except IllegalArgumentException as error:
        raise InvalidArgumentError(
            f"{path} cannot be read: {str(error).splitlines()[0]}; Hadoop cannot open what has ':' in its name, and options must "
            "be Spark's"
        ) from error
    except Exception as error:
        found = [condition.partition(".")[0] for condition in conditions(error)]
        if "PATH_NOT_FOUND" in found:
            hint = " (names are taken as they are, not as patterns)" if has_pattern(path) else ""
            raise NotFoundError(f"{path}: there is no such file or folder{hint}") from error
        for condition in found:
            if condition in _CONDITIONS:
                raise SchemaError(f"{file_of(error) or path}: {_CONDITIONS[condition]}") from error
        if isinstance(error, Py4JJavaError) and not found:
            raise StorageError(f"{path} cannot be reached: {error.java_exception}") from error
        raise


def _full(path: str) -> str:
    """A local path from its root: Spark may have been started in another folder."""
    if _SCHEME.match(path) is None and Path(path).exists():
        return posixpath.normpath(str(Path(path).absolute()))
    return path.rstrip("/") or path


def _without_scheme(path: str) -> str:
    return posixpath.normpath(_SCHEME.sub("", path, count=1))
