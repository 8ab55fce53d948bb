"""This project's kernel of windowed features over the same Parquet files, without Spark."""

from __future__ import annotations

from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.dataset import dataset

from benchmarks.window_data import WindowData
from benchmarks.window_engines import FUNCTIONS
from featurestore.columnar.as_of.spine_keys import SpineRows, whole_numbers
from featurestore.columnar.windows.event_rows import EventRows
from featurestore.columnar.windows.join import windowed
from featurestore.columnar.windows.rules import Function, WindowRules


def first_look(data: WindowData) -> None:
    dataset(data.spine).head(1)


def aggregate(data: WindowData, window: int, cores: int) -> pa.Table:
    spine = pq.read_table(data.spine)
    events = pq.read_table(data.events)
    rows = SpineRows.of([spine.column("user_id")], spine.column("at"))
    codes = rows.keys.find([events.column("user_id").combine_chunks()])
    times = whole_numbers(events.column("at").combine_chunks())
    seen = EventRows(codes, times, None, None, {"amount": events.column("amount")})
    columns = windowed(rows, seen, [_rules(name, window) for name in FUNCTIONS], known_at=None, threads=cores)
    return pa.table({"id": spine.column("id"), **columns})


def _rules(function: str, window: int) -> WindowRules:
    [known] = [name for name in get_args(Function) if name == function]
    kind = pa.int64() if function == "count" else pa.float64()
    return WindowRules(name=function, function=known, of="amount", window=window, type=kind)
