"""The rows of some segments whose keys the spine has, in the order of the join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.as_of.gathered import Places, taken_from
from featurestore.columnar.as_of.rules import AsOfRules
from featurestore.columnar.as_of.segments import Segments
from featurestore.columnar.as_of.spine_keys import Codes, SpineKeys, whole_numbers
from featurestore.columnar.fixed_width import Mask, as_arrow
from featurestore.columnar.ranks import one_array
from featurestore.columnar.values.latest_order import CREATED, EVENT, content_ranks

Micros = NDArray[np.int64]
# An entry of the bits of a long without its sign.
_BITS = 63


@dataclass(frozen=True)
class ValueRows:
    """``codes``, ``event`` and ``created`` (None unless the rules need it) in the order of the join.

    ``rows``: the rows' numbers among the segments, in the same order.
    """

    segments: Segments
    codes: Codes
    event: Micros
    created: Micros | None
    rows: Places

    def __len__(self) -> int:
        return len(self.codes)

    def reordered(self, order: Places) -> ValueRows:
        created = None if self.created is None else self.created[order]
        return ValueRows(self.segments, self.codes[order], self.event[order], created, self.rows[order])


def read_value_rows(
    segments: Segments, keys: SpineKeys, rules: AsOfRules, within: tuple[int, int], needs_created: bool
) -> ValueRows:
    """Read keys and times, leave out rows of keys that are not numbered ``within``, and sort the others."""
    table = segments.table_with([*rules.keys, EVENT, *([CREATED] if needs_created else [])], rules.features)
    codes = _codes(table, keys, rules.keys)
    created = _micros(table, CREATED) if needs_created else None
    wanted = (codes >= within[0]) & (codes < within[1])
    if created is not None and isinstance(rules.known_at, int):
        wanted &= created <= rules.known_at
    rows = ValueRows(segments, codes, _micros(table, EVENT), created, np.arange(len(codes)))
    return _in_order(rows if wanted.all() else rows.reordered(np.flatnonzero(wanted)), rules)


def _micros(table: pa.Table, name: str) -> Micros:
    return whole_numbers(one_array(table.column(name)))


def _codes(table: pa.Table, keys: SpineKeys, names: Sequence[str]) -> Codes:
    """The number of each row's key. In sorted rows only the first of each run of equal keys is looked up."""
    columns = [_one_piece(table.column(name)) for name in names]
    if not table.num_rows or (len(columns) == 1 and pa.types.is_dictionary(columns[0].type)):
        return keys.find(columns)
    starts = np.flatnonzero(_begins_run(columns))
    if 2 * len(starts) > table.num_rows:
        return keys.find(columns)
    firsts = keys.find([column.take(as_arrow(starts)) for column in columns])
    return np.repeat(firsts, np.diff(starts, append=table.num_rows))


def _one_piece(column: pa.ChunkedArray) -> Any:
    """A column in one piece; the dictionaries of its chunks become one."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return column.unify_dictionaries().combine_chunks() if pa.types.is_dictionary(column.type) else one_array(column)


def _begins_run(columns: Sequence[Any]) -> Mask:
    """Whether a row's key differs from that of the row before it; there must be a row."""
    begins = np.zeros(len(columns[0]), bool)
    begins[0] = True
    for column in columns:
        encoded = column.dictionary_encode() if pa.types.is_string(column.type) else column
        numbers = whole_numbers(encoded.indices if pa.types.is_dictionary(encoded.type) else encoded)
        begins[1:] |= numbers[1:] != numbers[:-1]
    return begins


def _in_order(rows: ValueRows, rules: AsOfRules) -> ValueRows:
    """The rows sorted; files are sorted runs, so that often there is nothing to do."""
    if len(rows) < 2:
        return rows
    if not _is_sorted(rows):
        rows = rows.reordered(order_of(rows.codes, rows.event))
    tied = (rows.codes[1:] == rows.codes[:-1]) & (rows.event[1:] == rows.event[:-1])
    return _with_ties_in_order(rows, tied, rules) if tied.any() else rows


def _is_sorted(rows: ValueRows) -> bool:
    same = rows.codes[1:] == rows.codes[:-1]
    in_order = (rows.codes[1:] > rows.codes[:-1]) | (same & (rows.event[1:] >= rows.event[:-1]))
    return bool(in_order.all())


def order_of(codes: Codes, moments: Micros) -> Places:
    """The order by number, then moment; equal rows stay in their order."""
    if not len(codes):
        return np.zeros(0, np.int64)
    packed = packed_longs(codes, moments, int(moments.min()), int(moments.max()))
    return np.lexsort((moments, codes)) if packed is None else np.argsort(packed, kind="stable")


def order_of_codes(codes: Codes) -> Places:
    """The order by number; numbers are from 0 up to 2^32. Of short numbers, NumPy makes a radix sort."""
    order = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    greater = codes >> 16
    if greater.any():
        order = order[np.argsort(greater.astype(np.uint16)[order], kind="stable")]
    return order


def packed_longs(codes: Codes, moments: Micros, earliest: int, latest: int) -> NDArray[np.int64] | None:
    """(number, moment) as one long, in the same order; None if they need more bits than a long has."""
    bits = (latest - earliest).bit_length()
    if bits + int(codes.max(initial=0)).bit_length() > _BITS:
        return None
    packed: NDArray[np.int64] = (codes << np.int64(bits)) | (moments - np.int64(earliest))
    return packed


def _with_ties_in_order(rows: ValueRows, tied: Mask, rules: AsOfRules) -> ValueRows:
    """``tied``: for each row but the first, whether it has the key and the event time of the row before it.

    Created timestamps are read only for the row groups with such rows, and features only where these tie, too.
    """
    follows = np.insert(tied, 0, False)
    members = np.flatnonzero(follows | np.append(tied, False))
    runs = np.cumsum(~follows)[members]
    created = _created(rows, members)
    inner = np.lexsort((created, runs))
    same = (runs[inner][1:] == runs[inner][:-1]) & (created[inner][1:] == created[inner][:-1])
    if same.any() and rules.features:
        content = [content_ranks(column) for column in _features(rows, members, rules.features)]
        inner = np.lexsort((*reversed(content), created, runs))
    order = np.arange(len(rows))
    order[members] = members[inner]
    return rows.reordered(order)


def _created(rows: ValueRows, members: Places) -> Micros:
    if rows.created is not None:
        return rows.created[members]
    numbers = rows.rows[members]
    column = rows.segments.columns([CREATED], rows.segments.holding(numbers))[CREATED]
    assert column.values is not None
    created: Micros = column.values[rows.segments.places(column, numbers)]
    return created


def _features(rows: ValueRows, members: Places, names: Sequence[str]) -> list[Any]:
    numbers = rows.rows[members]
    columns = rows.segments.columns(names, rows.segments.holding(numbers))
    return [taken_from(column.array, rows.segments.places(column, numbers)) for column in columns.values()]
