"""This project's join in this process, from an Arrow table to an Arrow table; without Spark."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.dataset import Dataset
from benchmarks.engines.hosts import point_in_time


def first_look(dataset: Dataset) -> None:
    """Join one row, which imports all that a join needs."""
    [first, *_] = dataset.spine_files
    row = pa.Table.from_batches([next(pq.ParquetFile(first).iter_batches(batch_size=1))])
    point_in_time(dataset, row, "in_process")


def join(dataset: Dataset) -> pa.Table:
    return point_in_time(dataset, read_spine(dataset), "in_process")


def read_spine(dataset: Dataset) -> pa.Table:
    return pq.read_table(dataset.spine_files, partitioning=None)
