"""Conditions on rows of the small tables, for Arrow and for SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

Operator = Literal["=", "<=", ">=", "in", "is null", "is not null"]


@dataclass(frozen=True)
class Test:
    """A column compared with a value; a null in the column passes only ``is null``."""

    column: str
    operator: Operator
    value: Any = None

    def expression(self, schema: pa.Schema) -> pc.Expression:
        field, kind = pc.field(self.column), schema.field(self.column).type
        if self.operator == "in":
            return field.isin(pa.array([value for value in self.value if value is not None], kind))
        if self.operator == "is null":
            return field.is_null()
        if self.operator == "is not null":
            return field.is_valid()
        value = pa.scalar(self.value, kind)
        if self.operator == "=":
            return field == value
        return field <= value if self.operator == "<=" else field >= value

    def sql(self, literal: Callable[[str], str]) -> str:
        if self.operator in ("is null", "is not null"):
            return f"`{self.column}` {self.operator.upper()}"
        if self.operator == "in":
            listed = ", ".join(_sql_value(value, literal) for value in self.value if value is not None)
            return f"`{self.column}` IN ({listed})" if listed else "false"
        return f"`{self.column}` {self.operator} {_sql_value(self.value, literal)}"


@dataclass(frozen=True)
class AnyOf:
    """Rows that pass one of several conditions, each of which is a list of tests."""

    choices: tuple[tuple[Test, ...], ...]

    def expression(self, schema: pa.Schema) -> pc.Expression:
        whole = pc.scalar(False)
        for tests in self.choices:
            whole = whole | arrow_condition(tests, schema)
        return whole

    def sql(self, literal: Callable[[str], str]) -> str:
        return "(" + (" OR ".join(f"({sql_condition(tests, literal)})" for tests in self.choices) or "false") + ")"


# All of them must hold.
Where = Sequence[Test | AnyOf]


def equal(**values: Any) -> list[Test | AnyOf]:
    """Rows with these values."""
    return [Test(column, "=", value) for column, value in values.items()]


def arrow_condition(where: Where, schema: pa.Schema) -> pc.Expression:
    """The condition on columns of these types."""
    whole = pc.scalar(True)
    for test in where:
        whole = whole & test.expression(schema)
    return whole


def sql_condition(where: Where, literal: Callable[[str], str]) -> str:
    """The condition in SQL; ``literal`` writes a text in the engine's own way."""
    return " AND ".join(test.sql(literal) for test in where) or "true"


def columns_of(where: Where) -> set[str]:
    """The columns that a condition reads."""
    names: set[str] = set()
    for test in where:
        if isinstance(test, Test):
            names.add(test.column)
        else:
            names |= {name for tests in test.choices for name in columns_of(tests)}
    return names


def _sql_value(value: Any, literal: Callable[[str], str]) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"CAST('{value!r}' AS DOUBLE)"
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.astimezone(UTC).isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    return str(int(value))
