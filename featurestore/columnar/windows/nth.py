"""The n-th smallest numbers of many overlapping multisets: a descent through a wavelet matrix, one bit at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Longs = NDArray[np.int64]


def nth_smallest(started: Longs, ended: Longs, starts: Longs, ends: Longs, nth: Longs) -> Longs:
    """For each question the ``nth`` smallest, counted from 0, of some numbers.

    ``started`` and ``ended`` have the same numbers, which are 0 or more, in two orders. A question is about the first
    ``starts`` of ``started`` without the first ``ends`` of ``ended``, all of which must be among the former.

    One pass over the numbers and the questions for each bit of the greatest number.
    """
    found = np.zeros(len(nth), np.int64)
    is_same = started is ended
    for bit in reversed(range(int(started.max(initial=0)).bit_length())):
        is_one = (started >> bit) & 1 != 0
        zeros = _counted(~is_one)
        other_one = is_one if is_same else (ended >> bit) & 1 != 0
        other_zeros = zeros if is_same else _counted(~other_one)
        # Numbers with lesser bits so far come first in both orders, and are as many in both.
        started_zeros, ended_zeros = zeros[starts], other_zeros[ends]
        count = started_zeros - ended_zeros
        goes_on = nth >= count
        nth = np.where(goes_on, nth - count, nth)
        starts = np.where(goes_on, zeros[-1] + starts - started_zeros, started_zeros)
        ends = np.where(goes_on, zeros[-1] + ends - ended_zeros, ended_zeros)
        found |= goes_on.astype(np.int64) << bit
        started = np.concatenate([started[~is_one], started[is_one]])
        ended = started if is_same else np.concatenate([ended[~other_one], ended[other_one]])
    return found


def _counted(mask: NDArray[np.bool_]) -> Longs:
    """How many are true before each place, and at the end in all."""
    counts = np.zeros(len(mask) + 1, np.int64)
    np.cumsum(mask, out=counts[1:])
    return counts
