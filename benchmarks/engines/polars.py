"""Polars' ``join_asof`` over the same Parquet files, those of the Delta table's newest version; without Spark."""

from __future__ import annotations

import warnings
from datetime import timedelta

import polars as pl

from benchmarks.answers import MODULUS, WEIGHTS, Answers
from benchmarks.dataset import TIME, Dataset, Kind


def run(dataset: Dataset) -> Answers:
    # Polars warns that it cannot check the order within keys; both sides are sorted here.
    warnings.filterwarnings("ignore", message="Sortedness of columns cannot be checked")
    lifetime = dataset.options.ttl_microseconds
    tolerance = None if lifetime is None else timedelta(microseconds=lifetime)
    joined = pl.scan_parquet(dataset.spine_files).sort(TIME)
    for group in dataset.groups:
        values = pl.scan_parquet(group.files, hive_partitioning=False).select(*dataset.keys, TIME, *group.features)
        joined = joined.join_asof(values.sort(TIME), on=TIME, by=dataset.keys, tolerance=tolerance)
    return joined.select(*_answers(dataset.options.output_columns)).collect().row(0, named=True)


def _answers(columns: dict[str, Kind]) -> list[pl.Expr]:
    weight = pl.col("id") % WEIGHTS
    aggregates = [pl.len().cast(pl.Float64).alias("rows")]
    for name, kind in columns.items():
        number = _number(name, kind)
        aggregates += [
            pl.col(name).count().cast(pl.Float64).alias(f"{name} count"),
            number.sum().alias(f"{name} sum"),
            (number * weight).sum().alias(f"{name} weighted"),
        ]
    return aggregates


def _number(name: str, kind: Kind) -> pl.Expr:
    column = pl.col(name)
    numbers = {
        "double": lambda: column,
        "long": lambda: column % MODULUS,
        "timestamp": lambda: column.dt.epoch("us") % MODULUS,
        "string": lambda: column.str.len_chars(),
    }
    return numbers[kind]().cast(pl.Float64)
