"""The files of a tenant's values by partition, with the bounds that the log has of their keys and times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from featurestore.columnar.as_of.value_files import Bound, Bounds, Partition
from featurestore.definitions.values.time_window import to_micros
from featurestore.stores.delta.delta_log import LogFile
from featurestore.stores.delta.pruning import logged_bounds
from featurestore.stores.places import Folder
from featurestore.stores.value_files.parquet import ParquetValues, ValueColumns

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class TenantFiles:
    """A tenant's files of values in some partitions, and how many files and bytes there are in all partitions.

    ``table``: the path of the table's folder, or its URI.
    """

    table: str
    columns: ValueColumns
    partitions: list[Partition]
    all_files: int
    all_bytes: int


def partitions_of(root: str, files: Sequence[LogFile], columns: ValueColumns) -> list[Partition]:
    """The partitions in the order of time; ``root``: the table's folder or its URI, ``files``: of one tenant."""
    folder = Folder.of(root)
    by_date: dict[date, list[ParquetValues]] = {}
    for file in files:
        by_date.setdefault(file.partition["event_date"], []).append(_values(root, folder, file, columns))
    return [Partition(_start(day), tuple(by_date[day])) for day in sorted(by_date)]


def _start(day: date) -> int:
    return to_micros(datetime.combine(day, time(), UTC))


def _values(root: str, folder: Folder, file: LogFile, columns: ValueColumns) -> ParquetValues:
    created, place = logged_bounds(file, "created_timestamp"), folder.file(file.path)
    return ParquetValues(
        path=place if folder.system is None else f"{root}/{file.path}",
        columns=columns,
        rows=file.rows,
        bytes=file.bytes,
        bounds=tuple(_bounds(file, name) for name in columns.keys),
        created=(_micros(created[0]), _micros(created[1])),
        elsewhere=None if folder.system is None else (folder.system, place),
    )


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _bounds(file: LogFile, key: str) -> Bounds:
    low, high = logged_bounds(file, key)
    return _bound(low), _bound(high)


def _bound(value: Any) -> Bound:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, datetime):
        return to_micros(value)
    return (value - _EPOCH).days if isinstance(value, date) else None if value is None else int(value)
