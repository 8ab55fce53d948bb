"""Resolve corrections: of several rows with the same key and event timestamp, keep the values that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.ranks import tuple_ranks
from featurestore.columnar.values.latest_order import (
    CREATED,
    EVENT,
    Nulls,
    is_valid,
    last_of_runs,
    last_valid,
    latest_last,
    micros,
    starts_of_runs,
    with_companions,
)


def latest_values(rows: pa.Table, keys: Sequence[str], features: Sequence[str], nulls: Nulls) -> pa.Table:
    """One row per key and event timestamp: the keys, ``event_timestamp``, ``created_timestamp``, the features.

    Rows are in the order of the as-of join. ``nulls="keep"``: the last row wins as a whole. ``"skip"``: each feature
    has its last non-null value, and a key and event timestamp without any is left out. ``created_timestamp`` is the
    newest of the rows that the values come from. An embedding brings along the column beside it that names its model.
    The result is sorted by the keys, then by event timestamp. Keys and both timestamps must not be null.
    """
    entities = tuple_ranks([rows.column(key) for key in keys])
    order = latest_last(rows, entities, features)
    starts = starts_of_runs(entities[order], micros(rows, EVENT)[order])
    if nulls == "keep":
        last = last_of_runs(order, starts)
        return _taken(rows, keys, last, dict.fromkeys(features, last))
    lasts = {name: last_valid(is_valid(rows.column(name))[order], starts) for name in features}
    # Of rows with the same event timestamp, a later one in this order was not created earlier.
    newest = np.max(np.stack(list(lasts.values())), axis=0)
    present = newest >= 0
    positions = {name: np.where(last >= 0, order[last], -1)[present] for name, last in lasts.items()}
    return _taken(rows, keys, order[newest[present]], positions)


def _taken(
    rows: pa.Table, keys: Sequence[str], times: NDArray[np.int64], values: Mapping[str, NDArray[np.int64]]
) -> pa.Table:
    """Keys and times from the rows at ``times``, each feature from those at its own positions; null at -1."""
    columns = {name: rows.column(name).take(pa.array(times)) for name in (*keys, EVENT, CREATED)}
    for feature, positions in values.items():
        taken = pa.array(positions, mask=positions < 0)
        columns |= {name: rows.column(name).take(taken) for name in with_companions(rows, [feature])}
    return pa.table(columns)
