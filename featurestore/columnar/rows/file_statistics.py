"""The statistics of a file's rows, as Delta's log keeps them."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# Delta's own limits: statistics of the first columns, and of a text its first characters.
_INDEXED_COLUMNS = 32
_TEXT_PREFIX = 32
_LAST_CHARACTER = "\U0010ffff"
# Python's instants in microseconds since 1970, up to the last that is a whole millisecond, and its days.
_INSTANTS = (-62_135_596_800_000_000, 253_402_300_799_999_000)
_DAYS = (-719_162, 2_932_896)


class FileStatistics:
    """The number of rows, and of each of the first columns its nulls and bounds, which may be wider than its values."""

    def __init__(self) -> None:
        self.rows = 0
        self._nulls: dict[str, int] = {}
        # A column without bounds (NaN, or a type that Delta keeps none of) has None.
        self._bounds: dict[str, tuple[Any, Any] | None] = {}

    def add(self, rows: pa.Table) -> None:
        self.rows += rows.num_rows
        for name in rows.column_names[:_INDEXED_COLUMNS]:
            column = rows.column(name)
            self._nulls[name] = self._nulls.get(name, 0) + column.null_count
            if column.null_count == len(column):
                continue
            bounds, known = _bounds(column), self._bounds.get(name, ())
            if bounds is None or known is None:
                self._bounds[name] = None
            else:
                both = (*bounds, *known)
                self._bounds[name] = min(both), max(both)

    def to_json(self) -> str:
        """The statistics in the words of Delta's log."""
        smallest, largest = {}, {}
        for name, bounds in self._bounds.items():
            rounded = None if bounds is None else _rounded(*bounds)
            if rounded is not None:
                smallest[name], largest[name] = rounded
        return json.dumps(
            {"numRecords": self.rows, "minValues": smallest, "maxValues": largest, "nullCount": self._nulls}
        )


def _bounds(column: pa.ChunkedArray) -> tuple[Any, Any] | None:
    """The bounds of a column that has values; None if there are none that a reader could skip files by."""
    kind = column.type
    if not (
        pa.types.is_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_date(kind)
        or pa.types.is_timestamp(kind)
    ):
        return None
    # Spark orders NaN after every number, so a file with one has no largest number that JSON can hold.
    if pa.types.is_floating(kind) and not pc.all(pc.is_finite(column)).as_py():
        return None
    if pa.types.is_timestamp(kind):
        return _instant_bounds(column)
    both = pc.min_max(column)
    if pa.types.is_date32(kind):
        days = both.cast(pa.struct([("min", pa.int32()), ("max", pa.int32())])).as_py()
        if not (_DAYS[0] <= days["min"] and days["max"] <= _DAYS[1]):
            return None
    bounds = both.as_py()
    return bounds["min"], bounds["max"]


def _instant_bounds(column: pa.ChunkedArray) -> tuple[datetime, datetime] | None:
    """None for times without a zone, and for instants that Python has not."""
    if column.type.tz is None:
        return None
    instants = pc.min_max(column.cast(pa.timestamp("us", "UTC")))
    micros = instants.cast(pa.struct([("min", pa.int64()), ("max", pa.int64())])).as_py()
    if not (_INSTANTS[0] <= micros["min"] and micros["max"] <= _INSTANTS[1]):
        return None
    bounds = instants.as_py()
    return bounds["min"], bounds["max"]


def _rounded(least: Any, greatest: Any) -> tuple[Any, Any] | None:
    """The bounds as the log keeps them: no tighter. None if nothing so short is surely larger."""
    if isinstance(least, str):
        low, high, cut = least[:_TEXT_PREFIX], greatest[:_TEXT_PREFIX], greatest[_TEXT_PREFIX:]
        return None if cut > _LAST_CHARACTER else (low, high + _LAST_CHARACTER if cut else high)
    if isinstance(least, datetime):
        # Delta keeps milliseconds.
        up = greatest if greatest.microsecond % 1000 == 0 else greatest + timedelta(milliseconds=1)
        return _instant(least), _instant(up)
    if isinstance(least, date):
        return least.isoformat(), greatest.isoformat()
    return least, greatest


def _instant(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
