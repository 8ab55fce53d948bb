"""Sampling by a hash of (seed, row): the same rows on every run, engine and partitioning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from featurestore.columnar.training_sets.sampling import MOST_STRATA, check_strata, largest_remainders
from featurestore.frames.columns import column
from featurestore.frames.hash_order import hash_of, range_of
from featurestore.late_spark import Column, DataFrame, F, W

_STRATUM, _FIRST, _SECOND, _RANGE, _PLACE = "__stratum", "__hash_1", "__hash_2", "__range", "__place"


def sample_rows(frame: DataFrame, size: int, seed: int, stratify_by: Sequence[str] = ()) -> DataFrame:
    """Exactly ``size`` rows (all if there are fewer); which ones depends on the seed and the rows' contents alone.

    ``stratify_by`` keeps the share of each combination of these columns' values, nulls included, to within one row: a
    stratum of n of N rows gets ``size * n / N`` rows, rounded down, and the remaining rows go one each to the largest
    remainders (Hamilton's method; ties to the larger stratum, then by its hash). Raises SpineError for more than 1,000
    strata. Runs two jobs over the frame, which count rows; only the few rows in the range of a cut are sorted.
    """
    strata = [part for name in stratify_by for part in (column(name).isNull(), column(name))]
    first = hash_of(frame.columns, seed)
    hashed = frame.select(
        *(column(name) for name in frame.columns),
        (F.xxhash64(*strata) if strata else F.lit(0).cast("bigint")).alias(_STRATUM),
        first.alias(_FIRST),
        # Rows that tie in both hashes are copies of one row, so either will do.
        hash_of(frame.columns, seed + 1).alias(_SECOND),
        range_of(first).alias(_RANGE),
    )
    counted = hashed.groupBy(_STRATUM).count().limit(MOST_STRATA + 1).collect()
    check_strata(len(counted), stratify_by)
    quotas = largest_remainders({row[_STRATUM]: row["count"] for row in counted}, size)
    if not quotas:
        return frame
    cuts = _cuts(quotas, hashed.groupBy(_STRATUM, _RANGE).count().collect())
    cut_range = _by_stratum({key: number for key, (number, _) in cuts.items()})
    rest = _by_stratum({key: count for key, (_, count) in cuts.items()})
    below_cut = hashed.where(F.col(_RANGE) < cut_range)
    around_cut = hashed.where(F.col(_RANGE) == cut_range).withColumn(
        _PLACE, F.row_number().over(W.partitionBy(_STRATUM).orderBy(_FIRST, _SECOND))
    )
    chosen = below_cut.unionByName(around_cut.where(F.col(_PLACE) <= rest).drop(_PLACE))
    return chosen.select(*(column(name) for name in frame.columns))


def _cuts(quotas: Mapping[int, int], ranges: Iterable[Any]) -> dict[int, tuple[int, int]]:
    """Stratum -> the range that contains its last row, and how many rows of that range it takes."""
    sizes: dict[int, list[tuple[int, int]]] = {}
    for row in ranges:
        sizes.setdefault(row[_STRATUM], []).append((row[_RANGE], row["count"]))
    return {key: _cut(sorted(sizes[key]), quota) for key, quota in quotas.items()}


def _cut(sizes: Sequence[tuple[int, int]], quota: int) -> tuple[int, int]:
    for number, size in sizes:
        if quota <= size:
            return number, quota
        quota -= size
    raise AssertionError("a quota is not beyond its stratum")


def _by_stratum(values: Mapping[int, int]) -> Column:
    table = F.map_from_arrays(
        F.array(*(F.lit(key).cast("bigint") for key in values)), F.array(*(F.lit(value) for value in values.values()))
    )
    return F.try_element_at(table, F.col(_STRATUM))
