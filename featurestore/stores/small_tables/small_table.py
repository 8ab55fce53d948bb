"""The store's own small tables behind one interface, with Arrow in and out: without Spark if possible, else by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from featurestore.errors import StorageError, TableBusyError
from featurestore.late_spark import F, from_arrow_type
from featurestore.stores.arrow import to_spark
from featurestore.stores.delta.log import LogCommit, Transaction
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.delta.table import DeltaTable, literal
from featurestore.stores.delta.which_rows import Where, columns_of, sql_condition

# An append adds a file, and a read opens every file; so every so many commits they become one a partition.
_COMMITS_BETWEEN_COMPACTIONS = 50


class SmallTable(Protocol):
    """A table of few rows with a fixed schema; the first append creates it, and a later schema only adds columns."""

    @property
    def schema(self) -> pa.Schema: ...

    def exists(self) -> bool: ...

    def create(self) -> None:
        """Create the table, or add the columns that an older one lacks."""

    def append(self, rows: pa.Table, transaction: Transaction | None = None) -> None:
        """Append rows with columns of the schema; the others are null. A repeated transaction changes nothing."""

    def read(self, where: Where = (), columns: Sequence[str] | None = None) -> pa.Table:
        """Return rows in no particular order; none if there is no table. Columns that the table lacks are null."""

    def replace(self, rows: pa.Table, where: Where) -> None:
        """Replace the rows that pass ``where`` with these, which must pass it too, in one commit."""

    def update(self, where: Where, values: Mapping[str, Any]) -> None:
        """Give columns new values in the rows that pass ``where``, in one commit."""

    def version(self) -> int: ...

    def history(self, limit: int | None = None) -> list[LogCommit]:
        """Return the commits that the log still has, newest first."""


def small_table(table: DeltaTable, schema: pa.Schema, partition_by: Sequence[str] = ()) -> SmallTable:
    """The table through delta-rs if this process reaches its files, else through Spark."""
    if table.native is not None:
        return NativeSmallTable(table.native, schema, tuple(partition_by))
    return SparkSmallTable(table, schema, tuple(partition_by))


def rows_of(schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of Python values as Arrow; a missing value is null."""
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.table(columns, schema=schema)


def _fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with exactly these columns, in this order; a missing column is null."""
    columns = [
        rows.column(field.name).cast(field.type) if field.name in rows.column_names else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _wanted(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])


def _present(wanted: pa.Schema, stored: Sequence[str]) -> list[str]:
    """The wanted columns that are stored; another one if none is: without any column, rows would lose their number."""
    return [name for name in wanted.names if name in stored] or list(stored[:1])


@dataclass(frozen=True)
class NativeSmallTable:
    """A small table whose files this process reaches, through delta-rs and Arrow."""

    table: NativeTable
    schema: pa.Schema
    partition_by: tuple[str, ...]

    def exists(self) -> bool:
        return self.table.exists()

    def create(self) -> None:
        if not self.exists():
            return self.table.create(self.schema, self.partition_by)
        stored = set(self.table.schema().names)
        # Most tables lack none, and need no lock to find that out.
        lacking = [field for field in self.schema if field.name not in stored]
        return self.table.add_columns(lacking) if lacking else None

    def append(self, rows: pa.Table, transaction: Transaction | None = None) -> None:
        self.create()
        before = self.table.version()
        self.table.append(self._ordered(rows), transaction)
        # Of several writers at once, the one that passed the number sees it.
        if before // _COMMITS_BETWEEN_COMPACTIONS < self.table.version() // _COMMITS_BETWEEN_COMPACTIONS:
            # The rows are there whatever comes of this; the next time tries it again.
            with suppress(TableBusyError, StorageError):
                self.table.compact()

    def _ordered(self, rows: pa.Table) -> pa.Table:
        fitted = _fitted(rows, self.schema)
        return fitted.sort_by([(name, "ascending") for name in self.partition_by]) if self.partition_by else fitted

    def read(self, where: Where = (), columns: Sequence[str] | None = None) -> pa.Table:
        wanted = _wanted(self.schema, columns)
        if not self.exists():
            return wanted.empty_table()
        stored = self.table.schema().names
        if missing := columns_of(where) - set(stored):
            raise KeyError(f"table {self.table.path} has no columns {sorted(missing)} to filter by")
        return _fitted(self.table.read(where, _present(wanted, stored)), wanted)

    def replace(self, rows: pa.Table, where: Where) -> None:
        self.create()
        self.table.replace(self._ordered(rows), where)

    def update(self, where: Where, values: Mapping[str, Any]) -> None:
        self.table.update(where, values)

    def version(self) -> int:
        return self.table.version()

    def history(self, limit: int | None = None) -> list[LogCommit]:
        return self.table.history(limit)


@dataclass(frozen=True)
class SparkSmallTable:
    """A small table that only Spark reaches: by catalog name, over Spark Connect, or on a platform's own storage."""

    table: DeltaTable
    schema: pa.Schema
    partition_by: tuple[str, ...]

    def exists(self) -> bool:
        return self.table.exists()

    def create(self) -> None:
        if not self.exists():
            return self.table.create(self.schema, self.partition_by)
        stored = set(self.table.read().columns)
        return self.table.add_columns([field for field in self.schema if field.name not in stored])

    def append(self, rows: pa.Table, transaction: Transaction | None = None) -> None:
        self.create()
        frame = to_spark(self.table.spark, _fitted(rows, self.schema)).coalesce(1)
        self.table.append(frame, transaction)

    def read(self, where: Where = (), columns: Sequence[str] | None = None) -> pa.Table:
        wanted = _wanted(self.schema, columns)
        if not self.exists():
            return wanted.empty_table()
        rows = self.table.read()
        if where:
            rows = rows.where(sql_condition(where, literal))
        present = (F.col(name) for name in _present(wanted, rows.columns))
        return _fitted(rows.select(*present).toArrow(), wanted)

    def replace(self, rows: pa.Table, where: Where) -> None:
        self.create()
        frame = to_spark(self.table.spark, _fitted(rows, self.schema)).coalesce(1)
        self.table.replace(frame, sql_condition(where, literal))

    def update(self, where: Where, values: Mapping[str, Any]) -> None:
        typed = {
            name: F.lit(value).cast(from_arrow_type(self.schema.field(name).type)) for name, value in values.items()
        }
        self.table.update(F.expr(sql_condition(where, literal)), typed)

    def version(self) -> int:
        return self.table.version()

    def history(self, limit: int | None = None) -> list[LogCommit]:
        return self.table.history(limit)
