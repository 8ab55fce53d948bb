"""The rules by which a spine row takes its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from featurestore.columnar.values.latest_order import Nulls


@dataclass(frozen=True)
class AsOfRules:
    """The rules of one lookup; times are in microseconds, moments since 1970.

    - ``keys``: the join keys of the values, in the order by which files are sorted;
    - ``features``: in the order in which the group declares them, by which rows of equal times are compared;
    - ``ttl``: the oldest age of a value that is taken, inclusive; None for no limit;
    - ``nulls``: ``"skip"`` takes each feature's latest value that is not null, ``"keep"`` the latest row as a whole;
    - ``known_at``: a moment keeps the rows created at or before it, ``"event"`` those created at or before the spine
      row's own time; None keeps all.
    """

    keys: tuple[str, ...]
    features: tuple[str, ...]
    ttl: int | None = None
    nulls: Nulls = "skip"
    known_at: int | Literal["event"] | None = None
