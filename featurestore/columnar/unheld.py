"""Why a column cannot be held: worded once, for Python values and for Arrow's."""

from __future__ import annotations

ANY_KIND = "cast it, drop it, or make it text with .astype(str)"


class UnheldError(Exception):
    """Values that no column of Spark's holds unchanged. ``found``: what they are; ``advice``: what to do about it."""

    def __init__(self, found: str, advice: str = ANY_KIND) -> None:
        super().__init__(found)
        self.found = found
        self.advice = advice
