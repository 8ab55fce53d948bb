"""Row groups of files as one sequence of rows, whose columns are read only for the row groups that are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.as_of.gathered import Places, in_few_pieces, valid_rows
from featurestore.columnar.as_of.value_files import OpenedFile
from featurestore.columnar.fixed_width import Mask, is_plain, plain_values

# Of segments with fewer rows, on average, most of the time to read is that of the calls.
_SMALL_ROWS = 1_024


@dataclass(frozen=True)
class Segment:
    """One row group of an opened file."""

    file: OpenedFile
    group: int
    rows: int


@dataclass(frozen=True)
class ReadColumn:
    """A column of the segments in ``of``, one below the other.

    ``valid``: for each row whether it is not null; None if all are. ``values``: of a plain type, in NumPy. ``array``:
    of another type a chunked one if it is large.
    """

    of: Mask
    array: Any
    valid: Mask | None
    values: NDArray[Any] | None

    @classmethod
    def read(cls, of: Mask, column: pa.ChunkedArray) -> ReadColumn:
        array = in_few_pieces(column)
        return cls(of, array, valid_rows(array), plain_values(array) if is_plain(array.type) else None)


@dataclass(frozen=True)
class Segments:
    """Row groups, whose rows are numbered one after the other."""

    segments: tuple[Segment, ...]
    # The number of each segment's first row, and at the end the number of all rows.
    starts: NDArray[np.int64]
    _read: dict[str, ReadColumn] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, segments: Sequence[Segment]) -> Segments:
        return cls(tuple(segments), np.cumsum([0, *(segment.rows for segment in segments)]))

    def table(self, names: Sequence[str], needed: Mask | None = None) -> pa.Table:
        """These columns of the needed segments (by default all), one below the other."""
        chosen = [each for at, each in enumerate(self.segments) if needed is None or needed[at]]
        parts: list[pa.Table] = []
        first = 0
        for at in range(1, len(chosen) + 1):
            if at == len(chosen) or chosen[at].file is not chosen[first].file:
                parts.append(chosen[first].file.read([each.group for each in chosen[first:at]], names))
                first = at
        return pa.concat_tables(parts)

    def table_with(self, names: Sequence[str], more: Sequence[str]) -> pa.Table:
        """These columns of all segments; if these are small, further columns are read in the same calls, and kept."""
        if int(self.starts[-1]) > _SMALL_ROWS * len(self.segments):
            return self.table(names)
        table = self.table([*names, *more])
        self._keep(table, more, np.ones(len(self.segments), bool))
        return table

    def holding(self, rows: Places) -> Mask:
        """The segments that hold these rows."""
        needed = np.zeros(len(self.segments), bool)
        if len(self.segments) == 1:
            needed[:] = len(rows) > 0
        else:
            needed[self._segment_of(rows)] = True
        return needed

    def columns(self, names: Sequence[str], needed: Mask) -> dict[str, ReadColumn]:
        """The columns, read at least for the needed segments; what was read before stays."""
        missing = [name for name in names if name not in self._read or (needed & ~self._read[name].of).any()]
        if missing:
            self._keep(self.table(missing, needed), missing, needed)
        return {name: self._read[name] for name in names}

    def _keep(self, table: pa.Table, names: Sequence[str], of: Mask) -> None:
        self._read.update({name: ReadColumn.read(of, table.column(name)) for name in names})

    def places(self, column: ReadColumn, rows: Places) -> Places:
        """Where these rows are in a column that was read for the segments that hold them."""
        if column.of.all():
            return rows
        read_before = np.concatenate(([0], np.cumsum(np.where(column.of, np.diff(self.starts), 0))))
        segment = self._segment_of(rows)
        places: Places = rows - self.starts[segment] + read_before[segment]
        return places

    def _segment_of(self, rows: Places) -> Places:
        return np.searchsorted(self.starts, rows, "right") - 1
