"""DuckDB's range join: all events in each spine row's window, then one aggregation by spine row."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from benchmarks.window_data import WindowData
from benchmarks.window_engines import FUNCTIONS


def first_look(data: WindowData) -> None:
    duckdb.read_parquet(data.spine).limit(1).fetchall()


def aggregate(data: WindowData, window: int, cores: int) -> pa.Table:
    columns = ", ".join(f"{name}(amount) AS {name}" for name in FUNCTIONS)
    with duckdb.connect(config={"threads": cores}) as database:
        database.execute("SET preserve_insertion_order = false")
        database.read_parquet(data.events).create_view("events")
        database.read_parquet(data.spine).create_view("spine")
        return database.sql(
            f"SELECT id, {columns} FROM spine LEFT JOIN events ON spine.user_id = events.user_id "
            "AND epoch_us(events.at) <= epoch_us(spine.at) "
            f"AND epoch_us(events.at) > epoch_us(spine.at) - {window} GROUP BY id"
        ).to_arrow_table()
