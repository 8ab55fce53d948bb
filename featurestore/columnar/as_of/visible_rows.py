"""Which value row a spine row takes: the greatest in the order of the join among those visible at its time.

Without ``known_at="event"`` a row becomes visible at its event time, so that the order of visibility is that of the
join. With it, a row becomes visible when it is also created, and the greatest row so far need not be the last one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.columnar.as_of.gathered import Places
from featurestore.columnar.as_of.spine_keys import Codes
from featurestore.columnar.as_of.value_rows import Micros, ValueRows, order_of, packed_longs
from featurestore.columnar.fixed_width import Mask


@dataclass(frozen=True)
class VisibleRows:
    """Value rows in the order in which they become visible to a key's spine rows.

    ``moments`` is when each becomes visible, between ``earliest`` and ``latest``, and ``ranks`` its place in the order
    of the join; None if that is its place here. ``packed``: see ``packed_longs``.
    """

    rows: ValueRows
    codes: Codes
    moments: Micros
    ranks: Places | None
    earliest: int
    latest: int
    packed: NDArray[np.int64] | None

    @classmethod
    def of(cls, rows: ValueRows, when_created: bool) -> VisibleRows:
        """``when_created``: a row is visible only once it is created."""
        codes, moments, order = rows.codes, rows.event, None
        if when_created:
            assert rows.created is not None
            moments = np.maximum(rows.event, rows.created)
            order = order_of(codes, moments)
            codes, moments = codes[order], moments[order]
        earliest, latest = (int(moments.min()), int(moments.max())) if len(moments) else (0, 0)
        return cls(rows, codes, moments, order, earliest, latest, packed_longs(codes, moments, earliest, latest))

    def last_visible(self, codes: Codes, times: Micros) -> Places:
        """For each spine row the place, here, of the last row of its key that is visible at its time; -1 for none."""
        if not len(self.codes) or not len(codes):
            return np.full(len(codes), -1, np.int64)
        # All rows are visible at the latest moment, so later times are the same to these rows.
        bounded = np.clip(times, self.earliest, self.latest)
        own, asked = self.packed, packed_longs(codes, bounded, self.earliest, self.latest)
        if own is None or asked is None:
            own, asked = _ranked(self.codes, self.moments, codes, bounded)
        places = np.searchsorted(own, asked, "right") - 1
        missed = (places < 0) | (times < self.earliest)
        missed |= self.codes[np.maximum(places, 0)] != codes
        places[missed] = -1
        return places

    def taken(self, places: Places, codes: Codes, valid: Mask | None = None) -> Places:
        """The place, in the order of the join, of the row that is taken by those who see rows up to these places.

        ``valid``: by place in the order of the join, the rows that may be taken; None for all. -1 for none.
        """
        if not len(self.codes) or (valid is None and self.ranks is None):
            return places
        ranks = np.arange(len(self.codes)) if self.ranks is None else self.ranks
        if valid is not None:
            ranks = np.where(valid[ranks], ranks, -1)
        # Rows of a greater key have greater ranks, so one maximum runs over all keys.
        greatest = np.maximum.accumulate(ranks)[np.maximum(places, 0)]
        missed = (places < 0) | (greatest < 0)
        missed |= self.rows.codes[np.maximum(greatest, 0)] != codes
        return np.where(missed, -1, greatest)


def _ranked(
    codes: Codes, moments: Micros, asked_codes: Codes, asked: Micros
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs as longs, with the place of each moment among all of them in place of the moment."""
    distinct = np.unique(moments)
    places = np.searchsorted(distinct, moments)
    asked_places = np.searchsorted(distinct, asked, "right") - 1
    # Numbers and places are below 2^31, the most rows of an Arrow array.
    return (codes << np.int64(31)) | places, (asked_codes << np.int64(31)) | asked_places
