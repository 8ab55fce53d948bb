"""The wording of why a value cannot be stored. The same fault reads the same on every route."""

from __future__ import annotations

DATE_WITHOUT_TIME = "a date without a time"
NO_TIME_ZONE = "timestamp without a time zone"
NOT_UNICODE = "not valid Unicode text"
NOT_FINITE = "not a finite number"
ELEMENT_NOT_FINITE = "holds a number that is missing or not finite"
TOO_DEEP = "nested too deeply for JSON, or contains itself"
JSON_NOT_FINITE = "holds NaN or infinity, which JSON does not have"
JSON_KEY = "holds a key that is not text; keys in JSON are text"


class UnreadableError(ValueError):
    """A value that the requested type cannot hold without loss; the error's text is the reason."""


def wrong_type(word: str, found: str) -> str:
    """The reason for a value of another kind, such as a text for a number."""
    return f"expected {word}, found {found}"


def not_readable(word: str) -> str:
    """The reason for a text that does not have the form of the type."""
    return f"not readable as {word}"


def not_whole(word: str) -> str:
    return f"not a whole number, for {word}"


def beyond(word: str) -> str:
    return f"beyond the range of {word}"


def inexact(word: str) -> str:
    """The reason for a whole number or a decimal that would be rounded."""
    return f"a number that {word} cannot hold exactly"


def outside_years(word: str) -> str:
    return f"{word} outside the years 1 to 9999"


def wrong_dims(dims: int | None) -> str:
    return f"not of {dims} dims"


def unforeseen(word: str, error: Exception) -> str:
    """The reason for a value that raised an error of its own: it is the caller's object, and any of its methods may."""
    return f"{not_readable(word)} ({type(error).__name__})"
