"""Faults of files of values, in this package's words; apart from ``parquet``, which is also sent to Spark's tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

from featurestore.errors import StorageError
from featurestore.stores.delta.native_errors import native_errors
from featurestore.stores.value_files.parquet import ChangedFileError, UnreadableFileError

RUN_AGAIN = "run it again when its writer is done"


@contextmanager
def value_file_errors(*tables: str) -> Iterator[None]:
    """Raise StorageError, with a table's path and its file, for a file of one of these tables that cannot be read."""
    try:
        yield
    except UnreadableFileError as error:
        file = PurePath(error.path)
        if isinstance(error.cause, ChangedFileError):
            raise StorageError(f"{error.path}: {error.cause}; {RUN_AGAIN}") from error
        table = next(each for each in tables if file.is_relative_to(each))
        with native_errors(table, str(file.relative_to(table))):
            raise error.cause from error
