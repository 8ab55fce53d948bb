"""Describe a result for display: a title, lines, facts, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Literal

Tone = Literal["good", "warning", "bad", "muted"]

# A longer table shows this many rows and their total number; the result itself has all rows.
MOST_ROWS = 50
_MOST_ELEMENTS = 4
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


class Amount(str):
    """A number as people read it, such as ``1.2 MiB``; it is aligned to the right like other numbers."""

    __slots__ = ()


@dataclass(frozen=True)
class Mark:
    """A word that stands out. The word alone carries the meaning; the tone only adds to it."""

    text: str
    tone: Tone


@dataclass(frozen=True)
class Table:
    """A table; each row has one value per column: any value, an ``Amount`` or a ``Mark``."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""

    def is_of_numbers(self, position: int) -> bool:
        """Whether a column has only numbers and nulls, and is aligned to the right."""
        values = [row[position] for row in self.rows if row[position] is not None]
        return bool(values) and all(
            isinstance(value, int | float | Amount) and not isinstance(value, bool) for value in values
        )


@dataclass(frozen=True)
class Display:
    """A description of a result; its parts are shown in this order."""

    title: str = ""
    lines: tuple[str | Mark, ...] = ()
    facts: tuple[tuple[str, Any], ...] = ()
    tables: tuple[Table, ...] = ()

    @property
    def shown_tables(self) -> tuple[Table, ...]:
        """The tables without those that are empty where the title already says so, such as ``0 erasures``."""
        return tuple(table for table in self.tables if table.rows or table.caption or not self.title)

    def about(self, subject: str) -> Display:
        """The same description, with the subject before its title."""
        return replace(self, title=f"{subject}: {self.title}")


def table_of(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], caption: str = "") -> Table:
    """A table of mappings, each with one value per column."""
    return Table(tuple(columns), tuple(tuple(row[name] for name in columns) for row in rows), caption)


def text_of(value: Any) -> str:
    """A value as text, empty for None. Instants are in UTC; long arrays are cut; nothing is rounded."""
    if value is None:
        return ""
    if isinstance(value, Mark):
        return value.text
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC)
        return moment.isoformat(sep=" ").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={text_of(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return _elements(value)
    return str(value)


def _elements(values: Sequence[Any]) -> str:
    if len(values) > _MOST_ELEMENTS:
        return f"[{', '.join(map(text_of, values[:3]))}, ... {len(values)} in all]"
    return f"[{', '.join(map(text_of, values))}]"


def count(number: int | None) -> Amount | None:
    """A count such as ``1,234``."""
    return None if number is None else Amount(f"{number:,}")


def share(fraction: float | None) -> Amount | None:
    """A fraction of 1 in percent, such as ``12.5%``."""
    return None if fraction is None else Amount(f"{fraction:.1%}")


def size(number: int) -> Amount:
    """Bytes in the largest unit that gives at least 1, such as ``1.2 MiB``."""
    amount, unit = float(number), 0
    while amount >= 1024 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1024, unit + 1
    return Amount(f"{amount:.1f} {_SIZES[unit]}" if unit else f"{number} B")


def utc_text(moment: datetime | None) -> str | None:
    """An instant to the second in UTC, such as ``2026-11-01 12:00:00Z``."""
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def counted(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun, such as ``1 row`` or ``2 rows``."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"
