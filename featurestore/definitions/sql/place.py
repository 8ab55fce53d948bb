"""Where in the user's text something is, in words."""

from __future__ import annotations

import re

_WORD = re.compile(r"`(?:[^`]|``)*`|\w+|[^\w\s]")


def place_at(sql: str, offset: int) -> str:
    """The place of the character at ``offset``, as ``line 2, column 5``; both count from 1."""
    before = sql[:offset]
    return f"line {before.count(chr(10)) + 1}, column {offset - before.rfind(chr(10))}"


def place_in_original(original: str, written: str, start: int) -> str | None:
    """The place in ``original`` of the word at ``start`` of ``written``, the text made from it; None if ambiguous.

    Both texts have the same words in the same order; only the text between words and the quotes around names may
    differ. So the n-th occurrence of a word in one is the n-th in the other, if both have equally many.
    """
    offsets_and_words = [(match.start(), _bare(match[0])) for match in _WORD.finditer(written)]
    words_up_to_start = [word for offset, word in offsets_and_words if offset <= start]
    if not words_up_to_start:
        return None
    target = words_up_to_start[-1]
    offsets = [match.start() for match in _WORD.finditer(original) if _bare(match[0]) == target]
    if len(offsets) != sum(word == target for _, word in offsets_and_words):
        return None
    return place_at(original, offsets[words_up_to_start.count(target) - 1])


def _bare(word: str) -> str:
    return word.strip("`").lower()
