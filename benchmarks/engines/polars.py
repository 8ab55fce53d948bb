"""Polars' ``join_asof`` over the same Parquet files, those of the Delta table's newest version; without Spark.

Both sides are sorted by time, as the join asks. The order within the files is not used: it holds for each file, but not
for all files of a key. With nulls to skip, each feature is joined by itself, to the rows that have it; the values are
read and sorted once.

Measured with 5 million values, and left out for no or little gain: the engines ``streaming`` and ``in-memory`` instead
of ``auto`` (the same time and memory), and sorting keys and times only, to gather the features afterwards (a tenth less
time).
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pyarrow as pa

from benchmarks.dataset import TIME, Dataset, GroupFiles


def first_look(dataset: Dataset) -> None:
    pl.scan_parquet(dataset.spine_files).head(1).collect()
    for group in dataset.groups:
        _values(group, dataset).head(1).collect()


def join(dataset: Dataset) -> pa.Table:
    joined = pl.scan_parquet(dataset.spine_files).sort(TIME)
    for group in dataset.groups:
        values = _values(group, dataset).sort(TIME)
        if dataset.options.skips_nulls:
            joined = _join_each(joined, values, group.features, dataset)
        else:
            joined = _join(joined, values, dataset)
    return joined.collect().to_arrow()


def _values(group: GroupFiles, dataset: Dataset) -> pl.LazyFrame:
    rows = pl.scan_parquet(group.files, hive_partitioning=False)
    return rows.select(*dataset.keys, TIME, *group.features)


def _join_each(spine: pl.LazyFrame, values: pl.LazyFrame, features: list[str], dataset: Dataset) -> pl.LazyFrame:
    values = values.collect().lazy()
    for feature in features:
        present = values.select(*dataset.keys, TIME, feature).filter(pl.col(feature).is_not_null())
        spine = _join(spine, present, dataset)
    return spine


def _join(spine: pl.LazyFrame, values: pl.LazyFrame, dataset: Dataset) -> pl.LazyFrame:
    lifetime = dataset.options.ttl_microseconds
    tolerance = None if lifetime is None else timedelta(microseconds=lifetime)
    # Polars cannot check the order within keys, and would warn.
    return spine.join_asof(values, on=TIME, by=dataset.keys, tolerance=tolerance, check_sortedness=False)
