"""Which files and folders of a table's folder no version within a horizon needs, by Delta's rules."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from featurestore.stores.places import Folder

# Delta's own folders that are removed like others, although their names begin as those of hidden ones.
_NOT_HIDDEN = ("_change_data", "_delta_index")


@dataclass(frozen=True)
class Entry:
    """A file or an empty folder below the table's folder: its path there, and when it was modified (ns since 1970)."""

    path: str
    bytes: int
    modified: int
    is_folder: bool = False


@dataclass(frozen=True)
class Unneeded:
    """The files that can be removed, and the folders that were already empty."""

    files: tuple[Entry, ...]
    folders: tuple[Entry, ...]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def unneeded(entries: Collection[Entry], needed: Collection[str], before: int) -> Unneeded:
    """The entries that have not been modified since ``before`` (ns since 1970) and are not ``needed``.

    A file that a writer has not committed yet is protected by its age alone. A folder is as old as the last file that
    was added to it or removed from it.
    """
    old = [entry for entry in entries if entry.modified < before]
    return Unneeded(
        tuple(entry for entry in old if not entry.is_folder and entry.path not in needed),
        tuple(entry for entry in old if entry.is_folder),
    )


def entries_of(folder: Folder, partitioned_by: Sequence[str]) -> list[Entry]:
    """The files and the empty folders of a table, without those that are hidden from its readers and its vacuums.

    Links are left out: no writer of tables makes them, and what they name is not the table's. An object store has no
    folders that are empty.
    """
    if folder.system is None:
        return list(_below(Path(folder.path), "", partitioned_by))
    found = folder.listed(recursive=True)
    files = [(each, each.path.removeprefix(f"{folder.path}/")) for each in found if each.is_file]
    return [
        Entry(path, each.size, each.mtime_ns)
        for each, path in files
        if not any(is_hidden(part, partitioned_by) for part in path.split("/"))
    ]


def _below(folder: Path, path: str, partitioned_by: Sequence[str]) -> Iterator[Entry]:
    try:
        with os.scandir(folder) as opened:
            found = list(opened)
        modified = folder.stat().st_mtime_ns
    except FileNotFoundError:
        # An erasure or another vacuum removed it meanwhile.
        return
    if not found and path:
        yield Entry(path, 0, modified, is_folder=True)
    for entry in found:
        if is_hidden(entry.name, partitioned_by) or entry.is_symlink():
            continue
        inner = f"{path}/{entry.name}" if path else entry.name
        if entry.is_dir():
            yield from _below(Path(entry.path), inner, partitioned_by)
        else:
            try:
                stat = entry.stat()
            except FileNotFoundError:
                continue
            yield Entry(inner, stat.st_size, stat.st_mtime_ns)


def is_hidden(name: str, partitioned_by: Sequence[str]) -> bool:
    """Whether a file or folder is none of the table's data: its log, a checksum, what people put there."""
    if not name.startswith((".", "_")) or name.startswith(_NOT_HIDDEN):
        return False
    return not any(name.startswith(f"{column}=") for column in partitioned_by)
