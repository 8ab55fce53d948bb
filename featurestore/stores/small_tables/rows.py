"""Texts in the store's own small tables: written only if they can be read back.

An unreadable text stops only the operations that need it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from featurestore.errors import DefinitionError, InvariantError

Item = TypeVar("Item")
# What parsing raises for a text that another tool, or an older or newer version of this package, wrote.
_UNREADABLE = (ValueError, KeyError, TypeError, DefinitionError)


class UnreadableRowWarning(UserWarning):
    """A row of one of the store's own tables cannot be read; an operation that does not need it skipped it."""


@dataclass(frozen=True)
class UnreadableRow:
    """What cannot be read, why, and what repairs it."""

    subject: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.subject} cannot be read: {self.reason}. To mend it, {self.remedy}"


def read_text(read: Callable[[str], Item], text: str, subject: str, remedy: str) -> Item | UnreadableRow:
    """Return the parsed text, or the reason why it cannot be read."""
    try:
        return read(text)
    except _UNREADABLE as error:
        return UnreadableRow(subject, _reason(error), remedy)


def written_text(write: Callable[[Item], str], read: Callable[[str], Item], item: Item, subject: str) -> str:
    """Return the item as text; raises InvariantError if reading the text does not return an equal item."""
    try:
        text = write(item)
        back = read(text)
    except _UNREADABLE as error:
        raise InvariantError(f"{subject} could not be read back, so it is not written: {_reason(error)}") from error
    if back != item:
        raise InvariantError(f"{subject} would differ when it is read back, so it is not written; please report this")
    return text


def written_json(document: Any, subject: str) -> str:
    """Return a document as standard JSON; raises InvariantError for numbers and texts that JSON cannot hold."""
    return written_text(str, _canonical, _dumped(document, subject), subject)


def _dumped(document: Any, subject: str) -> str:
    try:
        return json.dumps(document, sort_keys=True, allow_nan=False, default=str)
    except (ValueError, TypeError) as error:
        raise InvariantError(f"{subject} has no form in JSON, so it is not written: {error}") from error


def _canonical(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True, allow_nan=False)


def warn_of(problem: UnreadableRow) -> None:
    """Warn that an unreadable row is skipped."""
    warnings.warn(str(problem), UnreadableRowWarning, stacklevel=3)


def _reason(error: Exception) -> str:
    """Return a validation error's lines (one per fault), at most the first three, as one line."""
    first, *more = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"{first} {'; '.join(more[:2])}".strip() if more else first
