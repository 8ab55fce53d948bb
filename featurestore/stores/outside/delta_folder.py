"""A Delta table of a user's, in one version, as its log describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from featurestore.columnar.as_of.value_files import Bounds
from featurestore.errors import NotFoundError
from featurestore.stores.delta.delta_log import DeltaLog, LogFile, has_plain_files
from featurestore.stores.delta.log_remains import check_log
from featurestore.stores.delta.native_errors import UnsupportedTableError, native_errors
from featurestore.stores.outside.casts import plain_type
from featurestore.stores.outside.listing import ListedFile, Listing, python_bound
from featurestore.stores.outside.pins import SourcePin
from featurestore.stores.places import Folder

# A log keeps times in milliseconds, cut or rounded, and the beginnings of long texts.
_SLACK = timedelta(milliseconds=1) // timedelta(microseconds=1)
_TEXT_PREFIX = 32


@dataclass(frozen=True)
class _Logged:
    """What the log says about a file."""

    file: LogFile

    def bounds(self, name: str, kind: pa.DataType) -> Bounds:
        """See ``Facts``."""
        low, high = self.file.bounds.get(name, (None, None))
        if pa.types.is_timestamp(kind):
            first, last = python_bound(low), python_bound(high)
            return (
                first - _SLACK if isinstance(first, int) else None,
                last + _SLACK if isinstance(last, int) else None,
            )
        if isinstance(high, str) and len(high) >= _TEXT_PREFIX:
            high = None
        return python_bound(low), python_bound(high)


def list_delta(
    name: str,
    root: str,
    path: str,
    *,
    version: int | None,
    within: Mapping[str, str],
    bounded: Sequence[str],
    options: Mapping[str, str] | None = None,
) -> Listing | str:
    """List a version of the table at ``root``, by default the newest; or say why only Spark can read it.

    ``within``: texts that columns have in the rows that are wanted; they leave out files if the table is partitioned
    by them. ``bounded``: the columns whose bounds are wanted. ``options``: see ``Folder.of``. Raises NotFoundError if
    there is no table, StorageError for a damaged log or a version that it lost.
    """
    # The library makes the folder of a table that is not there.
    if "://" not in root and not Path(root, "_delta_log").is_dir():
        raise _nothing_at(name, path)
    log = DeltaLog(root, options=options)
    check_log(root)
    try:
        with native_errors(root):
            table = log.open(version)
            if not has_plain_files(table):
                return f"table {path} has features that only Spark reads, such as deletion vectors or column mapping"
            schema, partition = pa.schema(table.schema()), table.metadata().partition_columns
            chosen = {key: text for key, text in within.items() if key in partition and _is_text(schema, key)}
            files = log.files_of(table, chosen, [key for key in bounded if key in schema.names and _has(schema, key)])
            table_id = str(table.metadata().id)
    except UnsupportedTableError as error:
        return str(error)
    except NotFoundError as error:
        raise _nothing_at(name, path) from error
    if any("://" in file.path for file in files):
        return f"table {path} has files of another table (a shallow clone), which only Spark finds"
    folder = log.folder
    plain = pa.schema([pa.field(each.name, plain_type(each.type)) for each in schema])
    pin = SourcePin(kind="delta", place=path, table_id=table_id, version=int(table.version()))
    return Listing(plain, [_listed(path, folder, file) for file in files], pin, system=folder.system)


def _is_text(schema: pa.Schema, name: str) -> bool:
    return bool(plain_type(schema.field(name).type) == pa.string())


def _has(schema: pa.Schema, name: str) -> bool:
    """Whether the log may have bounds of a column."""
    return not pa.types.is_nested(schema.field(name).type)


def _listed(path: str, folder: Folder, file: LogFile) -> ListedFile:
    return ListedFile(
        path=f"{path.rstrip('/')}/{file.path}",
        place=folder.file(file.path),
        rows=file.rows,
        bytes=file.bytes,
        facts=_Logged(file),
        constants=file.partition,
    )


def _nothing_at(name: str, path: str) -> NotFoundError:
    return NotFoundError(f"{name}: there is no Delta table at {path}; land the data, or correct the source")
