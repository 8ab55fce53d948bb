"""Train, validation and test without Spark: the same parts as in ``frames/training_sets/splits.py``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import as_numpy, plain_values
from featurestore.columnar.rows.fingerprint import row_hashes
from featurestore.columnar.training_sets.percentiles import percentiles
from featurestore.definitions.training_set import EntitySplit, RandomSplit, TimeSplit
from featurestore.definitions.values.durations import microseconds
from featurestore.definitions.values.time_window import from_micros, to_micros
from featurestore.errors import SpineError

# The column of the parts.
SPLIT = "split"
PARTS = ("train", "validation", "test")
# The column's value for a row in the gap before a later part.
EMBARGO = "embargo"
_TRAIN, _VALIDATION, _TEST, _GAP = range(4)


def time_boundaries(instants: Any, split: TimeSplit) -> tuple[datetime | None, datetime]:
    """The first instants of validation (None if there is no such part) and of test.

    Instants are returned as they are; for shares, they are exact quantiles of the timestamps. Raises SpineError for a
    spine without timestamps.
    """
    if split.test_from is not None:
        return split.validation_from, split.test_from
    found = percentiles(as_numpy(instants.drop_null()), shares_of(split))
    if found is None:
        raise no_timestamps()
    cuts = [from_micros(round(cut)) for cut in found]
    return (cuts[0] if split.validation else None), cuts[1]


def shares_of(split: TimeSplit) -> list[float]:
    """The shares of the rows before validation, and before test."""
    assert split.test is not None
    return [1 - split.test - (split.validation or 0.0), 1 - split.test]


def no_timestamps() -> SpineError:
    return SpineError("the spine has no timestamps to split by")


def split_by_time(
    instants: Any, validation_from: datetime | None, test_from: datetime, embargo: timedelta | None = None
) -> pa.Array:
    """The column ``split``: train, validation or test; null for a row without a timestamp.

    ``embargo``: a row less than this long before the first instant of validation or test is in the gap, ``embargo``.
    """
    valid, micros = as_numpy(instants.is_valid()), plain_values(instants)
    parts = np.full(len(micros), _TRAIN, np.int8)
    # The later part decides, so it comes last.
    for part, start in ((_VALIDATION, validation_from), (_TEST, test_from)):
        if start is None:
            continue
        if embargo is not None:
            parts[micros > to_micros(start) - microseconds(embargo)] = _GAP
        parts[micros >= to_micros(start)] = part
    return _texts(parts, ~valid)


def hash_cuts(
    rows: pa.Table, columns: Sequence[str], split: RandomSplit | EntitySplit, seed: int
) -> tuple[int | None, int | None]:
    """The cuts of the hash of these columns: test up to the first, validation up to the second, train beyond.

    A random split cuts the rows, an entity split the distinct values of the columns, each at the exact number, rounded
    to the nearest. None means no such part.
    """
    units = _hashes(rows, columns, seed)
    if isinstance(split, EntitySplit):
        units = np.unique(units)
    test, validation = round(len(units) * split.test), round(len(units) * split.validation)
    in_order = np.sort(units)
    until_test, until_validation = (_cut(in_order, count) for count in (test, test + validation))
    return until_test, (until_validation if validation else None)


def _cut(in_order: NDArray[np.int64], count: int) -> int | None:
    number = min(count, len(in_order))
    return int(in_order[number - 1]) if number else None


def split_by_hash(
    rows: pa.Table, columns: Sequence[str], seed: int, until_test: int | None, until_validation: int | None
) -> pa.Array:
    """The column ``split``, by the hash of each row; rows that are equal in the columns share a part."""
    hashed = _hashes(rows, columns, seed)
    parts = np.full(len(hashed), _TRAIN, np.int8)
    if until_validation is not None:
        parts[hashed <= until_validation] = _VALIDATION
    if until_test is not None:
        parts[hashed <= until_test] = _TEST
    return _texts(parts)


def _hashes(rows: pa.Table, columns: Sequence[str], seed: int) -> NDArray[np.int64]:
    return row_hashes([rows.column(name) for name in columns], seed, rows.num_rows)


def _texts(parts: NDArray[np.int8], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    return pa.array([*PARTS, EMBARGO]).take(pa.array(parts, mask=missing))
