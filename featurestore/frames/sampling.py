"""Sampling by a hash of (seed, row): the same rows on every run, engine and partitioning."""

from __future__ import annotations

from pyspark.sql import DataFrame

from featurestore.frames.columns import column
from featurestore.frames.fingerprint import row_hash


def sample_rows(frame: DataFrame, size: int, seed: int) -> DataFrame:
    """Exactly ``size`` rows (all, where there are fewer); which ones depends on the seed and the rows' contents alone."""
    values = [column(name) for name in frame.columns]
    # Two hashes: rows that tie in both are the same row, and either copy will do.
    return frame.orderBy(row_hash(values, seed), row_hash(values, seed + 1)).limit(size)
