"""Rows of a range of time and of given entities, and tables of several groups joined by entity and event timestamp."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import numpy as np
import pyarrow as pa

from featurestore.columnar.ranks import one_array, tuple_ranks
from featurestore.columnar.values.latest_order import EVENT, micros
from featurestore.definitions.values.time_window import to_micros


def in_time(
    rows: pa.Table, start: datetime | None, end: datetime | None, end_is: Literal["included", "excluded"]
) -> pa.Table:
    """The rows with ``event_timestamp`` from ``start``, which is included, to ``end``; None means no bound."""
    event = micros(rows, EVENT)
    inside = np.ones(len(event), bool)
    if start is not None:
        inside &= event >= to_micros(start)
    if end is not None:
        inside &= (event <= to_micros(end)) if end_is == "included" else (event < to_micros(end))
    return rows if inside.all() else rows.filter(pa.array(inside))


def of_entities(rows: pa.Table, entities: pa.Table) -> pa.Table:
    """The rows with the keys of one of the entities, whose columns are the join keys.

    Entities that come twice count once; one with a null key matches no row. Keys are compared as the rows' types;
    raises pa.ArrowInvalid for a key that the rows' type cannot hold.
    """
    names = entities.column_names
    complete = entities.drop_null()
    keys = [_in_one(rows.column(name), complete.column(name).cast(rows.schema.field(name).type)) for name in names]
    numbers = tuple_ranks(keys)
    of_rows, of_complete = numbers[: rows.num_rows], numbers[rows.num_rows :]
    return rows.filter(pa.array(np.isin(of_rows, of_complete)))


def distinct_rows(rows: pa.Table) -> pa.Table:
    """Each row once; not for lists."""
    return rows.group_by(rows.column_names).aggregate([])


def joined(parts: Sequence[pa.Table], on: Sequence[str]) -> pa.Table:
    """A full outer join: one row per distinct key among all parts, the key's columns, then each part's other columns.

    Each part has the columns ``on``, never null and of the same types, with one row per key; a part without a key's row
    gives nulls there. The result is sorted by key. Names of the other columns must be distinct.
    """
    keys = {name: _in_one(*(part.column(name) for part in parts)) for name in on}
    _, firsts, numbers = np.unique(tuple_ranks(list(keys.values())), return_index=True, return_inverse=True)
    columns = {name: one_array(column).take(pa.array(firsts)) for name, column in keys.items()}
    first_row = 0
    for part in parts:
        of_part = numbers[first_row : first_row + part.num_rows]
        first_row += part.num_rows
        rows = np.full(len(firsts), -1, np.int64)
        rows[of_part] = np.arange(part.num_rows)
        positions = pa.array(rows, mask=rows < 0)
        columns |= {name: part.column(name).take(positions) for name in part.column_names if name not in on}
    return pa.table(columns)


def _in_one(*columns: pa.ChunkedArray) -> pa.ChunkedArray:
    """The columns, which have the same type, one below the other."""
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)
