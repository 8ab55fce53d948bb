"""An expression that was checked: what runs it needs no parser."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScalarExpression:
    """A checked expression: ``text`` runs in place of the user's ``sql``, and reads the columns ``names``."""

    sql: str
    text: str
    names: tuple[str, ...]
