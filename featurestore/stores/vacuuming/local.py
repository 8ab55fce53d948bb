"""Vacuum a table without Spark: list its folder and its log, and remove what no version needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.stores.delta.delta_log import checked
from featurestore.stores.delta.native_errors import UnsupportedTableError
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.places import Folder
from featurestore.stores.vacuuming.history import record_end, record_start
from featurestore.stores.vacuuming.unneeded import Entry, Unneeded, entries_of, unneeded

_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")
_ABSOLUTE = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*:")
# What a vacuum reads of a removed file.
_OF_REMOVAL = ("path", "deletionTimestamp", "deletionVector")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@checked
def vacuum(native: NativeTable, horizon: timedelta) -> tuple[int, int]:
    """Remove the unneeded files; returns their number and their bytes.

    Two commits record it, as those of Spark's vacuum do; none if there is nothing to remove. Raises
    UnsupportedTableError, before it removes anything, if only Spark can tell what is needed.
    """
    with native.lock.held("vacuum"):
        table = native.open()
        found = _unneeded(native, table, horizon)
        if found.files:
            version = record_start(native.folder, int(table.version()), horizon, len(found.files), found.bytes)
            for file in found.files:
                _remove(native.folder, file.path)
            record_end(native.folder, version, len(found.files), _remove_folders(native, found.folders))
            # What a full disk refuses here, the next writer makes good.
            with suppress(OSError):
                native.complete_checksums()
        else:
            _remove_folders(native, found.folders)
    return len(found.files), found.bytes


@checked
def unneeded_files(native: NativeTable, horizon: timedelta) -> tuple[int, int]:
    """Return the number and the bytes of the files that ``vacuum`` would remove; removes nothing."""
    found = _unneeded(native, native.open(), horizon)
    return len(found.files), found.bytes


def _unneeded(native: NativeTable, table: deltalake.DeltaTable, horizon: timedelta) -> Unneeded:
    try:
        before = (datetime.now(UTC) - horizon - _EPOCH) // timedelta(microseconds=1)
    except OverflowError:
        # The horizon reaches back before the year 1: no file is that old.
        return Unneeded((), ())
    needed = {path for logged in _needed(native, table, before) for path in (logged, unquote(logged))}
    entries = entries_of(native.folder, table.metadata().partition_columns)
    return unneeded(entries, needed, before * 1000)


def _needed(native: NativeTable, table: deltalake.DeltaTable, before: int) -> Iterator[str]:
    """The paths, as the log spells them, of files in the newest version, or in it since ``before`` (us since 1970)."""
    live: list[str] = pa.table(table.get_add_actions(flatten=True)).column("path").to_pylist()
    later = (
        removal["path"]
        for removal in _removals(native, int(table.version()))
        if (removal.get("deletionTimestamp") or 0) * 1000 >= before
    )
    for path in (*live, *later):
        if _ABSOLUTE.match(path):
            raise UnsupportedTableError(
                f"table {native.path}: its log names {path}, which is not a path in its folder; only Spark's vacuum "
                "knows such tables"
            )
        yield path


def _removals(native: NativeTable, version: int) -> Iterator[Mapping[str, Any]]:
    """The removed files that a version's log still names: those in its last checkpoint, and in the commits after it."""
    folder = native.folder
    listed = [file.base_name for file in folder.listed("_delta_log")]
    names = [match for name in listed if (match := _CHECKPOINT.fullmatch(name))]
    newest = max((int(match[1]) for match in names if int(match[1]) <= version), default=-1)
    if newest >= 0:
        yield from _in_checkpoint(folder, f"_delta_log/{newest:020}.checkpoint.parquet")
    for number in range(newest + 1, version + 1):
        yield from _in_commit(native, number)


def _in_checkpoint(folder: Folder, checkpoint: str) -> Iterator[Mapping[str, Any]]:
    with pq.ParquetFile(folder.file(checkpoint), filesystem=folder.system) as opened:
        schema = opened.schema_arrow
        if "remove" not in schema.names:
            return
        named = {field.name for field in schema.field("remove").type}
        wanted = [f"remove.{name}" for name in _OF_REMOVAL if name in named]
        removals = opened.read(columns=wanted).column("remove").combine_chunks()
    yield from map(_plain, removals.filter(removals.is_valid()).to_pylist())


def _in_commit(native: NativeTable, version: int) -> Iterator[Mapping[str, Any]]:
    try:
        actions = native.actions(version)
    except FileNotFoundError as error:
        raise UnsupportedTableError(
            f"table {native.path}: {version:020}.json is gone, and the table's last checkpoint is of a kind that "
            "only Spark's vacuum reads"
        ) from error
    yield from (_plain(action["remove"]) for action in actions if "remove" in action)


def _plain(removal: Mapping[str, Any]) -> Mapping[str, Any]:
    """The removal, if its file is all that it names."""
    if removal.get("deletionVector") is not None:
        raise UnsupportedTableError(
            f"{removal['path']}: its table had deletion vectors; only Spark's vacuum knows their files"
        )
    return removal


def _remove(folder: Folder, path: str) -> None:
    """Remove a file with the checksum that Hadoop keeps beside it on a disk; another vacuum may have done so."""
    folder.remove(path)
    if folder.system is None:
        parent, _, name = path.rpartition("/")
        folder.remove(f"{parent}/.{name}.crc" if parent else f".{name}.crc")


def _remove_folders(native: NativeTable, folders: tuple[Entry, ...]) -> int:
    """Remove the folders that are still empty; returns their number."""
    removed = 0
    for folder in folders:
        # A writer may have begun a file there.
        with suppress(OSError):
            Path(native.path, folder.path).rmdir()
            removed += 1
    return removed
