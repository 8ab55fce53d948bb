"""Windows of events that are seen late, or only until another version of them is: each event has its own spine rows.

Sorted by key and time, the spine rows that see an event are a range of rows. Counts and sums are running sums of what
begins and ends at each row, and the least number of a row is that of all ranges that have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.columnar.windows.in_order import ranks_of_keys
from featurestore.columnar.windows.nth import nth_smallest
from featurestore.columnar.windows.timelines import Longs, Timeline

Mask = NDArray[np.bool_]
_GREATEST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Ranges:
    """For each event the spine rows from ``starts`` up to ``ends``; ``codes``: the events', ascending.

    ``of``: the spine rows' codes.
    """

    starts: Longs
    ends: Longs
    codes: Longs
    of: Longs

    @classmethod
    def over(cls, spine: Timeline, codes: Longs, seen: Longs, ends: Longs) -> Ranges:
        """``seen``: the first moment of each event, ``ends``: the first one at which it no longer counts."""
        first = spine.places(codes, seen, "left")
        return cls(first, np.maximum(first, spine.places(codes, ends, "left")), codes, spine.codes)

    def only(self, chosen: Mask) -> Ranges:
        """The windows of these events alone."""
        return Ranges(self.starts[chosen], self.ends[chosen], self.codes[chosen], self.of)

    @property
    def counts(self) -> Longs:
        return self._running(np.bincount(self.starts, minlength=len(self.of) + 1)
                             - np.bincount(self.ends, minlength=len(self.of) + 1))  # fmt: skip

    def sums(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Modulo 2^64; of Python's integers exact."""
        changes = np.zeros(len(self.of) + 1, numbers.dtype)
        np.add.at(changes, self.starts, numbers)
        np.subtract.at(changes, self.ends, numbers)
        return self._running(changes)

    def _running(self, changes: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = np.cumsum(changes)[: len(self.of)]
        return found

    def least(self, numbers: Longs) -> Longs:
        """Where a window has events, the least of their numbers.

        A range of rows is two overlapping blocks of a power of two; each block is then halved, down to single rows.
        """
        found = np.full(len(self.of), _GREATEST)
        lengths = self.ends - self.starts
        levels = np.frexp(lengths.astype(np.float64))[1].astype(np.int8) - 1
        for level in reversed(range(int(levels.max(initial=-1)) + 1)):
            events = np.flatnonzero(levels == level)
            np.minimum.at(found, self.starts[events], numbers[events])
            np.minimum.at(found, self.ends[events] - (1 << level), numbers[events])
            if level:
                half = 1 << (level - 1)
                halved = found.copy()
                np.minimum(found[half:], found[:-half], out=halved[half:])
                found = halved
        return found

    def distinct(self, values: Longs) -> Longs:
        """How many different values the events of each window have: the ranges of one value become disjoint.

        Ranges of several keys are, because each key has its own spine rows.
        """
        order = np.lexsort((self.starts, values))
        starts, ends = self.starts[order], self.ends[order]
        is_new = np.ones(len(order), bool)
        is_new[1:] = values[order][1:] != values[order][:-1]
        groups = np.cumsum(is_new) * (len(self.of) + 1)
        reached = np.maximum.accumulate(ends + groups) - groups
        starts[1:] = np.where(is_new[1:], starts[1:], np.maximum(starts[1:], reached[:-1]))
        return Ranges(starts, np.maximum(starts, ends), self.codes, self.of).counts

    def earliest(self, order: Longs) -> Longs:
        """Where a window has events, the place in this order of its first one; see ``latest``."""
        return self.least(_places_in(order))

    def latest(self, order: Longs) -> Longs:
        """Where a window has events, the place in ``order`` of its last one.

        ``order``: the events by key, event timestamp, and what decides ties.
        """
        return ~self.least(~_places_in(order))

    def latest_several(self, order: Longs, rows: Longs, back: Longs) -> Longs:
        """For each of these spine rows, the place in ``order`` of the event that so many others follow."""
        return self.nth(order, rows, self.counts[rows] - 1 - back)

    def nth(self, order: Longs, rows: Longs, nth: Longs) -> Longs:
        """For each of these spine rows, the place in ``order`` of its ``nth`` event in that order, counted from 0.

        ``order``: the events by key, then by anything.
        """
        ranks = ranks_of_keys(order, self.codes)
        begun = np.cumsum(np.bincount(self.starts, minlength=len(self.of) + 1))[rows]
        over = np.cumsum(np.bincount(self.ends, minlength=len(self.of) + 1))[rows]
        started = ranks[np.argsort(self.starts, kind="stable")]
        ended = ranks[np.argsort(self.ends, kind="stable")]
        return np.searchsorted(self.codes, self.of[rows]) + nth_smallest(started, ended, begun, over, nth)


def _places_in(order: Longs) -> Longs:
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places
