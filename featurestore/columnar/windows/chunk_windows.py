"""The windows of one chunk, and what its features share: sorted rows, searches, sums, orders."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from featurestore.columnar.windows.as_seen import Ranges
from featurestore.columnar.windows.chunks import Chunk
from featurestore.columnar.windows.event_columns import EventColumn
from featurestore.columnar.windows.event_rows import NEVER, EventRows
from featurestore.columnar.windows.exact_numbers import ExactNumbers
from featurestore.columnar.windows.in_order import Runs
from featurestore.columnar.windows.rules import KnownAt, WindowRules
from featurestore.columnar.windows.timelines import Longs, Timeline, after, sorted_rows

Mask = NDArray[np.bool_]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Counted:
    """Which events count: those with a value of this column, and with true in that mask; None for all."""

    of: str | None
    where: str | None

    @classmethod
    def by(cls, rules: WindowRules) -> Counted:
        return cls(rules.of, rules.where)


@dataclass(frozen=True)
class ChunkWindows:
    """The events of a chunk sorted by key, then by event timestamp; its spine rows sorted by key, then by time.

    ``rows``: the events' numbers among all, ``spine``: the spine rows'. ``seen`` and ``until``: the moments from which,
    and up to which, each event is visible; None if all are from their event timestamps on.
    """

    columns: Mapping[str, EventColumn]
    masks: Mapping[str, Mask]
    rows: Longs
    codes: Longs
    times: Longs
    created: Longs | None
    seen: Longs | None
    until: Longs | None
    spine: Longs
    spine_codes: Longs
    spine_times: Longs
    known: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, chunk: Chunk, events: EventRows, columns: Mapping[str, EventColumn], masks: Mapping[str, Mask],
        spine: tuple[Longs, Longs], known_at: KnownAt,
    ) -> ChunkWindows:  # fmt: skip
        rows, codes, times = _sorted(chunk.events, events.codes, events.times)
        asking, spine_codes, spine_times = _sorted(chunk.spine, *spine)
        created = None if events.created is None else events.created[rows]
        seen = until = None
        if known_at == "event":
            seen = times if created is None else np.maximum(times, created)
            until = None if events.until is None else events.until[rows]
            if (until is None or bool((until == NEVER).all())) and bool((seen == times).all()):
                seen = until = None
            elif until is None:
                until = np.full(len(rows), NEVER)
        return cls(columns, masks, rows, codes, times, created, seen, until,
                   asking, spine_codes, spine_times)  # fmt: skip

    def windows(self, window: int | None, counted: Counted) -> Runs | Ranges:
        """The windows of this length, of the events that count."""
        chosen = self.chosen(counted)
        whole = self._once(("windows", window), lambda: self._windows(window))
        if chosen is None:
            return whole
        return self._once(("windows", window, counted), lambda: whole.only(chosen))

    def _windows(self, window: int | None) -> Runs | Ranges:
        if self.seen is None or self.until is None:
            events = self._once("events", lambda: Timeline.of(self.codes, self.times))
            ends = self._once("ends", lambda: events.places(self.spine_codes, self.spine_times, "right"))
            return Runs.over(events, self.spine_codes, self.spine_times, ends, window)
        spine = self._once("spine", lambda: Timeline.of(self.spine_codes, self.spine_times))
        ends = self.until if window is None else np.minimum(self.until, after(self.times, window))
        return Ranges.over(spine, self.codes, self.seen, ends)

    def counts(self, window: int | None, counted: Counted) -> Longs:
        return self._once(("counts", window, counted), lambda: self.windows(window, counted).counts)

    def chosen(self, counted: Counted) -> Mask | None:
        """Which events count; None if all do."""
        return self._once(("chosen", counted), lambda: self._chosen(counted))

    def _chosen(self, counted: Counted) -> Mask | None:
        valid = None if counted.of is None else self.columns[counted.of].valid
        masks = [mask[self.rows] for mask in (valid, self.masks.get(counted.where or "")) if mask is not None]
        if not masks:
            return None
        chosen: Mask = np.logical_and.reduce(masks)
        return None if chosen.all() else chosen

    def events(self, counted: Counted) -> Longs:
        """The numbers, among all events, of those that count."""
        return self._of(counted, self.rows)

    def _of(self, counted: Counted, numbers: Longs) -> Longs:
        chosen = self.chosen(counted)
        return numbers if chosen is None else numbers[chosen]

    def longs(self, counted: Counted) -> Longs:
        """Of the events that count a long each, in the order of their values."""
        return self._once(("longs", counted), lambda: self._column(counted).longs(self.events(counted)))

    def counted_longs(self, counted: Counted) -> Longs:
        return self._column(counted).counted_longs(self.events(counted))

    def _column(self, counted: Counted) -> EventColumn:
        assert counted.of is not None
        return self.columns[counted.of]

    def sums(self, window: int | None, counted: Counted) -> ExactNumbers:
        return self._once(("sums", window, counted), lambda: self._sums(window, counted, EventColumn.numbers))

    def square_sums(self, window: int | None, counted: Counted) -> ExactNumbers:
        return self._once(("squares", window, counted), lambda: self._sums(window, counted, EventColumn.squares))

    def _sums(
        self, window: int | None, counted: Counted, numbers: Callable[[EventColumn, Longs, int], ExactNumbers]
    ) -> ExactNumbers:
        # In steps of powers of two, so that windows of about the same length share the numbers.
        most = 1 << int(self.counts(window, counted).max(initial=1)).bit_length()
        exact = self._once(
            ("numbers", numbers, counted, most), lambda: numbers(self._column(counted), self.events(counted), most)
        )
        return exact.summed(self.windows(window, counted).sums)

    def by_time(self, counted: Counted) -> Longs:
        """The events that count in the order by key, event timestamp, created timestamp and value."""
        return self._once(("by time", counted), lambda: self._by_time(counted))

    def _by_time(self, counted: Counted) -> Longs:
        codes, times = self._of(counted, self.codes), self._of(counted, self.times)
        order = np.arange(len(codes))
        tied = (codes[1:] == codes[:-1]) & (times[1:] == times[:-1])
        if tied.any():
            follows = np.insert(tied, 0, False)
            members = np.flatnonzero(follows | np.append(tied, False))
            runs = np.cumsum(~follows)[members]
            created = times if self.created is None else self._of(counted, self.created)
            values = self.longs(counted)
            order[members] = members[np.lexsort((values[members], created[members], runs))]
        return order

    def by_value(self, counted: Counted) -> Longs:
        """The events that count in the order by key and value."""
        codes = self._of(counted, self.codes)
        return self._once(("by value", counted), lambda: np.lexsort((self.longs(counted), codes)))

    def _once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        if key not in self.known:
            self.known[key] = make()
        found: Value = self.known[key]
        return found


def _sorted(rows: Longs, codes: Longs, times: Longs) -> tuple[Longs, Longs, Longs]:
    """The rows sorted by code, then by time, with their codes and times."""
    codes, times = codes[rows], times[rows]
    order = sorted_rows(codes, times)
    return (rows, codes, times) if order is None else (rows[order], codes[order], times[order])
