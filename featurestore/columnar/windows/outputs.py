"""The column of one feature while it is filled: by several threads, each of which fills other rows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import as_arrow
from featurestore.columnar.windows.event_columns import EventColumn
from featurestore.columnar.windows.functions import OF_VALUES, Results
from featurestore.columnar.windows.rules import WindowRules
from featurestore.columnar.windows.timelines import Longs

# Arrow's arrays of lists and texts have offsets of 32 bits: a piece of the column has fewer values.
_MOST_VALUES = 1 << 24


class Output:
    """Rows that nothing is put into are null, or 0 for counts. ``column``: the events' column that values come from."""

    def __init__(self, rules: WindowRules, rows: int, column: EventColumn | None) -> None:
        self._rules, self._column = rules, column
        is_double = rules.function in ("avg", "stddev") or (
            rules.function == "sum" and pa.types.is_floating(rules.type)
        )
        is_list = rules.function == "last_n"
        self._numbers: NDArray[Any] = np.zeros(0 if is_list else rows, np.float64 if is_double else np.int64)
        self._valid = None if rules.function in ("count", "count_distinct") else np.zeros(rows, bool)
        self._lengths = np.zeros(rows, np.int64) if is_list else None
        self._lists: list[tuple[Longs, NDArray[Any]]] = []

    def put(self, rows: Longs, results: Results) -> None:
        if results.lengths is None:
            self._numbers[rows] = results.numbers
        else:
            assert self._lengths is not None
            self._lengths[rows] = results.lengths
            self._lists.append((rows, results.numbers))
        if self._valid is not None:
            self._valid[rows] = results.valid

    def arrow(self) -> pa.ChunkedArray:
        kind = self._rules.type
        if self._lengths is not None:
            return self._list_pieces(self._lengths)
        if self._rules.function in OF_VALUES:
            assert self._column is not None
            return pa.chunked_array([self._column.arrow(self._numbers, self._valid, kind)], kind)
        return pa.chunked_array([as_arrow(self._numbers, self._valid).cast(kind)], kind)

    def _list_pieces(self, lengths: Longs) -> pa.ChunkedArray:
        assert self._column is not None
        assert self._valid is not None
        ends = np.cumsum(lengths)
        starts = ends - lengths
        flat = np.zeros(int(lengths.sum()), np.int64)
        for rows, numbers in self._lists:
            of_rows = lengths[rows]
            within = np.arange(len(numbers)) - np.repeat(np.cumsum(of_rows) - of_rows, of_rows)
            flat[np.repeat(starts[rows], of_rows) + within] = numbers
        kind = self._rules.type
        cuts = [0, *(np.flatnonzero(np.diff(ends // _MOST_VALUES)) + 1).tolist(), len(lengths)]
        pieces = []
        for first, end in pairwise(cuts):
            offsets = np.append(starts[first:end], ends[end - 1] if end else 0)
            values = self._column.arrow(flat[offsets[0] : offsets[-1]], None, kind.value_type)
            mask = as_arrow(~self._valid[first:end])
            lists = pa.ListArray.from_arrays(as_arrow((offsets - offsets[0]).astype(np.int32)), values, mask=mask)
            pieces.append(lists.cast(kind))
        return pa.chunked_array(pieces, kind)
