"""The events of a windowed feature, and when a later version of an event supersedes an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import as_arrow, as_numpy, plain_values
from featurestore.columnar.ranks import one_array
from featurestore.columnar.values.latest_order import content_ranks
from featurestore.columnar.windows.rules import KnownAt

Longs = NDArray[np.int64]
NEVER = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class EventRows:
    """Rows of events in any order; all moments are in microseconds since 1970.

    - ``codes``: the number of each row's key among the spine's (``SpineKeys.find``); -1 if the spine does not have it;
    - ``times``: event timestamps;
    - ``created``: created timestamps; None: each row was known at its event timestamp;
    - ``until``: see ``superseded_at``; None: no row was superseded;
    - ``columns``: what the features aggregate, and the masks of ``where``.
    """

    codes: Longs
    times: Longs
    created: Longs | None
    until: Longs | None
    columns: Mapping[str, pa.Array | pa.ChunkedArray]

    def visible(self, known_at: KnownAt) -> Longs | None:
        """The rows of the spine's keys that some spine row may see; None for all rows."""
        seen = self.codes >= 0
        if isinstance(known_at, int):
            created = self.times if self.created is None else self.created
            seen &= created <= known_at
        if self.until is not None:
            if known_at is None:
                seen &= self.until == NEVER
            elif isinstance(known_at, int):
                seen &= self.until > known_at
            else:
                seen &= self.until > self.seen_from()
        return None if seen.all() else np.flatnonzero(seen)

    def seen_from(self) -> Longs:
        """The moment from which each row is visible under ``known_at="event"``."""
        return self.times if self.created is None else np.maximum(self.times, self.created)


def superseded_at(
    ids: pa.Array | pa.ChunkedArray, created: Longs | None, times: Longs, content: Sequence[Any] = ()
) -> Longs:
    """For each row the created timestamp of the row that superseded it; the greatest long if none did.

    Rows with the same id are versions of one event, of which the one created last counts. Created timestamps that are
    equal are decided by ``times`` (event timestamps), then by ``content``: the other columns of the rows, such as keys
    and values. So the order of rows decides nothing, as long as ``content`` has all columns that matter. A row without
    an id is an event of its own. ``created`` is None if rows were known at their event timestamps.

    The rows must be all of a tenant's, whatever their keys: a version may move to another key. A moment K sees the rows
    with ``created <= K < until``.
    """
    created = times if created is None else created
    until = np.full(len(times), NEVER)
    numbers = _numbers(ids)
    several = np.bincount(numbers[numbers >= 0], minlength=1) > 1
    rows = np.flatnonzero((numbers >= 0) & several[numbers])
    ranks = [each for column in content for each in _ranks(column.take(as_arrow(rows)))] if len(rows) else []
    rows = rows[np.lexsort((*reversed(ranks), times[rows], created[rows], numbers[rows]))]
    is_followed = numbers[rows][1:] == numbers[rows][:-1]
    until[rows[:-1][is_followed]] = created[rows[1:][is_followed]]
    return until


def _ranks(column: Any) -> list[NDArray[Any]]:
    """By which the column's values are compared. Zeros differ by their sign, because a window may show it."""
    if not pa.types.is_floating(column.type):
        return [content_ranks(column)]
    return [content_ranks(column), ~np.signbit(plain_values(one_array(column)))]


def _numbers(ids: pa.Array | pa.ChunkedArray) -> Longs:
    """A number per row, equal for equal ids; -1 for null."""
    column = ids if isinstance(ids, pa.ChunkedArray) else pa.chunked_array([ids])
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    numbers = np.concatenate([np.zeros(0, np.int64), *(_indices(chunk) for chunk in column.chunks)])
    return numbers.astype(np.int64, copy=False)


def _indices(chunk: Any) -> Longs:
    indices: Longs = plain_values(chunk.indices).astype(np.int64)
    if chunk.indices.null_count:
        indices[~as_numpy(chunk.indices.is_valid())] = -1
    return indices
