"""Vacuum one table, in this process if it reaches the files and knows all that the log holds, else by Spark."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from featurestore.stores.delta.native_errors import UnsupportedTableError
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.vacuuming import by_spark, local


def vacuum_table(table: DeltaTable, horizon: timedelta) -> tuple[int, int]:
    """Remove unneeded files; returns their number and their bytes."""
    return _either(table, horizon, local.vacuum, by_spark.vacuum)


def unneeded_files(table: DeltaTable, horizon: timedelta) -> tuple[int, int]:
    """Return the number and the bytes of the files that ``vacuum_table`` would remove; removes nothing."""
    return _either(table, horizon, local.unneeded_files, by_spark.unneeded_files)


def now_of(table: DeltaTable) -> datetime:
    """Return the time of the clock that stamps the commits, and by which a vacuum determines the age of files."""
    # A local table's commits are dated by the file system of this machine.
    return by_spark.now(table.spark) if table.native is None else datetime.now(UTC)


def _either(
    table: DeltaTable,
    horizon: timedelta,
    locally: Callable[[NativeTable, timedelta], tuple[int, int]],
    by_spark: Callable[[DeltaTable, timedelta], tuple[int, int]],
) -> tuple[int, int]:
    if table.native is None or not table.native.takes_plain_writes():
        return by_spark(table, horizon)
    try:
        return locally(table.native, horizon)
    except UnsupportedTableError:
        return by_spark(table, horizon)
