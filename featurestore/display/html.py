"""Show a description in a notebook: self-contained HTML in the colours of the page around it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from featurestore.display.description import MOST_ROWS, Display, Mark, Table, text_of

# The notebook's own style decides whether it is light or dark, sometimes unlike the system. Text therefore takes its
# colour from its surroundings, or is mixed with it, and nothing has a background.
_STYLE = Markup("""<style>
.featurestore { margin: .5em 0; line-height: 1.45; }
.featurestore p { margin: .25em 0; }
.featurestore .scroll { overflow-x: auto; }
.featurestore table { margin: .5em 0; border-collapse: collapse; font-size: .95em; }
.featurestore caption { padding: .25em 0; text-align: left; opacity: .75; caption-side: top; }
.featurestore th, .featurestore td { padding: .25em .9em .25em 0; border: 0; text-align: left; vertical-align: top; }
.featurestore th, .featurestore td { white-space: pre-line; max-width: 40em; overflow-wrap: anywhere; }
.featurestore th { font-weight: 600; }
.featurestore tbody th { font-weight: 400; opacity: .75; white-space: nowrap; }
.featurestore thead th { white-space: nowrap; }
.featurestore thead th { border-bottom: 1px solid color-mix(in srgb, currentColor 40%, transparent); }
.featurestore tbody td { border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); }
.featurestore .facts td, .featurestore .facts th { border-bottom: 0; }
.featurestore .number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.featurestore .good { color: color-mix(in srgb, #0a0 55%, currentColor); }
.featurestore .warning { color: color-mix(in srgb, #c80 60%, currentColor); font-weight: 600; }
.featurestore .bad { color: color-mix(in srgb, #e00 60%, currentColor); font-weight: 600; }
.featurestore td span { white-space: nowrap; }
.featurestore .muted { opacity: .75; }
</style>""")


def as_html(display: Display, most_rows: int | None = MOST_ROWS) -> str:
    """A ``div`` with every value escaped; a longer table shows ``most_rows`` (None: all) and their total number."""
    parts = [_STYLE]
    if display.title:
        parts.append(Markup("<p><strong>{}</strong></p>").format(display.title))
    parts += [Markup("<p>{}</p>").format(_value(line)) for line in display.lines]
    if display.facts:
        parts.append(_facts(display.facts))
    for table in display.shown_tables:
        parts.append(_table(table, most_rows))
    return str(Markup('<div class="featurestore">\n{}\n</div>').format(_joined(parts)))


def _facts(facts: tuple[tuple[str, Any], ...]) -> Markup:
    rows = [Markup('<tr><th scope="row">{}</th><td>{}</td></tr>').format(name, _value(value)) for name, value in facts]
    return Markup('<div class="scroll"><table class="facts"><tbody>\n{}\n</tbody></table></div>').format(_joined(rows))


def _table(table: Table, most_rows: int | None) -> Markup:
    if not table.rows:
        return Markup("<p>{}No rows.</p>").format(f"{table.caption}: " if table.caption else "")
    numbers = [table.is_of_numbers(position) for position in range(len(table.columns))]
    head = [
        Markup('<th scope="col"{}>{}</th>').format(_class("number" if is_number else ""), name)
        for name, is_number in zip(table.columns, numbers, strict=True)
    ]
    body = [
        Markup("<tr>{}</tr>").format(
            _joined(_cell(value, is_number) for value, is_number in zip(row, numbers, strict=True))
        )
        for row in table.rows[:most_rows]
    ]
    caption = Markup("<caption>{}</caption>\n").format(table.caption) if table.caption else ""
    html = Markup(
        '<div class="scroll"><table>\n{}<thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody></table></div>'
    ).format(caption, _joined(head), _joined(body))
    if most_rows is None or len(table.rows) <= most_rows:
        return html
    note = f"The first {most_rows:,} of {len(table.rows):,} rows."
    return html + Markup('\n<p class="muted">{}</p>').format(note)


def _cell(value: Any, is_number: bool) -> Markup:
    return Markup("<td{}>{}</td>").format(_class("number" if is_number else ""), _value(value))


def _value(value: Any) -> Markup:
    if isinstance(value, Mark):
        return Markup("<span{}>{}</span>").format(_class(value.tone), value.text)
    return Markup("{}").format(text_of(value))


def _class(name: str) -> Markup:
    return Markup(' class="{}"').format(name) if name else Markup("")


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("\n").join(parts)
