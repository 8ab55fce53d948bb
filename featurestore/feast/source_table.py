"""The rows of a source, whatever kind it is of: as the as-of kernel takes them, and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import pandas as pd
import pyarrow as pa

from featurestore.columnar.as_of.value_files import Bounds, Partition, RowGroup
from featurestore.columnar.values.latest_order import CREATED, EVENT
from featurestore.stores.outside.casts import INSTANT
from featurestore.stores.outside.chosen import Ranges
from featurestore.stores.outside.rows import WantedColumn

# In which Feast reads timestamps without a time zone.
ZONE = "UTC"

# By the reader's name the wanted column.
Columns: TypeAlias = Mapping[str, WantedColumn]

# Before any instant that a value may have.
_ALWAYS = -(2**62)
_NO_BOUNDS: Bounds = (None, None)


def time_columns(event: str, created: str | None, *, without_created: bool = True) -> dict[str, WantedColumn]:
    """The times of rows, by the source's names of columns, as EVENT and CREATED.

    What is finer than a microsecond is rounded up, so that no value is seen too early. A row without a created time
    counts as created at its event time; unless it is wanted so (``without_created``), it holds null.
    """
    return {
        EVENT: WantedColumn(event, INSTANT, rounded_up=True),
        CREATED: WantedColumn(
            created or event, INSTANT, rounded_up=True, otherwise=event if created and without_created else None
        ),
    }


def instants_of_texts(column: Any) -> pa.Array:
    """Texts in ISO 8601 as instants, in UTC if they name no other zone; raises ValueError for other texts."""
    return pa.array(pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601"))


@dataclass(frozen=True)
class Values:
    """Values for the as-of kernel, with the types of their columns. ``place``: where they are, for messages."""

    partitions: Sequence[Partition]
    types: Mapping[str, pa.DataType]
    place: str

    @classmethod
    def in_memory(cls, rows: pa.Table, keys: int, place: str) -> Values:
        """Rows that were read; ``keys``: how many columns are keys."""
        types = {each.name: each.type for each in rows.schema}
        return cls([Partition(_ALWAYS, (MemoryFile(rows, keys),))] if rows.num_rows else [], types, place)


@dataclass(frozen=True)
class MemoryFile:
    """Rows in memory as a file of values for the as-of kernel; see ``ValueFile``."""

    table: pa.Table
    keys: int
    created: tuple[int | None, int | None] = (None, None)

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)

    @property
    def bytes(self) -> int:
        return int(self.table.nbytes)

    @property
    def bounds(self) -> tuple[Bounds, ...]:
        return (_NO_BOUNDS,) * self.keys

    def open(self) -> MemoryFile:
        return self

    @property
    def row_groups(self) -> Sequence[RowGroup]:
        return [RowGroup(self.rows, self.bytes, self.bounds)]

    def read(self, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        return self.table.select(list(columns))


class SourceTable(Protocol):
    """The rows of a source in its newest state.

    All methods raise NotFoundError if nothing is there, SchemaError for columns that are missing or of a type that is
    not read without loss, and StorageError.
    """

    @property
    def name(self) -> str: ...

    @property
    def schema(self) -> pa.Schema:
        """The columns in plain types."""

    def values(self, columns: Columns, *, required: Sequence[str], asked: pa.Table) -> Values:
        """The rows with no null in a column that is required, with EVENT and CREATED among the columns.

        ``asked``: the keys that are wanted, which are the columns of these names; rows with other keys may be among
        the values.
        """

    def read(self, columns: Columns, *, required: Sequence[str], ranges: Ranges) -> pa.Table:
        """The rows with these columns, where those that are ``required`` are not null, and within the ranges.

        A bound of a range is included; None is no bound.
        """
