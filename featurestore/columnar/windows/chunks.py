"""Divide events and spine rows by ranges of keys into chunks that fit caches, and that threads work on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from featurestore.columnar.windows.timelines import Longs

# Events and spine rows of a chunk; one key is never cut, so that a key with more rows is a larger chunk.
_MOST_ROWS = 1 << 18


@dataclass(frozen=True)
class Chunk:
    """Numbers of events and of spine rows, of the same range of keys."""

    events: Longs
    spine: Longs


def chunks_of(codes: Longs, rows: Longs | None, spine: Longs, keys: int) -> list[Chunk]:
    """``codes`` of the events, of which ``rows`` are visible (None: all); codes of the ``spine``, -1 for no key."""
    visible = codes if rows is None else codes[rows]
    asking = np.flatnonzero(spine >= 0)
    weights = np.bincount(visible, minlength=keys) + np.bincount(spine[asking], minlength=keys)
    # The number of each key's chunk.
    numbers = np.cumsum(weights) - weights
    numbers //= _MOST_ROWS
    count = int(numbers.max(initial=0)) + 1
    events = _parts(numbers[visible], count)
    rows_of = _parts(numbers[spine[asking]], count)
    return [Chunk(event if rows is None else rows[event], asking[row])
            for event, row in zip(events, rows_of, strict=True) if len(row)]  # fmt: skip


def _parts(numbers: Longs, count: int) -> list[Longs]:
    """For each number below ``count`` the rows that have it."""
    if count == 1:
        return [np.arange(len(numbers))]
    # Of short numbers, NumPy makes a radix sort.
    short = numbers.astype(np.uint16) if count <= 1 << 16 else numbers
    order = np.argsort(short, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=count)).tolist()
    return [order[first:end] for first, end in pairwise([0, *ends])]
