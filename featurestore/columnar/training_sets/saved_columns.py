"""What a saved training set's columns hold, counted a piece of the table at a time, and the order of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import as_numpy
from featurestore.columnar.ranks import one_array
from featurestore.columnar.rows.fingerprint import row_hashes
from featurestore.kinds.kind import Moments
from featurestore.kinds.moment import TIMESTAMP

Mask = NDArray[np.bool_]

# Arrow addresses the texts of one array with 31 bits.
_LARGE = 1 << 30
_WITH_LONG_OFFSETS = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}


@dataclass
class Counts:
    """What pieces of a table hold so far.

    ``rows``, ``low`` and ``high`` (instants in microseconds since 1970), ``missing`` (nulls) and ``texts`` (bytes) are
    of the requested rows; ``longest``, the elements of the longest list, is of all rows.
    """

    rows: int = 0
    low: int | None = None
    high: int | None = None
    missing: dict[str, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)
    longest: dict[str, int] = field(default_factory=dict)

    def begin(self, name: str, kind: pa.DataType) -> None:
        """Begin with a column of this type, of which there may be no piece."""
        self.missing[name] = 0
        is_list = pa.types.is_list(kind)
        if is_list:
            self.longest[name] = 0
        if pa.types.is_string(kind.value_type if is_list else kind):
            self.texts[name] = 0

    def add_times(self, instants: Any, inside: Mask) -> None:
        """Count a piece's rows and the bounds of their instants; ``inside``: which rows are requested."""
        self.rows += int(inside.sum())
        times = instants.filter(pa.array(inside)).drop_null()
        if len(times):
            micros = as_numpy(times)
            low, high = int(micros.min()), int(micros.max())
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)

    def add_column(self, name: str, values: Any, inside: Mask) -> None:
        """Count a piece's values of one column."""
        requested = values if inside.all() else values.filter(pa.array(inside))
        self.missing[name] += requested.null_count
        if pa.types.is_list(values.type):
            most = pc.max(pc.list_value_length(values)).as_py() or 0
            self.longest[name] = max(self.longest[name], most)
            requested = pc.list_flatten(requested)
        if pa.types.is_string(requested.type):
            self.texts[name] += pc.sum(pc.binary_length(requested)).as_py() or 0


def read_instants(timestamps: Any, zone: str | None) -> Any | None:
    """The instants of a timestamp column, a naive one read in ``zone``; None if its type is not an instant's."""
    array = one_array(timestamps)
    if pa.types.is_string(array.type):
        return None
    reading = TIMESTAMP.read_arrow(array, Moments(zone))
    return None if reading is None else reading.value


def is_equal(values: Any, text: str) -> Mask:
    """For each row of a column of texts, whether it has this one; null has none."""
    found: Mask = as_numpy(one_array(pc.equal(values, text).fill_null(False)))
    return found


def in_order(columns: Sequence[Any], instants: Any, inside: Mask) -> NDArray[np.int64]:
    """The positions of the requested rows, ordered by instant (null first), then by a hash of the whole row."""
    positions = np.flatnonzero(inside)
    present = as_numpy(instants.is_valid())[positions]
    micros = as_numpy(instants.fill_null(0))[positions]
    hashes = row_hashes(columns, 0, len(inside))[positions]
    ordered: NDArray[np.int64] = positions[np.lexsort((hashes, np.where(present, micros, 0), present))]
    return ordered


def taken(column: Any, positions: NDArray[np.int64]) -> Any:
    """The values at these positions, in this order."""
    if column.nbytes > _LARGE and column.type in _WITH_LONG_OFFSETS:
        column = column.cast(_WITH_LONG_OFFSETS[column.type])
    elif column.nbytes > _LARGE and pa.types.is_list(column.type):
        column = column.cast(pa.large_list(column.type.value_field))
    return column.take(pa.array(positions))
