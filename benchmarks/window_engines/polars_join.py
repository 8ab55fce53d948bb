"""Polars' ``join_where``: all events in each spine row's window, one aggregation, and a join back to the spine."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from benchmarks.window_data import WindowData
from benchmarks.window_engines import FUNCTIONS


def first_look(data: WindowData) -> None:
    pl.scan_parquet(data.spine).head(1).collect()


def aggregate(data: WindowData, window: int, cores: int) -> pa.Table:
    spine = pl.scan_parquet(data.spine).with_columns(start=pl.col("at") - pl.duration(microseconds=window))
    events = pl.scan_parquet(data.events).rename({"user_id": "event_user", "at": "event_at"})
    amount = pl.col("amount")
    found = (
        spine.join_where(
            events,
            pl.col("user_id") == pl.col("event_user"),
            pl.col("event_at") <= pl.col("at"),
            pl.col("event_at") > pl.col("start"),
        )
        .group_by("id")
        .agg(sum=amount.sum(), avg=amount.mean(), count=amount.count(), min=amount.min(), max=amount.max())
    )
    joined = spine.select("id").join(found, on="id", how="left").with_columns(pl.col("count").fill_null(0))
    return joined.select("id", *FUNCTIONS).collect().to_arrow()
