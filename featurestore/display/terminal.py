"""Show a description in a terminal, by rich."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from featurestore.display.description import MOST_ROWS, Display, Mark, Table, text_of

_STYLES = {"good": "green", "warning": "yellow", "bad": "bold red", "muted": "dim"}


def as_rich(display: Display, most_rows: int | None = MOST_ROWS) -> RenderableType:
    """A renderable for rich; a longer table shows ``most_rows`` (None: all) and their total number."""
    parts: list[RenderableType] = [_text(display.title, "bold")] if display.title else []
    parts += [_text(line) for line in display.lines]
    if display.facts:
        parts.append(_facts(display.facts))
    for table in display.shown_tables:
        parts += _table(table, most_rows)
    return Group(*parts)


def _facts(facts: tuple[tuple[str, Any], ...]) -> RichTable:
    grid = RichTable.grid(padding=(0, 2))
    for name, value in facts:
        grid.add_row(Text(name, style="dim"), _text(value))
    return grid


def _table(table: Table, most_rows: int | None) -> list[RenderableType]:
    if not table.rows:
        return [Text(f"{table.caption}: No rows." if table.caption else "No rows.")]
    grid = RichTable(box=box.SIMPLE_HEAD, title=_text(table.caption) if table.caption else None, title_justify="left")
    for position, name in enumerate(table.columns):
        grid.add_column(Text(name), justify="right" if table.is_of_numbers(position) else "left", overflow="fold")
    for row in table.rows[:most_rows]:
        grid.add_row(*map(_text, row))
    if most_rows is None or len(table.rows) <= most_rows:
        return [grid]
    return [grid, Text(f"The first {most_rows:,} of {len(table.rows):,} rows.", style="dim")]


def _text(value: Any, style: str = "") -> Text:
    # A value must not control the terminal.
    text = text_of(value).replace("\x1b", "\u241b")
    return Text(text, style=_STYLES[value.tone] if isinstance(value, Mark) else style)
