"""Which files of a group's table, and which of their rows, a read of some times and join keys needs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.stores.delta.delta_log import LogFile

Dates = tuple[date | None, date | None]
Times = tuple[datetime | None, datetime | None]
# The log keeps times in milliseconds, some writers cut and others round.
_SLACK = timedelta(milliseconds=1)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_TEXT_PREFIX = 32


def chosen_files(
    files: Sequence[LogFile], tenant_id: str, dates: Dates, times: Times, keys: pa.Table | None
) -> list[LogFile]:
    """The tenant's files that may hold rows of these partitions, event timestamps and keys; bounds are inclusive."""
    spans = [] if keys is None else [(name, _span(keys.column(name))) for name in keys.column_names]
    return [
        file
        for file in files
        if file.partition["tenant_id"] == tenant_id
        and _overlaps((file.partition["event_date"],) * 2, dates)
        and _overlaps(_times_of(file), times)
        and all(_overlaps(logged_bounds(file, name), span) for name, span in spans)
    ]


def _span(values: pa.ChunkedArray) -> tuple[Any, Any]:
    if pa.types.is_boolean(values.type):
        return None, None
    bounds = pc.min_max(values).as_py()
    return bounds["min"], bounds["max"]


def _times_of(file: LogFile) -> tuple[Any, Any]:
    return _widened(*file.bounds.get("event_timestamp", (None, None)))


def _widened(low: datetime | None, high: datetime | None) -> tuple[datetime | None, datetime | None]:
    """The bounds with some slack; none where that is beyond Python's years."""
    first = None if low is None or low < _FIRST + _SLACK else low - _SLACK
    return first, None if high is None or high > _LAST - _SLACK else high + _SLACK


def logged_bounds(file: LogFile, name: str) -> tuple[Any, Any]:
    """The bounds of a column's values in the file, which may be wider than the values; None where none is known."""
    low, high = file.bounds.get(name, (None, None))
    if isinstance(low, datetime) and isinstance(high, datetime):
        return _widened(low, high)
    # A long text is cut in the log, where its last characters cannot be compared.
    return low, None if isinstance(high, str) and len(high) >= _TEXT_PREFIX else high


def _overlaps(own: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    (low, high), (first, last) = own, other
    return (last is None or low is None or low <= last) and (first is None or high is None or high >= first)


def row_condition(times: Times, keys: pa.Table | None) -> pc.Expression | None:
    """The condition on rows; for several join keys it is one on each, which a join makes exact. None for all rows."""
    first, last = times
    tests = []
    if first is not None:
        tests.append(pc.field("event_timestamp") >= _instant(first))
    if last is not None:
        tests.append(pc.field("event_timestamp") <= _instant(last))
    if keys is not None:
        for name, values in zip(keys.column_names, keys.columns, strict=True):
            is_one = keys.num_rows == 1
            tests.append(pc.field(name) == values[0] if is_one else pc.field(name).isin(values.combine_chunks()))
    whole = tests[0] if tests else None
    for test in tests[1:]:
        whole = whole & test
    return whole


def _instant(at: datetime) -> pa.Scalar:
    return pa.scalar(at, pa.timestamp("us", "UTC"))


def with_keys(rows: pa.Table, keys: pa.Table) -> pa.Table:
    """The rows with one of the keys; of several join keys, all must be those of one entity."""
    if len(keys.column_names) == 1:
        return rows
    # A join refuses to carry arrays, so it carries the rows' numbers.
    numbered = rows.select(keys.column_names).append_column("__row", pa.array(range(rows.num_rows), pa.int64()))
    met = numbered.join(keys, keys.column_names, join_type="left semi").column("__row")
    return rows.take(met.combine_chunks().sort())
