"""Polars' ``rolling``: a window of events for each row of a table that has events and spine rows."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from benchmarks.window_data import WindowData
from benchmarks.window_engines import FUNCTIONS


def first_look(data: WindowData) -> None:
    pl.scan_parquet(data.spine).head(1).collect()


def aggregate(data: WindowData, window: int, cores: int) -> pa.Table:
    rows = pl.concat([pl.scan_parquet(data.events), pl.scan_parquet(data.spine)], how="diagonal")
    amount = pl.col("amount")
    aggregates = {
        "sum": amount.sum(), "avg": amount.mean(), "count": amount.count(), "min": amount.min(), "max": amount.max(),
    }  # fmt: skip
    rolled = (
        rows.sort("user_id", "at")
        .rolling("at", period=f"{window}us", closed="right", group_by="user_id")
        .agg(pl.col("id").last().alias("last_id"), *(aggregates[name].alias(name) for name in FUNCTIONS))
    )
    # The result has a row per row, in the order of keys and times; its last id is not always the row's own.
    ids = rows.sort("user_id", "at", maintain_order=True).select("id")
    joined = pl.concat([ids, rolled.drop("last_id", "user_id", "at")], how="horizontal")
    has_events = pl.col("count") > 0
    return (
        joined.filter(pl.col("id").is_not_null())
        .with_columns(pl.when(has_events).then(pl.col("sum")).alias("sum"))
        .collect()
        .to_arrow()
    )
