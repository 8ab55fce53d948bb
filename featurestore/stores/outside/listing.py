"""What the files of a user's table are, in one state of it: their columns, and for each what is known unread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Protocol

import pyarrow as pa
from pyarrow import fs

from featurestore.columnar.as_of.value_files import Bound, Bounds
from featurestore.definitions.values.time_window import to_micros
from featurestore.stores.outside.pins import SourcePin

_EPOCH = date(1970, 1, 1)


class Facts(Protocol):
    """What is known of a file's columns without its rows."""

    def bounds(self, name: str, kind: pa.DataType) -> Bounds:
        """The bounds of a column as the kernel compares values of the type ``kind``; None where none is known."""


@dataclass(frozen=True)
class ListedFile:
    """A file: as messages name it, where it is, and the values of columns that it does not hold itself.

    ``folders``: whether these values are texts of names of folders, whose type only a reader knows.
    """

    path: str
    place: str
    rows: int
    bytes: int
    facts: Facts
    constants: Mapping[str, Any] = field(default_factory=dict)
    folders: bool = False
    state: tuple[int, int] | None = None


@dataclass(frozen=True)
class Listing:
    """One state of a table: its columns in plain types, its files, and what tells that state from others.

    ``folders``: columns whose values are names of folders; they can be read as texts, whole numbers, dates and so on.
    """

    schema: pa.Schema
    files: Sequence[ListedFile]
    pin: SourcePin
    folders: frozenset[str] = frozenset()
    system: fs.FileSystem | None = None


def python_bound(value: Any) -> Bound:
    """A bound as the kernel compares it, from a value of Python."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, datetime):
        return to_micros(value if value.tzinfo is not None else value.replace(tzinfo=UTC))
    if isinstance(value, date):
        return (value - _EPOCH).days
    return int(value) if isinstance(value, int) else None
