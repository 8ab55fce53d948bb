"""The table of statistics: one row per tenant, group, feature and event date, and how far each group is profiled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.delta.which_rows import AnyOf, Test, Where, equal
from featurestore.stores.small_tables.small_table import SmallTable, rows_of, small_table

Dates = tuple[date | None, date | None]

_TOP = pa.struct([("value", pa.string()), ("rows", pa.int64())])
SCHEMA = pa.schema(
    {
        "tenant_id": pa.string(),
        "feature_group": pa.string(),
        "group_version": pa.int32(),
        "event_date": pa.date32(),
        "feature": pa.string(),
        "type": pa.string(),
        "measure": pa.string(),
        "rows": pa.int64(),
        "nulls": pa.int64(),
        "numbers": pa.int64(),
        "minimum": pa.float64(),
        "maximum": pa.float64(),
        "mean": pa.float64(),
        "squares": pa.float64(),
        "quantiles": pa.list_(pa.field("element", pa.float64())),
        "distinct_values": pa.int64(),
        "top": pa.list_(pa.field("element", _TOP)),
        "distinct_sketch": pa.binary(),
        "table_version": pa.int64(),
        "computed_at": pa.timestamp("us", "UTC"),
        # Only in a group's mark, a row without an event date: what was profiled.
        "contents": pa.string(),
        # Null in rows that earlier versions wrote, which are not read.
        "points": pa.list_(pa.field("element", pa.float64())),
    }
)


@dataclass(frozen=True)
class Mark:
    """States that all of a group's rows up to a version of its table are profiled; ``contents`` says how."""

    table_version: int
    contents: str


@dataclass(frozen=True)
class Statistics:
    """The statistics of all tenants; methods name the tenant, and most the group."""

    table: SmallTable

    @classmethod
    def of(cls, table: DeltaTable) -> Statistics:
        # Partitioned by group, so that profiling different groups at once causes no conflicts.
        return cls(small_table(table, SCHEMA, ["tenant_id", "feature_group"]))

    def mark(self, tenant_id: str, group: FeatureGroup) -> Mark | None:
        """Return how far the group was profiled as a whole; None if it never was."""
        where = [*_of(tenant_id, group), Test("event_date", "is null")]
        marks = self.table.read(where, ["table_version", "contents"]).to_pylist()
        return Mark(**marks[0]) if marks else None

    def lines(self, tenant_id: str, group: FeatureGroup, dates: Dates = (None, None)) -> pa.Table:
        """Return the rows of these event dates, both inclusive; None means no bound."""
        rows = self.table.read([*_of(tenant_id, group), *_inside(dates)])
        return rows.filter(rows.column("points").is_valid())

    def of_tenant(self, tenant_id: str) -> pa.Table:
        """Return the rows and marks of all the tenant's groups, in every version."""
        return self.table.read(equal(tenant_id=tenant_id))

    def replace(
        self,
        lines: pa.Table,
        tenant_id: str,
        group: FeatureGroup,
        where: Dates | list[date],
        table_version: int,
        contents: str | None,
        now: datetime,
    ) -> None:
        """Replace all statistics of the dates ``where`` with these, in one commit.

        ``where`` is a first and a last date, both inclusive, or a list of dates. With ``contents`` the group's mark is
        replaced, too.
        """
        constants = {
            "tenant_id": tenant_id,
            "feature_group": group.name,
            "group_version": group.version,
            "table_version": table_version,
            "computed_at": now,
        }
        mark = [] if contents is None else [rows_of(SCHEMA, [{"contents": contents}])]
        whole = pa.concat_tables([_complete(lines), *mark])
        for name, value in constants.items():
            column = pa.repeat(pa.scalar(value, SCHEMA.field(name).type), whole.num_rows)
            whole = whole.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), column)
        self.table.replace(whole, _replaced(tenant_id, group, where, contents))


def _complete(lines: pa.Table) -> pa.Table:
    """The lines with all columns; those that they lack are null."""
    columns: list[Any] = [
        lines.column(field.name).cast(field.type)
        if field.name in lines.column_names
        else pa.nulls(len(lines), field.type)
        for field in SCHEMA
    ]
    return pa.table(columns, schema=SCHEMA)


def _of(tenant_id: str, group: FeatureGroup) -> Where:
    return equal(tenant_id=tenant_id, feature_group=group.name, group_version=group.version)


def _inside(dates: Dates) -> list[Test]:
    first, last = dates
    tests = [Test("event_date", "is not null")]
    tests += [] if first is None else [Test("event_date", ">=", first)]
    return tests if last is None else [*tests, Test("event_date", "<=", last)]


def _replaced(tenant_id: str, group: FeatureGroup, where: Dates | list[date], contents: str | None) -> Where:
    """The rows to be replaced."""
    dates = _inside(where) if isinstance(where, tuple) else [Test("event_date", "in", tuple(where))]
    mark = [] if contents is None else [(Test("event_date", "is null"),)]
    return [*_of(tenant_id, group), AnyOf((tuple(dates), *mark))]
