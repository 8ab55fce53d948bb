"""The header of a CSV file, read from the file's first bytes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable

# A line of text with its line end: Unix, Windows, or old Macintosh.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|$)")


def header_record(text: str, quote: str = '"', comment: str = "") -> str | None:
    """The first record of a file, which is its header; None if there is none.

    Blank lines, and lines that begin with ``comment``, may come before it. A quoted name may contain line ends.
    """
    record = ""
    for match in _LINE.finditer(text):
        line = match.group()
        if not record and (not line.strip("\r\n") or (comment and line.startswith(comment))):
            continue
        record += line
        if not quote or record.count(quote) % 2 == 0:
            break
    return record.rstrip("\r\n") or None


def is_whole(text: str, record: str | None) -> bool:
    """Whether the record ends within the text, so that more text of the file would give the same record."""
    return record is not None and len(text.rstrip("\r\n")) > text.index(record) + len(record)


def header_names(record: str, separator: str = ",", quote: str = '"') -> list[str]:
    """The names in the record (RFC 4180), unchanged.

    Raises ValueError if the record is not UTF-8, or a quote is not closed.
    """
    if any("\ud800" <= character <= "\udfff" for character in record):
        raise ValueError("its header is not UTF-8; convert the file")
    if len(separator) != 1 or len(quote) != 1:
        return record.split(separator)
    try:
        [names] = csv.reader([record], strict=True, delimiter=separator, quotechar=quote)
    except csv.Error as error:
        raise ValueError(f"its header cannot be read ({error})") from error
    return names


def doubled(names: Iterable[str]) -> list[str]:
    """The names that come twice, empty ones excepted; Spark ignores the case of a name and blanks around it."""
    folded = [name.strip().lower() for name in names]
    return sorted({name for name in folded if name and folded.count(name) > 1})
