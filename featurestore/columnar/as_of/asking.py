"""Spine rows that ask for values, and the columns that their answers are put into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurestore.columnar.as_of.gathered import Places
from featurestore.columnar.as_of.outputs import OutputColumn, output_column
from featurestore.columnar.as_of.rules import AsOfRules
from featurestore.columnar.as_of.segments import ReadColumn
from featurestore.columnar.as_of.spine_keys import Codes, SpineRows
from featurestore.columnar.as_of.value_rows import Micros
from featurestore.columnar.fixed_width import Mask, as_arrow

_NEVER = np.iinfo(np.int64).min
_INSTANT = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Asking:
    """Spine rows, in the order of their keys' numbers, that have no value yet for these features."""

    features: tuple[str, ...]
    rows: Places

    def within(self, codes: Codes, limits: tuple[int, int]) -> Asking:
        """Those whose keys have numbers from ``limits[0]`` up to ``limits[1]``; ``codes``: of all spine rows."""
        first, end = np.searchsorted(codes[self.rows], limits)
        return self if end - first == len(self.rows) else Asking(self.features, self.rows[first:end])


def merged(askings: Iterable[Asking], codes: Codes) -> list[Asking]:
    """One for each combination of features."""
    rows: dict[tuple[str, ...], list[Places]] = {}
    for asking in askings:
        if len(asking.rows):
            rows.setdefault(asking.features, []).append(asking.rows)
    return [Asking(features, _in_order(parts, codes)) for features, parts in rows.items()]


def _in_order(parts: list[Places], codes: Codes) -> Places:
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate(parts)
    ordered: Places = rows[np.argsort(codes[rows], kind="stable")]
    return ordered


@dataclass(frozen=True)
class Answers:
    """The result while it is filled, by several threads, each of which answers other spine rows.

    ``whole``: the rows that took all features from one row of values, none of them null. ``newest``: of the values that
    a row took, the latest event timestamp; None if nobody asks for it.
    """

    spine: SpineRows
    rules: AsOfRules
    columns: Mapping[str, OutputColumn]
    whole: Mask
    newest: Micros | None

    @classmethod
    def of(cls, spine: SpineRows, rules: AsOfRules, types: Mapping[str, pa.DataType], with_event: bool) -> Answers:
        rows = len(spine.codes)
        columns = {name: output_column(rows, types[name]) for name in rules.features}
        return cls(spine, rules, columns, np.zeros(rows, bool), np.full(rows, _NEVER) if with_event else None)

    def unexpired(self, asking: Asking, end: int | None) -> Asking:
        """Without the spine rows for which all values before ``end``, in microseconds since 1970, are too old."""
        if self.rules.ttl is None or end is None:
            return asking
        is_young = self.spine.times[asking.rows] - self.rules.ttl < end
        return asking if is_young.all() else Asking(asking.features, asking.rows[is_young])

    def put(self, rows: Places, taken: Mapping[str, tuple[ReadColumn, Places]]) -> None:
        """Put into these rows, for each feature, the values of a column at some places."""
        is_whole = len(taken) == len(self.columns) and all(column.valid is None for column, _ in taken.values())
        for name, (column, places) in taken.items():
            self.columns[name].put(rows, column, places, is_noted=is_whole)
        if is_whole:
            self.whole[rows] = True

    def features(self) -> dict[str, pa.ChunkedArray]:
        """By feature the whole column."""
        return {name: column.arrow(self.whole) for name, column in self.columns.items()}

    def note(self, rows: Places, event: Micros) -> None:
        """Note the event timestamps of values that these rows took."""
        if self.newest is not None:
            self.newest[rows] = np.maximum(self.newest[rows], event)

    def event(self) -> pa.Array | None:
        return None if self.newest is None else as_arrow(self.newest, self.newest != _NEVER, _INSTANT)
