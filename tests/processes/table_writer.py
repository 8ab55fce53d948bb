"""Append to one table, again and again, until a time is over: ``python table_writer.py ENGINE TABLE LOCK NAME SECONDS``.

Two threads write, each commit with a marker of its own. The process says ``ready``, begins at a line of its input, and
in the end prints the markers that it committed as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from featurestore import Settings
from featurestore.session import open_session
from featurestore.stores.arrow import to_spark
from featurestore.stores.delta.log import Transaction
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.writer_lock import WriterLock

SCHEMA = pa.schema([("writer", pa.string()), ("marker", pa.string())])
THREADS = 2


def writer_of(engine: str, path: str, lock: WriterLock, name: str) -> Callable[[str], None]:
    """A function that appends one row with a marker in one commit."""

    def rows(marker: str) -> pa.Table:
        return pa.table({"writer": [name], "marker": [marker]}, schema=SCHEMA)

    if engine == "delta-rs":
        native = NativeTable(path, lock)
        return lambda marker: native.append(rows(marker), Transaction(marker), marker)
    # Only here, because it imports Spark.
    from tests.conftest import SPARK

    spark = open_session(Settings(warehouse=str(Path(path).parent), spark=SPARK | {"spark.driver.memory": "1g"}))
    table = DeltaTable(lambda: spark, path, lock=lock)
    return lambda marker: table.append(to_spark(spark, rows(marker)).coalesce(1), Transaction(marker), marker)


def write_until(end: float, write: Callable[[str], None], name: str) -> list[str]:
    markers: list[str] = []
    while time.time() < end:
        marker = f"{name}/{len(markers)}"
        write(marker)
        markers.append(marker)
    return markers


if __name__ == "__main__":
    engine, path, lock, name, seconds = sys.argv[1:]
    write = writer_of(engine, path, WriterLock(Path(lock), 120.0), name)
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.time() + float(seconds)
    with ThreadPoolExecutor(THREADS) as pool:
        threads = [pool.submit(write_until, end, write, f"{name}.{thread}") for thread in range(THREADS)]
        print(json.dumps([marker for thread in threads for marker in thread.result()]), flush=True)
