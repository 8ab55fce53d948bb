"""What the kernel needs to know of the files that hold a group's values, and how it reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import pyarrow as pa

# The least and the greatest key: whole numbers (days and microseconds for dates and timestamps), or UTF-8 bytes. They
# may be wider than the values; None means that there is no bound.
Bound: TypeAlias = int | bytes | None
Bounds: TypeAlias = tuple[Bound, Bound]
# A file elsewhere than on this disk that has no more bytes is read whole, since a request takes longer than these.
READ_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class RowGroup:
    """Some consecutive rows of a file that are read together; ``bytes``: of all columns, decompressed; ``bounds``: of
    each join key."""

    rows: int
    bytes: int
    bounds: tuple[Bounds, ...]


class OpenedFile(Protocol):
    """A file whose footer was read."""

    @property
    def row_groups(self) -> Sequence[RowGroup]:
        """The row groups, in the order of the file."""

    def read(self, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """The rows of these row groups, in their order, with these columns in the types of the table.

        A column that the file lacks is null. Texts of join keys may be dictionaries.
        """


class ValueFile(Protocol):
    """A file of values, by what the log says about it. ``created``: bounds of the created timestamps, if known."""

    @property
    def rows(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    @property
    def bounds(self) -> tuple[Bounds, ...]: ...

    @property
    def created(self) -> tuple[int | None, int | None]: ...

    def open(self) -> OpenedFile: ...


@dataclass(frozen=True)
class Partition:
    """The files with event timestamps from ``start``, in microseconds since 1970, up to the next partition's."""

    start: int
    files: tuple[ValueFile, ...]
