"""The user's text as Spark's lexer reads it: comments and hints blanked, each quoted text replaced by a stand-in.

A parser other than Spark's may end a comment or a quoted text at another place than Spark does, so it gets to read
neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from featurestore.definitions.sql.place import place_at
from featurestore.errors import TransformationError

# One character of a private-use plane stands in for each quoted text: the parser never reads a user's text.
_FIRST_STAND_IN = 0xF0000
_MOST_TEXTS = 0xFFFF

_ESCAPE = r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([01][0-7]{2})|(.))"
_SPECIAL = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}
# The characters of Spark's SQL outside quotes.
_PLAIN = re.compile(r"[\t\n\r \w.,:;()\[\]<>=!+\-*/%&|^~]", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]*")


@dataclass
class LexedText:
    """A user's text without comments and quoted texts, for a parser to read.

    ``code``: the text with comments blanked and stand-ins for the quoted ``texts`` (stand-in -> text). Characters keep
    their places, except that those after an empty text ``''`` move one to the right.
    ``doubts``: the first thing, if any, that another parser than Spark's may read differently, with its place.
    """

    code: str
    texts: dict[str, str]
    doubts: list[str] = field(default_factory=list)


def lexed(sql: str) -> LexedText:
    """Blank comments and replace quoted texts; raises TransformationError for an open quote or comment."""
    return _Lexer(sql).read()


def quoted(text: str) -> str:
    """``text`` as a literal that Spark reads back as exactly this text: printable ASCII, everything else escaped."""
    return "'" + "".join(_escaped(character) for character in text) + "'"


def unescaped(literal: str, quote: str = "'") -> str:
    r"""What Spark reads between quotes: ``\n`` is a line end, ``\\`` a backslash, ``\d`` a d; ``\%`` stays for LIKE."""
    return re.sub(rf"{_ESCAPE}|({quote}){quote}", _character, literal, flags=re.DOTALL)


def _character(match: re.Match[str]) -> str:
    short, long, octal, single, doubled = match.groups()
    if doubled is not None:
        return doubled
    if octal is not None:
        return chr(int(octal, 8))
    if single is not None:
        return _SPECIAL.get(single, single)
    code = int(short or long, 16)
    return chr(code) if code <= 0x10FFFF else "?"


def _escaped(character: str) -> str:
    if character in ("'", "\\"):
        return "\\" + character
    if " " <= character <= "~":
        return character
    code = ord(character)
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


class _Lexer:
    """One pass over the text; ``_out`` collects the code, in which characters keep their places."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._at = 0
        self._out: list[str] = []
        self._texts: dict[str, str] = {}
        self._doubts: list[str] = []
        self._last_text: str | None = None

    def read(self) -> LexedText:
        while self._at < len(self._sql):
            self._step()()
        return LexedText("".join(self._out), self._texts, self._doubts)

    def _step(self) -> Callable[[], None]:
        rest, previous = self._sql[self._at : self._at + 2], self._sql[self._at - 1 : self._at]
        in_word = previous.isalnum() or previous == "_"
        if rest == "--":
            return self._line_comment
        if rest == "/*":
            return self._block_comment
        if rest[0] in "'\"":
            return self._text
        if rest[1:] in ("'", '"') and rest[0] in "rRxX" and not in_word:
            return self._raw_text if rest[0] in "rR" else self._bytes
        if rest[0] == "`":
            return self._name
        return self._code

    def _line_comment(self) -> None:
        end = re.compile(r"[\r\n]|\Z").search(self._sql, self._at)
        assert end is not None
        if self._sql[end.start() - 1] == "\\":
            self._doubt("a line comment ends in a backslash, which joins the next line to it")
        self._blank(end.start())

    def _block_comment(self) -> None:
        end = self._sql.find("*/", self._at + 2)
        if end < 0:
            raise self._refused("a comment is not closed")
        if "/*" in self._sql[self._at + 2 : end]:
            self._doubt("a comment contains another comment")
        self._blank(end + 2)

    def _text(self) -> None:
        quote = self._sql[self._at]
        match = re.compile(rf"{quote}((?:[^{quote}\\]|\\.|{quote}{quote})*+){quote}", re.DOTALL).match(
            self._sql, self._at
        )
        if match is None:
            raise self._refused("a quoted text is not closed")
        self._lift(unescaped(match[1], quote), match.end())

    def _raw_text(self) -> None:
        quote = self._sql[self._at + 1]
        end = self._sql.find(quote, self._at + 2)
        if end < 0:
            raise self._refused("a quoted text is not closed")
        self._lift(self._sql[self._at + 2 : end], end + 1)

    def _bytes(self) -> None:
        quote = self._sql[self._at + 1]
        end = self._sql.find(quote, self._at + 2)
        digits = self._sql[self._at + 2 : end]
        if end < 0 or not _HEX.fullmatch(digits):
            raise self._refused("bytes are written as X'1F', with hexadecimal digits alone")
        self._keep(f"X'{digits}'")

    def _name(self) -> None:
        match = re.compile(r"`(?:[^`]|``)*`").match(self._sql, self._at)
        if match is None:
            raise self._refused("a quoted name is not closed")
        if any(not character.isprintable() for character in match[0]):
            raise self._refused("a quoted name holds a character that cannot be printed")
        self._keep(match[0])

    def _code(self) -> None:
        character = self._sql[self._at]
        if not _PLAIN.fullmatch(character):
            name = repr(character) if "!" <= character <= "~" else f"U+{ord(character):04X}"
            self._doubt(f"the character {name} is outside quotes, where it has no meaning")
        if not character.isspace():
            self._last_text = None
        self._out.append(character)
        self._at += 1

    def _lift(self, text: str, end: int) -> None:
        if self._last_text is not None:
            # Spark joins adjacent quoted texts.
            self._texts[self._last_text] += text
            self._blank(end)
            return
        if len(self._texts) == _MOST_TEXTS:
            raise self._refused("it holds too many quoted texts")
        stand_in = chr(_FIRST_STAND_IN + len(self._texts))
        self._texts[stand_in] = text
        self._last_text = stand_in
        self._out.append(f"'{stand_in}'")
        self._at += min(end - self._at, 3)
        self._blank(end)

    def _keep(self, text: str) -> None:
        self._last_text = None
        self._out.append(text)
        self._at += len(text)

    def _blank(self, end: int) -> None:
        """Write spaces for the text up to ``end``, but keep its line ends."""
        self._out.append(re.sub(r"[^\r\n]", " ", self._sql[self._at : end]))
        self._at = end

    def _doubt(self, reason: str) -> None:
        if not self._doubts:
            self._doubts.append(f"{reason} ({place_at(self._sql, self._at)})")

    def _refused(self, reason: str) -> TransformationError:
        return TransformationError(f"the SQL is refused: {reason} ({place_at(self._sql, self._at)})")
