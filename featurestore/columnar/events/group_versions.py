"""Events that are the values of a feature group: a later row of the same key and event timestamp corrects the earlier.

Where the group's nulls are skipped, a row corrects only the features that it has, so each row is completed by what the
rows before it said. Then the last row that is known replaces the others as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.columnar.events.event_columns import UNTIL, EventColumns
from featurestore.columnar.fixed_width import as_arrow
from featurestore.columnar.ranks import tuple_ranks
from featurestore.columnar.values.latest_order import CREATED, EVENT, Nulls, is_valid, latest_last, micros
from featurestore.columnar.values.latest_order import starts_of_runs as starts

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class GroupVersions:
    """How the rows of a feature group are events: its join keys, the features that are needed, and its null policy."""

    columns: EventColumns
    keys: tuple[str, ...]
    features: tuple[str, ...]
    nulls: Nulls

    def events(self, rows: pa.Table) -> pa.Table:
        """The rows as events, each with the time at which another corrected it, as the column UNTIL."""
        corrected, until = with_versions(rows, self.keys, self.features, self.nulls)
        columns = {column.name: corrected.column(column.source) for column in self.columns.all}
        typed = {each.name: columns[each.name].cast(each.type or columns[each.name].type) for each in self.columns.all}
        events = pa.table({**typed, UNTIL: as_arrow(until)})
        for key in self.columns.keys:
            # A feature of the group may be the key here, and null.
            events = events.filter(pc.is_valid(events.column(key.name)))
        return events


def with_versions(
    rows: pa.Table, keys: Sequence[str], features: Sequence[str], nulls: Nulls
) -> tuple[pa.Table, NDArray[np.int64]]:
    """The rows, completed, and for each the created timestamp of the row that corrects it; the greatest long for none.

    ``rows``: keys, both timestamps (never null), and the group's ``features``, by which rows of equal times are
    ordered, as in the as-of join.
    """
    if not rows.num_rows:
        return rows, np.zeros(0, np.int64)
    entities = tuple_ranks([rows.column(key) for key in keys])
    order = latest_last(rows, entities, features)
    first = starts(entities[order], micros(rows, EVENT)[order])
    created = micros(rows, CREATED)[order]
    until = np.append(created[1:], NEVER)
    until[np.append(first[1:], len(order)) - 1] = NEVER
    sorted_rows = rows.take(pa.array(order))
    if nulls == "skip":
        of_run = np.zeros(len(order), np.int64)
        of_run[first] = first
        of_run = np.maximum.accumulate(of_run)
        for place, name in enumerate(rows.column_names):
            if name in features:
                sorted_rows = sorted_rows.set_column(place, name, _filled(sorted_rows.column(name), of_run))
    return sorted_rows, until


def _filled(column: pa.ChunkedArray, of_run: NDArray[np.int64]) -> pa.ChunkedArray:
    """The column with nulls replaced by the last value before them in their run."""
    valid = is_valid(column)
    last = np.maximum.accumulate(np.where(valid, np.arange(len(valid)), -1))
    return column.take(pa.array(last, mask=last < of_run))
