"""Why Spark cannot hold a column: worded once, for Python values and for Arrow columns."""

from __future__ import annotations

ANY_KIND = "cast it, drop it, or make it text with .astype(str)"


class UnheldError(Exception):
    """A column that Spark cannot hold unchanged. ``fault``: what the column holds; ``advice``: what to do about it."""

    def __init__(self, fault: str, advice: str = ANY_KIND) -> None:
        super().__init__(fault)
        self.fault = fault
        self.advice = advice
