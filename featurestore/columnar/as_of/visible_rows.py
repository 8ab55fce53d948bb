"""Which value row a spine row takes: the greatest in the order of the join among those visible at its time.

Without ``known_at="event"`` a row becomes visible at its event time, so that the order of visibility is that of the
join. With it, a row becomes visible when it is also created, and the greatest row so far need not be the last one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.columnar.as_of.gathered import Mask, Places
from featurestore.columnar.as_of.spine_keys import Codes
from featurestore.columnar.as_of.value_rows import Micros, ValueRows, order_of, packed_longs


@dataclass(frozen=True)
class VisibleRows:
    """Value rows in the order in which they become visible to a key's spine rows.

    ``moments`` is when each becomes visible, and ``ranks`` its place in the order of the join; None if that is its
    place here.
    """

    rows: ValueRows
    codes: Codes
    moments: Micros
    ranks: Places | None

    @classmethod
    def of(cls, rows: ValueRows, when_created: bool) -> VisibleRows:
        """``when_created``: a row is visible only once it is created."""
        if not when_created:
            return cls(rows, rows.codes, rows.event, None)
        assert rows.created is not None
        moments = np.maximum(rows.event, rows.created)
        order = order_of(rows.codes, moments)
        return cls(rows, rows.codes[order], moments[order], order)

    def last_visible(self, codes: Codes, times: Micros) -> Places:
        """For each spine row the place, here, of the last row of its key that is visible at its time; -1 for none."""
        if not len(self.codes) or not len(codes):
            return np.full(len(codes), -1, np.int64)
        earliest, latest = int(self.moments.min()), int(self.moments.max())
        # All rows are visible at the latest moment, so later times are the same to these rows.
        bounded = np.clip(times, earliest, latest)
        own = packed_longs(self.codes, self.moments, earliest, latest)
        asked = packed_longs(codes, bounded, earliest, latest)
        if own is None or asked is None:
            own, asked = _ranked(self.codes, self.moments, codes, bounded)
        places = np.searchsorted(own, asked, "right") - 1
        missed = (places < 0) | (times < earliest)
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
