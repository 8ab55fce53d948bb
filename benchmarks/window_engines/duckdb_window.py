"""DuckDB's window functions: events and spine rows in one table, ``RANGE`` between the window's length and T.

``RANGE`` includes its lower end, so the length is one microsecond less.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from benchmarks.window_data import WindowData
from benchmarks.window_engines import FUNCTIONS


def first_look(data: WindowData) -> None:
    duckdb.read_parquet(data.spine).limit(1).fetchall()


def aggregate(data: WindowData, window: int, cores: int) -> pa.Table:
    columns = ", ".join(f"{name}(amount) OVER frame AS {name}" for name in FUNCTIONS)
    with duckdb.connect(config={"threads": cores}) as database:
        database.execute("SET preserve_insertion_order = false")
        database.read_parquet(data.events).create_view("events")
        database.read_parquet(data.spine).create_view("spine")
        return database.sql(
            f"SELECT id, {', '.join(FUNCTIONS)} FROM (SELECT id, {columns} FROM ("
            'SELECT NULL AS id, user_id, "at", amount FROM events UNION ALL BY NAME '
            'SELECT id, user_id, "at", NULL::DOUBLE AS amount FROM spine) '
            'WINDOW frame AS (PARTITION BY user_id ORDER BY epoch_us("at") '
            f"RANGE BETWEEN {window - 1} PRECEDING AND CURRENT ROW)) WHERE id IS NOT NULL"
        ).to_arrow_table()
