"""Sampling by a hash of (seed, row): the same rows on every run, engine and partitioning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featurestore.columnar.training_sets.sampling import MOST_STRATA, check_strata, largest_remainders
from featurestore.frames.columns import column
from featurestore.frames.hash_order import hash_of, range_of
from featurestore.late_spark import Column, DataFrame, F, W

_STRATUM, _FIRST, _SECOND = "__stratum", "__hash_1", "__hash_2"
_RANGE, _PLACE, _MEASURE = "__range", "__place", "__measure"


def sample_rows(frame: DataFrame, size: int, seed: int, stratify_by: Sequence[str] = ()) -> DataFrame:
    """Exactly ``size`` rows (all if there are fewer); which ones depends on the seed and the rows' contents alone.

    ``stratify_by`` keeps the share of each combination of these columns' values, nulls included, to within one row: a
    stratum of n of N rows gets ``size * n / N`` rows, rounded down, and the remaining rows go one each to the largest
    remainders (Hamilton's method; ties to the larger stratum, then by its hash). Raises SpineError for more than 1,000
    strata. Runs one job over the frame, which counts rows, and with strata two; only the few rows in the range of a cut
    are sorted.
    """
    return sample_of(frame, size, seed, stratify_by).rows


@dataclass(frozen=True)
class Sample:
    """A sample: ``total``, the rows of the whole frame, and ``largest``, the greatest ``measure`` of one of them."""

    rows: DataFrame
    total: int
    largest: int


def sample_of(
    frame: DataFrame, size: int, seed: int, stratify_by: Sequence[str] = (), measure: Column | None = None
) -> Sample:
    """The same, with what is counted on the way; ``measure``: a whole number of each row."""
    strata = [part for name in stratify_by for part in (column(name).isNull(), column(name))]
    first = hash_of(frame.columns, seed)
    hashed = frame.select(
        *(column(name) for name in frame.columns),
        (F.xxhash64(*strata) if strata else F.lit(0).cast("bigint")).alias(_STRATUM),
        first.alias(_FIRST),
        # Rows that tie in both hashes are copies of one row, so either will do.
        hash_of(frame.columns, seed + 1).alias(_SECOND),
        range_of(first).alias(_RANGE),
        (F.lit(0) if measure is None else measure).alias(_MEASURE),
    )
    if strata:
        # Before ranges are counted, which of too many strata would be too many.
        check_strata(hashed.select(_STRATUM).distinct().limit(MOST_STRATA + 1).count(), stratify_by)
    counted = hashed.groupBy(_STRATUM, _RANGE)
    ranges = counted.agg(F.count(F.lit(1)).alias("count"), F.max(_MEASURE).alias(_MEASURE)).collect()
    counts: Counter[int] = Counter()
    for row in ranges:
        counts[row[_STRATUM]] += row["count"]
    quotas = largest_remainders(counts, size)
    if not quotas:
        return Sample(frame, 0, 0)
    cuts = _cuts(quotas, ranges)
    cut_range = _by_stratum({key: number for key, (number, _) in cuts.items()})
    rest = _by_stratum({key: count for key, (_, count) in cuts.items()})
    below_cut = hashed.where(F.col(_RANGE) < cut_range)
    around_cut = hashed.where(F.col(_RANGE) == cut_range).withColumn(
        _PLACE, F.row_number().over(W.partitionBy(_STRATUM).orderBy(_FIRST, _SECOND))
    )
    chosen = below_cut.unionByName(around_cut.where(F.col(_PLACE) <= rest).drop(_PLACE))
    largest = max(int(row[_MEASURE]) for row in ranges)
    return Sample(chosen.select(*(column(name) for name in frame.columns)), counts.total(), largest)


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
