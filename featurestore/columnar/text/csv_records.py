"""The records of a CSV file as Spark's parser reads them, for files that leave no room for another reading."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.kinds.arrow_columns.reading import UndecidedError

# A cell, and the comma or the line end behind it (RFC 4180).
_CELL = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n|\Z)')
# Spark's parser takes no more cells of a record, and fails.
_MOST_CELLS = 20_000


@dataclass(frozen=True)
class Record:
    """The cells of a record, None for empty ones, and its text as it is in the file, without the line end."""

    cells: Sequence[str | None]
    text: str


def csv_records(text: str) -> list[Record]:
    """The records, without blank lines; a quoted cell has ``\\n`` for its line ends.

    Raises UndecidedError for quotes elsewhere than around whole cells, for several kinds of line ends, and for NUL.
    """
    plain = text.replace("\r\n", "\n")
    line_ends = text.count("\n")
    if "\r" in plain or len(text) - len(plain) not in (0, line_ends) or "\0" in text:
        raise UndecidedError("line ends of several kinds, or NUL")
    end = "\n" if len(plain) == len(text) else "\r\n"
    return _plain_records(plain) if '"' not in plain else _quoted_records(plain, end)


def _plain_records(text: str) -> list[Record]:
    return [Record(_checked([cell or None for cell in line.split(",")]), line) for line in text.split("\n") if line]


def _quoted_records(text: str, end: str) -> list[Record]:
    records: list[Record] = []
    cells: list[str | None] = []
    start = place = 0
    while place < len(text):
        match = _CELL.match(text, place)
        if match is None:
            raise UndecidedError("quotes that are not around whole cells")
        quoted, bare, mark = match.groups()
        cells.append((bare if quoted is None else quoted.replace('""', '"')) or None)
        place = match.end()
        if mark == "," and place < len(text):
            continue
        if mark == ",":
            cells.append(None)
        line = text[start : place if mark == "," else match.start(3)]
        if line:
            records.append(Record(_checked(cells), line.replace("\n", end)))
        cells, start = [], place
    return records


def _checked(cells: list[str | None]) -> list[str | None]:
    if len(cells) > _MOST_CELLS:
        raise UndecidedError("a record of very many cells")
    return cells
