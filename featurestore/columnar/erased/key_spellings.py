"""The spellings of a join key's value in JSON, CSV and Python: which texts mean the same value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

# Brackets, quotes and blanks around a text do not change it.
_AROUND_CHARACTERS = " \t\r\n[](){}<>\"'`"
_AROUND = f"[{re.escape(_AROUND_CHARACTERS)}]*"
_CELL_END, _WORD_END = re.compile(r"[,;|\t\n]+"), re.compile(r"""[\s,;|:=\[\](){}<>"'`\\]+""")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_DIGITS = re.compile(r"\d+")
_LONGEST_RUN = 30
# Half of a character, which JSON can escape and no key holds.
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MOMENT = re.compile(r"\d{4}-?\d{2}-?\d{2}(?:[T ]\d{2}:?\d{2}(?::?\d{2}(?:[.,]\d+)?)?)?(?:Z|[+-]\d{2}(?::?\d{2})?)?")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_NAMED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Time zones are at most this far from UTC, in steps of a quarter of an hour.
_FURTHEST_ZONE, _ZONE_STEP = timedelta(hours=14), timedelta(minutes=15)


class Spelling(Protocol):
    """One value of a join key, compared with JSON scalars: text (numbers as they are spelled) and booleans."""

    def is_same(self, content: Any) -> bool:
        """Whether the content is a spelling of the value."""

    def is_kind(self, content: Any) -> bool:
        """Whether the content can be read as any value of the same type."""

    def is_in(self, text: str) -> bool:
        """Whether a text contains a spelling of the value anywhere."""


def values_in(text: str, kind: str) -> set[Any]:
    """The values of a join key's type that a text, or a part of it, may spell."""
    if kind == "string":
        return _texts_in(text)
    if kind in ("long", "int"):
        return _wholes_in(text, 64 if kind == "long" else 32)
    if kind == "boolean":
        return {value for value in (True, False) if Truth(value).is_in(text)}
    moments = (moment for match in _MOMENT.finditer(text) if (moment := _read(match[0])) is not None)
    if kind == "date":
        return {moment.date() for moment in moments}
    return {instant for moment in moments if (instant := _in_utc(moment)) is not None}


def _in_utc(moment: datetime) -> datetime | None:
    """The instant, a local time read as UTC; None outside the years 1 to 9999."""
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        return None


def _texts_in(text: str) -> set[str]:
    parts = [text, *_CELL_END.split(text), *_WORD_END.split(text)]
    spellings = {spelled for part in parts for spelled in (part, part.strip(_AROUND_CHARACTERS)) if spelled}
    return {spelled for spelled in spellings if not _SURROGATE.search(spelled)}


def _wholes_in(text: str, bits: int) -> set[int]:
    numbers = [_number(spelled) for spelled in _NUMBER.findall(text)]
    numbers += [Decimal(run) for run in _DIGITS.findall(text) if len(run) < _LONGEST_RUN]
    bound = 2 ** (bits - 1)
    return {int(number) for number in numbers if number is not None and -bound <= number < bound and number % 1 == 0}


def spelling_of(value: Any) -> Spelling:
    """The spelling of a join key's typed value."""
    if isinstance(value, bool):
        return Truth(value)
    if isinstance(value, int):
        return Whole(value)
    if isinstance(value, date):
        return Moment(value)
    return Words(value)


def unescaped(text: str) -> str:
    """The text with the escapes of JSON and Python undone once; surrogate pairs become their character."""
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(_character, text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _character(escape: re.Match[str]) -> str:
    digits = escape[1] or escape[2] or escape[3]
    if digits is None:
        return _NAMED.get(escape[4], escape[4])
    return chr(int(digits, 16)) if int(digits, 16) < 0x110000 else escape[0]


@dataclass(frozen=True)
class Words:
    value: str

    def is_same(self, content: Any) -> bool:
        return content == self.value or bool(re.fullmatch(_AROUND + re.escape(self.value) + _AROUND, str(content)))

    def is_kind(self, content: Any) -> bool:
        return type(content) is str

    def is_in(self, text: str) -> bool:
        return self.value in text


@dataclass(frozen=True)
class Whole:
    value: int

    def is_same(self, content: Any) -> bool:
        return self.is_kind(content) and _number(str(content).strip()) == self.value

    def is_kind(self, content: Any) -> bool:
        return not isinstance(content, bool) and bool(_NUMBER.fullmatch(str(content).strip()))

    def is_in(self, text: str) -> bool:
        if any(_number(spelled) == self.value for spelled in _NUMBER.findall(text)):
            return True
        return any(len(run) < _LONGEST_RUN and int(run) == abs(self.value) for run in _DIGITS.findall(text))


def _number(spelled: str) -> Decimal | None:
    try:
        return Decimal(spelled)
    except InvalidOperation:
        # The exponent is beyond that of any key.
        return None


@dataclass(frozen=True)
class Truth:
    value: bool

    def is_same(self, content: Any) -> bool:
        return str(content).strip().lower() in self._spelled

    def is_kind(self, content: Any) -> bool:
        return isinstance(content, bool)

    def is_in(self, text: str) -> bool:
        return any(re.search(rf"(?<!\w){spelled}(?!\w)", text.lower()) for spelled in self._spelled)

    @property
    def _spelled(self) -> tuple[str, ...]:
        return ("true", "1", "1.0") if self.value else ("false", "0", "0.0")


@dataclass(frozen=True)
class Moment:
    """A date or an instant. A date matches with any time of day; a text without a time zone, in any zone."""

    value: date

    def is_same(self, content: Any) -> bool:
        text = str(content).strip()
        return (_MOMENT.fullmatch(text) is not None and self._is(text)) or self._counts(text)

    def is_kind(self, content: Any) -> bool:
        return type(content) is str and _read(content.strip()) is not None

    def is_in(self, text: str) -> bool:
        return any(self._is(match[0]) for match in _MOMENT.finditer(text)) or any(
            self._counts(run) for run in _DIGITS.findall(text)
        )

    def _is(self, text: str) -> bool:
        moment = _read(text)
        if moment is None:
            return False
        if not isinstance(self.value, datetime):
            return moment.date() == self.value
        if moment.tzinfo is not None:
            return moment == self.value
        away = abs(moment.replace(tzinfo=UTC) - self.value)
        return away <= _FURTHEST_ZONE and away % _ZONE_STEP == timedelta(0)

    def _counts(self, text: str) -> bool:
        """Whether the text is the number of seconds, milliseconds or microseconds since 1970."""
        if not isinstance(self.value, datetime) or not _DIGITS.fullmatch(text) or len(text) > _LONGEST_RUN:
            return False
        micros = (self.value - _EPOCH) // timedelta(microseconds=1)
        return int(text) * 1_000_000 == micros or int(text) * 1000 == micros or int(text) == micros


def _read(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        return None
