"""Old rows that no read after a cutoff needs; ``frames/rows/superseded_rows.py`` has the same rule for Spark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.ranks import tuple_ranks
from featurestore.columnar.values.latest_order import CREATED, EVENT, Nulls, is_valid, micros
from featurestore.definitions.values.durations import microseconds
from featurestore.definitions.values.time_window import to_micros

Mask = NDArray[np.bool_]


def is_superseded(
    rows: pa.Table, keys: Sequence[str], features: Sequence[str], nulls: Nulls, *, ttl: timedelta | None, cut: datetime
) -> Mask:
    """For each row, all older than ``cut``, whether no as-of read at ``cut`` or later takes a value from it.

    A row is needed if it is the latest of its entity (``nulls="keep"``), or the latest with a value of one of the
    features (``"skip"``), as known at any time from ``cut`` on. This includes a row that a correction or a late row
    replaced only after ``cut``. Rows with the same event and created timestamp are needed together or not at all,
    because only their content decides between them. A row whose TTL ends before ``cut`` is not needed. Keys and both
    timestamps must not be null.
    """
    event, created = micros(rows, EVENT), micros(rows, CREATED)
    entities = tuple_ranks([rows.column(key) for key in keys])
    known = np.maximum(created, to_micros(cut))
    places = tuple_ranks([rows.column(EVENT), rows.column(CREATED)])
    if nulls == "keep":
        needed = _is_latest(entities, known, places)
    else:
        needed = np.zeros(rows.num_rows, bool)
        for name in features:
            counts = is_valid(rows.column(name))
            needed[counts] |= _is_latest(entities[counts], known[counts], places[counts])
    if ttl is not None:
        # In Python's integers, because the difference may be beyond 64 bits.
        needed &= event >= max(to_micros(cut) - microseconds(ttl), np.iinfo(np.int64).min)
    superseded: Mask = ~needed
    return superseded


def _is_latest(entities: NDArray[np.int64], known: NDArray[np.int64], places: NDArray[np.int64]) -> Mask:
    """Whether no row of the same entity that is known by the time of this one has a later place."""
    order = np.lexsort((known, entities))
    # Places are below 2^31, and so are entities; an entity's greatest number is below all of the next one.
    numbers = (entities[order] << np.int64(32)) | places[order]
    greatest = np.maximum.accumulate(numbers)
    last = np.ones(len(order), bool)
    last[:-1] = (entities[order][1:] != entities[order][:-1]) | (known[order][1:] != known[order][:-1])
    # Rows that become known together are seen together.
    ends = np.flatnonzero(last)
    seen = greatest[ends[np.searchsorted(ends, np.arange(len(order)))]] if len(order) else greatest
    latest = np.zeros(len(order), bool)
    latest[order] = numbers == seen
    return latest
