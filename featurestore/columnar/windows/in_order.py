"""Windows of events that come in the order in which they are seen: each is a run of consecutive events.

So it is where no event was known later than it happened, and none was superseded. Sums are differences of prefix sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.columnar.windows.nth import nth_smallest
from featurestore.columnar.windows.timelines import Longs, Timeline, after, before

Mask = NDArray[np.bool_]
_GREATEST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Runs:
    """For each spine row of a chunk the events from ``starts`` up to ``ends``, sorted by key, then by event timestamp.

    ``codes`` and ``moments`` are those of the events, ``window`` in microseconds; ``of``: the spine rows' codes.
    """

    starts: Longs
    ends: Longs
    codes: Longs
    moments: Longs
    window: int | None
    of: Longs

    @classmethod
    def over(cls, events: Timeline, codes: Longs, times: Longs, ends: Longs, window: int | None) -> Runs:
        """``ends``: how many events are at or before each spine row."""
        if window is None:
            starts = np.searchsorted(events.codes, codes)
        else:
            starts = events.places(codes, before(times, window), "right")
        return cls(starts, ends, events.codes, events.moments, window, codes)

    def only(self, chosen: Mask) -> Runs:
        """The windows of these events alone."""
        places = _running(chosen.astype(np.int64))
        return Runs(
            places[self.starts], places[self.ends], self.codes[chosen], self.moments[chosen], self.window, self.of
        )

    @property
    def counts(self) -> Longs:
        return self.ends - self.starts

    def sums(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Modulo 2^64; of Python's integers exact."""
        running = _running(numbers)
        found: NDArray[Any] = running[self.ends] - running[self.starts]
        return found

    def least(self, numbers: Longs) -> Longs:
        """Where a window has events, the least of their numbers.

        ``numbers`` becomes the least of 1, 2, 4, ... events from each on, and a window is two of these that overlap.
        """
        found = np.full(len(self.starts), _GREATEST)
        levels = np.frexp(self.counts.astype(np.float64))[1].astype(np.int8) - 1
        for level in range(int(levels.max(initial=-1)) + 1):
            rows = np.flatnonzero(levels == level)
            found[rows] = np.minimum(numbers[self.starts[rows]], numbers[self.ends[rows] - (1 << level)])
            if len(numbers) > 1 << level:
                numbers = np.minimum(numbers[: -(1 << level)], numbers[1 << level :])
        return found

    def distinct(self, values: Longs) -> Longs:
        """How many different values the events of each window have.

        An event whose value comes again within the window's length is counted until it does.
        """
        order = np.lexsort((values, self.codes))
        again = (self.codes[order][1:] == self.codes[order][:-1]) & (values[order][1:] == values[order][:-1])
        earlier, later = order[:-1][again], order[1:][again]
        if self.window is not None:
            is_near = self.moments[later] < after(self.moments[earlier], self.window)
            earlier, later = earlier[is_near], later[is_near]
        begun, over = np.zeros(len(values), np.int64), np.zeros(len(values), np.int64)
        begun[later] = over[earlier] = 1
        repeated: Longs = _running(begun)[self.ends] - _running(over)[self.starts]
        found: Longs = self.counts - repeated
        return found

    def earliest(self, order: Longs) -> Longs:
        """Where a window has events, the place in this order of its first one; see ``latest``."""
        return self.starts

    def latest(self, order: Longs) -> Longs:
        """Where a window has events, the place in ``order`` of its last one.

        ``order``: the events by key, event timestamp, and what decides ties.
        """
        return self.ends - 1

    def latest_several(self, order: Longs, rows: Longs, back: Longs) -> Longs:
        """For each of these spine rows, the place in ``order`` of the event that so many others follow."""
        return self.ends[rows] - 1 - back

    def nth(self, order: Longs, rows: Longs, nth: Longs) -> Longs:
        """For each of these spine rows, the place in ``order`` of its ``nth`` event in that order, counted from 0.

        ``order``: the events by key, then by anything.
        """
        firsts = np.searchsorted(self.codes, self.of[rows])
        ranks = ranks_of_keys(order, self.codes)
        return firsts + nth_smallest(ranks, ranks, self.ends[rows], self.starts[rows], nth)


def ranks_of_keys(order: Longs, codes: Longs) -> Longs:
    """The place of each event in ``order``, counted from the first of its key; ``codes`` ascend."""
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks - np.searchsorted(codes, codes)


def _running(numbers: NDArray[Any]) -> NDArray[Any]:
    """The sums of all before each place, and at the end of all."""
    sums = np.zeros(len(numbers) + 1, numbers.dtype)
    np.cumsum(numbers, out=sums[1:])
    return sums
