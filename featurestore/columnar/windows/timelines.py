"""Pairs of a key's number and a moment, sorted, and where other pairs stand among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Longs = NDArray[np.int64]
# The bits of a long without its sign.
_BITS = 63


@dataclass(frozen=True)
class Timeline:
    """``codes`` and ``moments``, sorted by code, then by moment; ``packed``: both as one long in the same order, with
    ``bits`` for the moment, or None if that needs more bits than a long has. ``among`` and ``within``: a code, and a
    moment, before all of these and after them.
    """

    codes: Longs
    moments: Longs
    among: tuple[int, int]
    within: tuple[int, int]
    bits: int
    packed: Longs | None

    @classmethod
    def of(cls, codes: Longs, moments: Longs) -> Timeline:
        # One before and one after all codes, or moments, stand for all that are less or greater.
        first, last = (int(codes[0]) - 1, int(codes[-1]) + 1) if len(codes) else (0, 0)
        earliest, latest = (int(moments.min()) - 1, int(moments.max()) + 1) if len(codes) else (0, 0)
        bits = (latest - earliest).bit_length()
        fits = bits + (last - first).bit_length() <= _BITS and earliest > -(2**62) and latest < 2**62
        packed = ((codes - first) << np.int64(bits)) | (moments - earliest) if fits else None
        return cls(codes, moments, (first, last), (earliest, latest), bits, packed)

    def places(self, codes: Longs, moments: Longs, side: Literal["left", "right"]) -> Longs:
        """How many pairs are below each of these (``left``), or at or below it (``right``)."""
        if not len(self.codes) or not len(codes):
            return np.zeros(len(codes), np.int64)
        if self.packed is None:
            return self._ranked_places(codes, moments, side)
        asked = (np.clip(codes, *self.among) - self.among[0]) << np.int64(self.bits)
        asked |= np.clip(moments, *self.within) - self.within[0]
        return np.searchsorted(self.packed, asked, side)

    def _ranked_places(self, codes: Longs, moments: Longs, side: Literal["left", "right"]) -> Longs:
        """The same with the place of each moment among the distinct ones instead of the moment."""
        distinct = np.unique(self.moments)
        own = (self.codes << np.int64(32)) | (2 * np.searchsorted(distinct, self.moments) + 1)
        asked = (codes << np.int64(32)) | (2 * np.searchsorted(distinct, moments, side))
        return np.searchsorted(own, asked)


def sorted_rows(codes: Longs, moments: Longs) -> Longs | None:
    """The order by code, then by moment; equal pairs come in any order. None if the pairs are in it."""
    same = codes[1:] == codes[:-1]
    if bool(((codes[1:] > codes[:-1]) | (same & (moments[1:] >= moments[:-1]))).all()):
        return None
    first, earliest, latest = int(codes.min()), int(moments.min()), int(moments.max())
    bits = (latest - earliest).bit_length()
    if bits + (int(codes.max()) - first).bit_length() > _BITS:
        return np.lexsort((moments, codes))
    return np.argsort(((codes - first) << np.int64(bits)) | (moments - np.int64(earliest)))


def before(moments: Longs, length: int) -> Longs:
    """Each moment less this length; those below the least long are the least."""
    return np.maximum(moments, np.iinfo(np.int64).min + length) - length


def after(moments: Longs, length: int) -> Longs:
    """Each moment and this length; those above the greatest long are the greatest."""
    return np.minimum(moments, np.iinfo(np.int64).max - length) + length
