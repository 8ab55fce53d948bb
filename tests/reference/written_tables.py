"""Tables as text, so that a test shows what goes in and what comes out:

    user_id | event_timestamp | score | row long
    u1      | 12:00           | 1.5   | 1
    u1      | 12:00:00.000001 | -     | 2

A column without a type has the type of the group's column of its name; any other column spells its type. ``-`` is null,
``""`` the empty string. A time alone is on 2026-03-02, in UTC; another day is written before it. Examples of a join have
``||`` between the spine's columns and the columns that the join must add.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from featurestore import FeatureGroup

DAY = "2026-03-02"


def instant(text: str) -> datetime:
    """``12:00`` on 2026-03-02, or ``1969-12-31 23:59:59.999999``; UTC."""
    return datetime.fromisoformat(text if "-" in text else f"{DAY} {text}").replace(tzinfo=UTC)


_TYPES: dict[str, tuple[pa.DataType, Callable[[str], Any]]] = {
    "string": (pa.string(), lambda text: "" if text == '""' else text),
    "double": (pa.float64(), float),
    "long": (pa.int64(), int),
    "int": (pa.int32(), int),
    "boolean": (pa.bool_(), {"true": True, "false": False}.__getitem__),
    "date": (pa.date32(), date.fromisoformat),
    "timestamp": (pa.timestamp("us", tz="UTC"), instant),
}


@dataclass(frozen=True)
class WrittenTable:
    schema: pa.Schema
    rows: list[dict[str, Any]]

    @property
    def arrow(self) -> pa.Table:
        return pa.Table.from_pylist(self.rows, self.schema)


@dataclass(frozen=True)
class Examples:
    """Spine rows, and the same rows with the values that must be found for them."""

    spine: pa.Table
    expected: WrittenTable


class TablesOf:
    """Reads tables that take the types of their columns from a group's definition."""

    def __init__(self, group: FeatureGroup) -> None:
        self._types = {
            "event_timestamp": "timestamp",
            "created_timestamp": "timestamp",
            **group.entity.join_keys,
            **{feature.name: feature.type for feature in group.features},
        }

    def examples(self, text: str) -> Examples:
        spine = "\n".join(line.split("||")[0] for line in text.strip().splitlines())
        return Examples(self.table(spine).arrow, self.table(text.replace("||", "|")))

    def table(self, text: str) -> WrittenTable:
        head, *lines = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
        columns = [self._column(cell) for cell in head]
        readers = [_TYPES[kind][1] for _, kind in columns]
        rows = [
            {
                name: None if cell == "-" else read(cell)
                for (name, _), read, cell in zip(columns, readers, line, strict=True)
            }
            for line in lines
        ]
        return WrittenTable(pa.schema([(name, _TYPES[kind][0]) for name, kind in columns]), rows)

    def _column(self, cell: str) -> tuple[str, str]:
        name, _, kind = cell.partition(" ")
        return name, kind or self._types[name]


def assert_table(
    actual: DataFrame | pa.Table, expected: WrittenTable, what: str = "", *, in_order: bool = False
) -> None:
    """Schema first, then rows, and how often each comes; ``in_order``: also their order. ``what`` names the result."""
    result = actual if isinstance(actual, pa.Table) else actual.toArrow()
    utc = pa.timestamp("us", tz="UTC")
    kinds = [utc if pa.types.is_timestamp(field.type) and field.type.tz else field.type for field in result.schema]
    columns = list(zip(result.schema.names, kinds, strict=True))
    assert columns == [(field.name, field.type) for field in expected.schema], what
    wanted, found = _tuples(expected.rows), _tuples(result.to_pylist())
    missing, surplus = Counter(wanted) - Counter(found), Counter(found) - Counter(wanted)
    assert not missing | surplus, f"{what}\nmissing: {_told(missing)}\nsurplus: {_told(surplus)}"
    assert not in_order or wanted == found, f"{what}: rows in another order"


def _tuples(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        tuple(value.astimezone(UTC) if isinstance(value, datetime) else value for value in row.values()) for row in rows
    ]


def _told(rows: Counter[tuple[Any, ...]]) -> str:
    return "".join(f"\n    {row} x {times}" for row, times in rows.items()) or "nothing"
