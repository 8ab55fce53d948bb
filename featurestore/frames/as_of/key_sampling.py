"""The distribution of a frame's rows over keys, estimated from a sample: hot keys, and the number of keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.late_spark import DataFrame, F

# Rows to sample of a key that is just hot: enough to estimate it within a tenth (three standard deviations).
_SAMPLED_OF_A_HOT_KEY = 1000


@dataclass(frozen=True)
class KeySpread:
    """Estimated rows of all keys and of each that may be hot, and the sample's counts of keys for ``keys``."""

    rows: int
    rows_by_key: dict[tuple[int, ...], int]
    sampled_keys: int
    sampled_once: int
    sampled_twice: int

    @property
    def keys(self) -> int:
        """An estimated lower bound of the number of distinct keys.

        Chao's lower bound, in its bias-corrected form (A. Chao, Scandinavian Journal of Statistics 11, 1984, 265-270).
        """
        once, twice = self.sampled_once, self.sampled_twice
        return self.sampled_keys + once * (once - 1) // (2 * (twice + 1))


def sample_rate(hot_key_rows: int) -> float:
    return min(1.0, _SAMPLED_OF_A_HOT_KEY / hot_key_rows)


def key_spread(rows: DataFrame, keys: Sequence[str], hot_key_rows: int) -> KeySpread:
    """Estimate the spread; runs one job over the key columns alone. ``keys`` are columns of longs.

    Counts the rows of keys that have at least half of ``hot_key_rows``: with another frame's rows they may be hot.
    """
    rate = sample_rate(hot_key_rows)
    sampled = rows.select(*keys)
    if rate < 1.0:
        sampled = sampled.sample(rate, seed=0)
    n = F.col("n")
    may_be_hot = F.collect_list(F.when(n >= rate * hot_key_rows / 2, F.struct(*keys, n)))
    row = (
        sampled.groupBy(*keys)
        .agg(F.count(F.lit(1)).alias("n"))
        .agg(F.sum(n), F.count(n), F.count_if(n == 1), F.count_if(n == 2), may_be_hot)
        .collect()[0]
    )
    total, distinct, once, twice, hot = row
    return KeySpread(
        rows=round((total or 0) / rate),
        rows_by_key={tuple(key)[:-1]: round(key["n"] / rate) for key in hot},
        sampled_keys=distinct,
        sampled_once=once,
        sampled_twice=twice,
    )
