"""A description in a terminal, by rich."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from featurestore.display.description import MOST_ROWS, Display, Mark, Table, text_of

_STYLES = {"good": "green", "warning": "yellow", "bad": "bold red", "muted": "dim"}


def as_rich(display: Display, most_rows: int | None = MOST_ROWS) -> RenderableType:
    """What rich prints; of a table at most ``most_rows``, and then how many there are (none: all)."""
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
    shown = RichTable(box=box.SIMPLE_HEAD, title=_text(table.caption) if table.caption else None, title_justify="left")
    for position, name in enumerate(table.columns):
        shown.add_column(Text(name), justify="right" if table.is_of_numbers(position) else "left", overflow="fold")
    for row in table.rows[:most_rows]:
        shown.add_row(*map(_text, row))
    if most_rows is None or len(table.rows) <= most_rows:
        return [shown]
    return [shown, Text(f"The first {most_rows:,} of {len(table.rows):,} rows.", style="dim")]


def _text(value: Any, style: str = "") -> Text:
    # What a value holds must not steer the terminal.
    text = text_of(value).replace("\x1b", "\u241b")
    return Text(text, style=_STYLES[value.tone] if isinstance(value, Mark) else style)
