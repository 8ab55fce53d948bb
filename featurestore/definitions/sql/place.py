"""Where in the user's text something stands, in words."""

from __future__ import annotations

import re

_WORD = re.compile(r"`(?:[^`]|``)*`|\w+|[^\w\s]")


def place_at(sql: str, offset: int) -> str:
    """``line 2, column 5`` of the character at ``offset``; both count from 1."""
    before = sql[:offset]
    return f"line {before.count(chr(10)) + 1}, column {offset - before.rfind(chr(10))}"


def place_in_original(original: str, written: str, start: int) -> str | None:
    """The place in ``original`` of the word at ``start`` of ``written``, the text made from it; None where it is not clear.

    Both have the same words in the same order; only what is between them, and quotes around names, may differ. So the
    n-th of a word in the one is the n-th in the other, if both have equally many.
    """
    words = [(match.start(), _bare(match[0])) for match in _WORD.finditer(written)]
    at = [word for offset, word in words if offset <= start]
    if not at:
        return None
    word = at[-1]
    offsets = [match.start() for match in _WORD.finditer(original) if _bare(match[0]) == word]
    if len(offsets) != sum(other == word for _, other in words):
        return None
    return place_at(original, offsets[at.count(word) - 1])


def _bare(word: str) -> str:
    return word.strip("`").lower()
