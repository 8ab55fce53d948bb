"""The spine's keys as numbers in the order in which files are sorted, and the numbers of the values' keys.

Files are sorted by whole numbers, or by the UTF-8 bytes of texts. So the rows of a row group, or of a file, have
numbers in a range that its bounds tell, and a range without a number need not be read.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.columnar.as_of.value_files import Bound, Bounds
from featurestore.columnar.fixed_width import as_arrow, as_numpy, plain_values
from featurestore.columnar.ranks import one_array

Codes = NDArray[np.int64]
Side = Literal["left", "right"]


class KeyColumn(Protocol):
    """The distinct values of one key column of the spine, sorted."""

    def __len__(self) -> int: ...

    def places(self, bounds: Sequence[Bound], side: Side) -> Codes:
        """The number of values below each bound (``left``), or at or below it (``right``)."""

    def find(self, values: Any) -> Codes:
        """The number of each value among the distinct values; -1 for one that is not among them, and for null."""


@dataclass(frozen=True)
class WholeKeys:
    """Whole numbers, dates, timestamps and booleans."""

    distinct: Codes

    def __len__(self) -> int:
        return len(self.distinct)

    def places(self, bounds: Sequence[Bound], side: Side) -> Codes:
        known = np.array([isinstance(bound, int) for bound in bounds], bool)
        numbers = np.array([bound if isinstance(bound, int) else 0 for bound in bounds], np.int64)
        return np.where(known, np.searchsorted(self.distinct, numbers, side), _end(self, side))

    def find(self, values: Any) -> Codes:
        numbers = whole_numbers(values)
        if not len(self.distinct):
            return np.full(len(numbers), -1, np.int64)
        if int(self.distinct[-1]) - int(self.distinct[0]) < len(numbers):
            return self._find_by_table(numbers, values)
        places = np.minimum(np.searchsorted(self.distinct, numbers), len(self.distinct) - 1)
        unknown = self.distinct[places] != numbers
        if values.null_count:
            unknown |= as_numpy(values.is_null())
        return np.where(unknown, -1, places)

    def _find_by_table(self, numbers: Codes, values: Any) -> Codes:
        """The same where keys lie close together: by a table of all numbers between them, with one place for others."""
        first, last = self.distinct[0], self.distinct[-1]
        table = np.full(last - first + 2, -1)
        table[self.distinct - first] = np.arange(len(self.distinct))
        known = (numbers >= first) & (numbers <= last)
        if values.null_count:
            known &= as_numpy(values.is_valid())
        found: Codes = table[np.where(known, numbers - first, -1)]
        return found


@dataclass(frozen=True)
class TextKeys:
    """Texts, by their UTF-8 bytes."""

    distinct: pa.StringArray

    def __len__(self) -> int:
        return len(self.distinct)

    def places(self, bounds: Sequence[Bound], side: Side) -> Codes:
        bisect = bisect_left if side == "left" else bisect_right
        texts = _Texts(self.distinct)
        found = (bisect(texts, bound) if isinstance(bound, bytes) else _end(self, side) for bound in bounds)
        return np.fromiter(found, np.int64, len(bounds))

    def find(self, values: Any) -> Codes:
        if pa.types.is_dictionary(values.type):
            of_dictionary = self.find(values.dictionary)
            found: Codes = np.append(of_dictionary, -1)[plain_values(values.indices, len(of_dictionary))]
            return found
        places = pc.index_in(values, value_set=self.distinct, skip_nulls=True)
        return plain_values(places, -1).astype(np.int64)


class _Texts(Sequence[bytes]):
    """The bytes of each text, read when a search asks for it, and then kept: searches share their first steps."""

    def __init__(self, texts: pa.StringArray) -> None:
        self._texts = texts
        self._known: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, at: Any) -> Any:
        if at not in self._known:
            self._known[at] = self._texts[at].as_py().encode()
        return self._known[at]


def _end(column: KeyColumn, side: Side) -> int:
    """Where an unknown bound is: before all values, or after them."""
    return 0 if side == "left" else len(column)


def whole_numbers(values: Any) -> Codes:
    """Whole numbers, dates, timestamps or booleans as longs; null as 0."""
    return plain_values(values).astype(np.int64, copy=False)


def key_column(column: Any, kind: pa.DataType) -> Any:
    """A spine's key column in the values' type; whole numbers as they are: one beyond the values' type matches none."""
    return column if pa.types.is_signed_integer(column.type) else column.cast(kind)


@dataclass(frozen=True)
class SpineKeys:
    """The distinct keys of a spine, numbered in the order of files.

    A key of several columns is numbered column by column: ``pairs`` has, for the second column and each further one,
    the distinct pairs (number so far, number of the column's value), each as one long, sorted.
    """

    columns: tuple[KeyColumn, ...]
    pairs: tuple[Codes, ...]

    @property
    def count(self) -> int:
        return len(self.pairs[-1]) if self.pairs else len(self.columns[0])

    @classmethod
    def of(cls, columns: Sequence[Any]) -> tuple[SpineKeys, Codes]:
        """The keys, and each row's number; -1 for a row without one of its keys."""
        first, codes = _numbered(columns[0])
        found, pairs = [first], []
        for column in columns[1:]:
            values, more = _numbered(column)
            distinct, codes = _dense(_paired(codes, more, len(values)))
            found.append(values)
            pairs.append(distinct)
        return cls(tuple(found), tuple(pairs)), codes

    def find(self, columns: Sequence[Any]) -> Codes:
        """The number of each row of key columns; -1 for a key that the spine does not have."""
        codes = self.columns[0].find(columns[0])
        for column, values, pairs in zip(columns[1:], self.columns[1:], self.pairs, strict=True):
            wanted = _paired(codes, values.find(column), len(values))
            if not len(pairs):
                return np.full(len(wanted), -1, np.int64)
            places = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
            codes = np.where(pairs[places] == wanted, places, -1)
        return codes

    def range_of(self, bounds: Sequence[Bounds]) -> tuple[int, int]:
        """The numbers, first and end, among which are all keys within these bounds of each column."""
        [start], [end] = self.ranges_of([bounds])
        return int(start), int(end)

    def ranges_of(self, bounds: Sequence[Sequence[Bounds]]) -> tuple[Codes, Codes]:
        """The same for each of several bounds."""
        columns = list(zip(*bounds, strict=True)) or [()] * len(self.columns)
        starts = self.columns[0].places([low for low, _ in columns[0]], "left")
        ends = self.columns[0].places([high for _, high in columns[0]], "right")
        for column, values, pairs in zip(columns[1:], self.columns[1:], self.pairs, strict=True):
            # From the least number with the column's least value to the greatest number with its greatest.
            least = values.places([low for low, _ in column], "left")
            greatest = values.places([high for _, high in column], "right")
            starts, ends = (
                np.searchsorted(pairs, starts * len(values) + least),
                np.searchsorted(pairs, (ends - 1) * len(values) + greatest),
            )
        return starts, np.maximum(starts, ends)


@dataclass(frozen=True)
class SpineRows:
    """The spine's keys, each row's number among them, and its time.

    A row without a complete key or without a time has the number -1; it takes no value.
    """

    keys: SpineKeys
    codes: Codes
    times: NDArray[np.int64]

    @classmethod
    def of(cls, keys: Sequence[Any], instants: Any) -> SpineRows:
        """``keys``: columns of the values' types, in the order of the join keys; ``instants``: timestamps in UTC."""
        found, codes = SpineKeys.of(keys)
        times = one_array(instants)
        if times.null_count:
            codes = np.where(as_numpy(times.is_valid()), codes, -1)
        return cls(found, codes, whole_numbers(times))

    def later(self, offset: int) -> SpineRows:
        """The same rows at times that are ``offset`` microseconds later."""
        return SpineRows(self.keys, self.codes, self.times + offset) if offset else self


def _numbered(column: Any) -> tuple[KeyColumn, Codes]:
    """A column's distinct values, and each row's number among them; -1 for null."""
    array = one_array(column)
    encoded = array.dictionary_encode()
    values = encoded.dictionary
    if pa.types.is_string(array.type):
        order = as_numpy(pc.sort_indices(values))
        keys: KeyColumn = TextKeys(values.take(as_arrow(order)))
    else:
        numbers = whole_numbers(values)
        order = np.argsort(numbers)
        keys = WholeKeys(numbers[order])
    rank = np.empty(len(order) + 1, np.int64)
    rank[order] = np.arange(len(order))
    rank[-1] = -1
    return keys, rank[plain_values(encoded.indices, len(order))]


def _dense(codes: Codes) -> tuple[Codes, Codes]:
    """The distinct numbers, sorted, and the place of each row's among them; -1 stays -1 and is not among them."""
    keys, dense = _numbered(as_arrow(codes, codes >= 0))
    assert isinstance(keys, WholeKeys)
    return keys.distinct, dense


def _paired(codes: Codes, more: Codes, count: int) -> Codes:
    """One long for each pair of numbers; -1 if one of them is. Both are below 2^31, the most rows of an Arrow array."""
    return np.where((codes < 0) | (more < 0), -1, codes * count + more)
