"""Tables on object stores that stay open, since opening one takes a request for each file of its log."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import NamedTuple, TypeAlias

import deltalake

from featurestore.stores.objects import environment, listed_from
from featurestore.stores.places import Folder

# Each holds the list of its files.
_MOST = 32
_OF_VERSION = re.compile(r"(\d{20})\.(json|checkpoint\..*)")
# The commit of a version and its checkpoint, each by its name and what tells one content from another.
LogEntry: TypeAlias = frozenset[tuple[str, str]]


class _Opened(NamedTuple):
    """``entry``: what the log had of this version when the table was opened.

    With another commit, the table was removed and made anew. Once there is a checkpoint, earlier commits may go.
    """

    table: deltalake.DeltaTable
    version: int
    entry: LogEntry


class SharedTables:
    """Tables in the newest version that was found, for all threads of this process, which leave them at it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._opened: OrderedDict[Hashable, _Opened] = OrderedDict()

    def opened(
        self, folder: Folder, version: int | None, anew: Callable[[], deltalake.DeltaTable]
    ) -> deltalake.DeltaTable:
        """The table in a version, by default the newest: the one that is open, if it still is that, or ``anew``.

        Costs a request beside those of ``anew``. Raises what ``anew`` raises, and StorageError.
        """
        key = (folder.store, folder.path, environment())
        known = self._known(key)
        log: dict[int, LogEntry] = {}
        if known is not None:
            log = _log_from(folder, known.version)
            is_wanted = known.version == (max(log, default=None) if version is None else version)
            if is_wanted and log.get(known.version) == known.entry:
                return known.table
        table = anew()
        if version is None:
            self._keep(key, _as_opened(folder, table, log))
        return table

    def _known(self, key: Hashable) -> _Opened | None:
        with self._lock:
            if key in self._opened:
                self._opened.move_to_end(key)
            return self._opened.get(key)

    def _keep(self, key: Hashable, opened: _Opened) -> None:
        with self._lock:
            self._opened[key] = opened
            self._opened.move_to_end(key)
            while len(self._opened) > _MOST:
                self._opened.popitem(last=False)


def _as_opened(folder: Folder, table: deltalake.DeltaTable, log: dict[int, LogEntry]) -> _Opened:
    """A table that was opened just now; ``log``: what was there before."""
    version = int(table.version())
    entry = log.get(version)
    if entry is None:
        # What is there now may have come after it was opened, but for the commit itself.
        now = _log_from(folder, version).get(version, frozenset())
        entry = frozenset(file for file in now if file[0].endswith(".json"))
    return _Opened(table, version, entry)


def _log_from(folder: Folder, version: int) -> dict[int, LogEntry]:
    """What the log has of this version and of later ones."""
    assert folder.store is not None
    found: dict[int, set[tuple[str, str]]] = {}
    for name, content in listed_from(folder.store, folder.key("_delta_log"), f"{version:020}").items():
        if match := _OF_VERSION.fullmatch(name):
            found.setdefault(int(match[1]), set()).add((name, content))
    return {number: frozenset(files) for number, files in found.items()}
