"""The profile of a training set's rows: how complete each feature is, how old it was, the label over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import as_numpy
from featurestore.columnar.ranks import one_array

AGE_PERCENTILES = (0.05, 0.5, 0.95)
_MICROS_A_SECOND = 1e6
_MICROS_A_DAY = 86_400_000_000
_EPOCH = date(1970, 1, 1)

# Percentiles 5, 50 and 95 of seconds.
Ages = tuple[float, float, float]


@dataclass(frozen=True)
class DayProfile:
    """The rows of a UTC date and part of the split.

    ``labelled``: rows with a label that is not null. ``label_sum``: true counts 1; None for a label that is neither
    boolean nor a number, or if no row has one. ``matched``: for each event timestamp column the rows in which it is not
    null.
    """

    day: date
    part: str | None
    rows: int
    labelled: int
    label_sum: float | None
    matched: tuple[int, ...]


@dataclass(frozen=True)
class SetProfile:
    """The rows of a training set.

    ``found``: feature -> rows in which it is not null. ``ages``: event timestamp column -> percentiles of the seconds
    between it and the row's timestamp, over the rows that have it (values of rows, none in between); None without any.
    ``days``, in order of date, then of part, has no rows without a timestamp.
    """

    rows: int
    found: Mapping[str, int]
    ages: Mapping[str, Ages | None]
    days: tuple[DayProfile, ...]


class CountedRows:
    """The profile of rows that come a piece at a time."""

    def __init__(self, features: Sequence[str], events: Sequence[str]) -> None:
        self._rows = 0
        self._found = dict.fromkeys(features, 0)
        self._ages: dict[str, list[NDArray[np.int64]]] = {name: [] for name in events}
        self._days: dict[tuple[int, str | None], NDArray[Any]] = {}
        self._has_numbers = False

    def add(self, instants: Any, part: Any | None, label: Any | None, events: Mapping[str, Any]) -> None:
        """Count rows by their instants, parts and labels (None: there is no such column) and event timestamps."""
        micros, is_timed = as_numpy(instants.fill_null(0)), as_numpy(instants.is_valid())
        self._rows += len(micros)
        matched = []
        for name, column in events.items():
            event = one_array(column)
            has_event = as_numpy(event.is_valid())
            measured = has_event & is_timed
            self._ages[name].append(micros[measured] - as_numpy(event.fill_null(0))[measured])
            matched.append(has_event)
        labelled = np.zeros(len(micros), bool) if label is None else as_numpy(one_array(label).is_valid())
        values = None if label is None else _numbers(one_array(label))
        self._has_numbers |= values is not None
        sums = np.zeros(len(micros)) if values is None else values
        self._add_days(micros // _MICROS_A_DAY, part, is_timed, [labelled, sums, *matched])

    def _add_days(
        self, days: NDArray[np.int64], part: Any | None, is_timed: NDArray[np.bool_], columns: list[NDArray[Any]]
    ) -> None:
        if part is None:
            names, codes = [None], np.zeros(len(days), np.int64)
        else:
            encoded = one_array(part).dictionary_encode()
            names = [*encoded.dictionary.to_pylist(), None]
            codes = as_numpy(encoded.indices.fill_null(len(names) - 1)).astype(np.int64)
        keys, places = np.unique((days * len(names) + codes)[is_timed], return_inverse=True)
        counted = [np.bincount(places, minlength=len(keys))]
        counted += [np.bincount(places, weights=column[is_timed], minlength=len(keys)) for column in columns]
        for key, *numbers in zip(keys.tolist(), *counted, strict=True):
            day, code = divmod(key, len(names))
            known = self._days.get((day, names[code]), 0)
            self._days[day, names[code]] = known + np.array(numbers)

    def add_feature(self, name: str, values: Any) -> None:
        self._found[name] += len(values) - values.null_count

    def profile(self) -> SetProfile:
        in_order = sorted(self._days.items(), key=lambda item: (item[0][0], item[0][1] or ""))
        return SetProfile(
            rows=self._rows,
            found=dict(self._found),
            ages={name: _percentiles(parts) for name, parts in self._ages.items()},
            days=tuple(self._day(day, part, *numbers) for (day, part), numbers in in_order),
        )

    def _day(self, day: int, part: str | None, rows: Any, labelled: Any, label_sum: Any, *matched: Any) -> DayProfile:
        return DayProfile(
            day=_EPOCH + timedelta(days=day),
            part=part,
            rows=int(rows),
            labelled=int(labelled),
            label_sum=float(label_sum) if labelled and self._has_numbers else None,
            matched=tuple(int(count) for count in matched),
        )


def _numbers(label: pa.Array) -> NDArray[np.float64] | None:
    """The label's values, 0 for null; None if it is neither boolean nor a number."""
    kind = label.type
    if not (
        pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
    ):
        return None
    numbers: NDArray[np.float64] = as_numpy(label.cast(pa.float64()).fill_null(0.0))
    return numbers


def _percentiles(parts: Sequence[NDArray[np.int64]]) -> Ages | None:
    micros = np.concatenate([np.zeros(0, np.int64), *parts])
    if not len(micros):
        return None
    places = [max(0, math.ceil(share * len(micros)) - 1) for share in AGE_PERCENTILES]
    in_order = np.partition(micros, places)
    low, median, high = (float(in_order[place]) / _MICROS_A_SECOND for place in places)
    return low, median, high
