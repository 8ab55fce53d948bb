"""Regular expressions of rules: those that mean the same to Java and to Arrow's RE2, rewritten for RE2.

Known: literals, ``.``, classes of characters, ``\\d``, ``\\w``, ``\\s`` and their opposites, groups, alternatives,
greedy and lazy quantifiers, ``^`` and ``\\A`` at the start of an outer alternative and ``$`` at the end of one. All
else is undecided: it may be valid Java, but nobody has shown that RE2 agrees.
"""

from __future__ import annotations

import re
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.kinds.arrow_columns.reading import UndecidedError

# RE2 has no vertical tab among its blanks, and Java's dot excludes more ends of lines.
_BLANKS = r"\t\n\x0B\f\r "
_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": _BLANKS}
_DOT = r"[^\n\r\x{85}\x{2028}\x{2029}]"
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_QUANTIFIER = re.compile(r"(?:[*+?]|\{([0-9]{1,4})(?:,([0-9]{0,4}))?\})(\??)")
_MOST_REPEATS = 1000


@cache
def whole_match(pattern: str) -> str:
    """An RE2 expression for texts that the pattern matches as a whole; raises UndecidedError for other patterns."""
    expression = rf"\A(?:{_Translation(pattern).result()})\z"
    try:
        pc.match_substring_regex(pa.array([""]), expression)
    except pa.ArrowInvalid as error:
        raise UndecidedError(f"the pattern {pattern!r}") from error
    return expression


class _Translation:
    """One pass over a pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.position = 0
        self.depth = 0

    def result(self) -> str:
        pieces: list[str] = []
        may_start = True
        while self.position < len(self.pattern):
            start = self.position
            piece, repeats = self._next(may_start)
            pieces.append(piece + (self._quantifier() if repeats else ""))
            # At the start of a group or an alternative, or after an anchor there.
            may_start = self.pattern[start] in "(|" or (may_start and not repeats and self.pattern[start] in "^\\")
        return "".join(pieces)

    def _next(self, may_start: bool) -> tuple[str, bool]:
        """The next piece for RE2, and whether it may be repeated."""
        letter = self._take()
        if letter == "\\":
            if self._peek() == "A" and may_start and not self._is_inner():
                self._take()
                return r"\A", False
            return self._escape(), True
        if letter == "[":
            return self._class(), True
        if letter == ".":
            return _DOT, True
        if letter == "(":
            return self._open(), False
        if letter == ")":
            self.depth -= 1
            return ")", True
        if letter == "|":
            return "|", False
        if letter == "^" and may_start and not self._is_inner():
            return r"\A", False
        if letter == "$" and not self._is_inner() and self._peek() in ("", "|"):
            return r"\z", False
        if letter in "^$*+?{}]":
            raise self._undecided()
        return _literal(letter), True

    def _is_inner(self) -> bool:
        return self.depth > 0

    def _open(self) -> str:
        self.depth += 1
        if self._peek() == "?":
            if self.pattern[self.position : self.position + 2] != "?:":
                raise self._undecided()
            self.position += 2
        return "(?:"

    def _quantifier(self) -> str:
        match = _QUANTIFIER.match(self.pattern, self.position)
        if match is None:
            if self._peek() == "{":
                raise self._undecided()
            return ""
        if any(int(bound) > _MOST_REPEATS for bound in match.groups()[:2] if bound):
            raise self._undecided()
        self.position = match.end()
        # A plus would make it possessive; another quantifier is an error to one of them.
        if self._peek() in ("*", "+", "?", "{"):
            raise self._undecided()
        return match[0]

    def _escape(self) -> str:
        kind = self._peek()
        if kind in _CLASSES or kind.lower() in _CLASSES:
            self._take()
            return f"[{'' if kind in _CLASSES else '^'}{_CLASSES[kind.lower()]}]"
        return _literal(self._escaped_letter())

    def _escaped_letter(self) -> str:
        letter = self._take()
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter in ("x", "u"):
            return self._code(2 if letter == "x" else 4)
        if letter.isascii() and letter.isprintable() and not letter.isalnum():
            return letter
        raise self._undecided()

    def _code(self, digits: int) -> str:
        text = self.pattern[self.position : self.position + digits]
        if re.fullmatch(f"[0-9A-Fa-f]{{{digits}}}", text) is None or 0xD800 <= int(text, 16) <= 0xDFFF:
            raise self._undecided()
        self.position += digits
        return chr(int(text, 16))

    def _class(self) -> str:
        negated = self._peek() == "^"
        if negated:
            self._take()
        members: list[str] = []
        while self._peek() != "]" or not members:
            members.append(self._member(is_first=not members))
        self._take()
        return f"[{'^' if negated else ''}{''.join(members)}]"

    def _member(self, is_first: bool) -> str:
        """A character, a range, or ``\\d``, ``\\w`` or ``\\s``."""
        if self._peek() == "\\" and self.pattern[self.position + 1 : self.position + 2] in _CLASSES:
            self.position += 2
            if self._peek() == "-" and self.pattern[self.position + 1 : self.position + 2] != "]":
                raise self._undecided()
            return _CLASSES[self.pattern[self.position - 1]]
        if self._peek() == "-" and not is_first and self.pattern[self.position + 1 : self.position + 2] != "]":
            raise self._undecided()
        first = self._letter_of_class()
        if first == "-" and self._peek() == "-":
            raise self._undecided()
        if self._peek() != "-" or self.pattern[self.position + 1 : self.position + 2] == "]":
            return _literal(first)
        self._take()
        last = self._letter_of_class()
        if first > last:
            raise self._undecided()
        return f"{_literal(first)}-{_literal(last)}"

    def _letter_of_class(self) -> str:
        letter = self._take()
        if letter == "\\":
            return self._escaped_letter()
        # Java nests and intersects classes.
        if letter in "[]&":
            raise self._undecided()
        return letter

    def _peek(self) -> str:
        return self.pattern[self.position : self.position + 1]

    def _take(self) -> str:
        letter = self._peek()
        if not letter:
            raise self._undecided()
        self.position += 1
        return letter

    def _undecided(self) -> UndecidedError:
        return UndecidedError(f"the pattern {self.pattern!r}")


def _literal(letter: str) -> str:
    if 0xD800 <= ord(letter) <= 0xDFFF:
        raise UndecidedError("a pattern with half a character")
    return letter if letter.isascii() and letter.isalnum() else f"\\x{{{ord(letter):x}}}"
