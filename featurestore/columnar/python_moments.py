"""Python's dates, timestamps and durations -> Arrow columns, exact to the microsecond; reads each value on its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.columnar.unheld import UnheldError
from featurestore.definitions.values.time_window import to_instant
from featurestore.late_pandas import pd

_INSTANT, _CLOCK = pa.timestamp("us", tz="UTC"), pa.timestamp("us")
_MICROSECOND = timedelta(microseconds=1)
_ROUND = "round it down to microseconds, cast it to a whole number, or drop it"


def dates(values: Sequence[Any], rows: Sequence[int]) -> pa.Array:
    read = [value.item() if isinstance(value, np.datetime64) else value for value in values]
    for position, value in enumerate(read):
        # NumPy returns a number for a date that Python cannot hold.
        if isinstance(value, int):
            raise _outside(values[position], rows[position])
    return pa.array(read, pa.date32())


def aware_moments(values: Sequence[Any], rows: Sequence[int], down: bool) -> pa.Array:
    """Timestamps with any time zones, as instants."""
    read = [
        None if value is None else _in_utc(moment(value, rows[position], down), rows[position])
        for position, value in enumerate(values)
    ]
    return pa.array(read, _INSTANT)


def naive_moments(values: Sequence[Any], rows: Sequence[int], down: bool) -> pa.Array:
    read = [None if value is None else moment(value, rows[position], down) for position, value in enumerate(values)]
    return pa.array(read, _CLOCK)


def moments_in_zone(values: Sequence[Any], zone: str) -> pa.Array:
    """Each value as an instant, rounded down to the microsecond; one without a time zone is read in ``zone``."""
    read = []
    for row, value in enumerate(values):
        try:
            read.append(None if value is None else to_instant(moment(value, row, down=True), zone))
        except ValueError as error:
            raise _outside(value, row) from error
    return pa.array(read, _INSTANT)


def durations(values: Sequence[Any], rows: Sequence[int]) -> pa.Array:
    read = [None if value is None else _micros(value, rows[position]) for position, value in enumerate(values)]
    return pa.array(read, pa.int64()).cast(pa.duration("us"))


def moment(value: Any, row: int, down: bool) -> Any:
    """The value as a ``datetime``, which holds microseconds; a finer one is rounded ``down``, or refused."""
    if not isinstance(value, np.datetime64 | pd.Timestamp):
        return value
    try:
        exact = value if isinstance(value, pd.Timestamp) else pd.Timestamp(value)
        plain = exact.to_pydatetime(warn=False)
    except ValueError as error:
        raise _outside(value, row) from error
    if exact.nanosecond and not down:
        raise UnheldError(f"holds {exact} (row {row}), finer than a microsecond, which is Spark's unit", _ROUND)
    return plain


def _in_utc(value: datetime, row: int) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise _outside(value, row) from error


def _micros(value: Any, row: int) -> int:
    try:
        exact = pd.Timedelta(value) if isinstance(value, np.timedelta64) else value
        finer = isinstance(exact, pd.Timedelta) and exact.nanoseconds
        micros = (exact.to_pytimedelta() if isinstance(exact, pd.Timedelta) else exact) // _MICROSECOND
    except (ValueError, OverflowError) as error:
        raise UnheldError(f"holds {value!r} (row {row}), which is no number of microseconds", _ROUND) from error
    if finer or not -(2**63) <= micros < 2**63:
        raise UnheldError(f"holds {value!r} (row {row}), which 64 bits of microseconds do not hold exactly", _ROUND)
    return int(micros)


def _outside(value: Any, row: int) -> UnheldError:
    return UnheldError(f"holds {value!r} (row {row}), which is outside the years 1 to 9999")
