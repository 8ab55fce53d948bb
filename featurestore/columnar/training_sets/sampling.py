"""Sampling by a hash of (seed, row), without Spark: the same rows as in ``frames/training_sets/sampling.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.rows.fingerprint import row_hashes, xxhash64
from featurestore.errors import SpineError

# More strata than these are not classes but identities, and their counts are no longer a small table.
MOST_STRATA = 1_000


def sample_rows(rows: pa.Table, size: int, seed: int, stratify_by: Sequence[str] = ()) -> pa.Table:
    """Exactly ``size`` rows (all if there are fewer); which ones depends on the seed and the rows' contents alone.

    ``stratify_by`` keeps the share of each combination of these columns' values, nulls included, to within one row.
    Raises SpineError for more than 1,000 strata.
    """
    strata = _strata(rows, stratify_by)
    keys, numbers, counts = np.unique(strata, return_inverse=True, return_counts=True)
    check_strata(len(keys), stratify_by)
    quotas = largest_remainders(dict(zip(keys.tolist(), counts.tolist(), strict=True)), size)
    # Rows that tie in both hashes are copies of one row, so either will do.
    first, second = row_hashes(rows.columns, seed), row_hashes(rows.columns, seed + 1)
    order = np.lexsort((second, first, numbers))
    starts = np.cumsum(counts) - counts
    chosen = np.zeros(rows.num_rows, bool)
    for key, start in zip(keys.tolist(), starts.tolist(), strict=True):
        chosen[order[start : start + quotas[key]]] = True
    return rows.filter(pa.array(chosen))


def _strata(rows: pa.Table, stratify_by: Sequence[str]) -> NDArray[np.int64]:
    if not stratify_by:
        return np.zeros(rows.num_rows, np.int64)
    return xxhash64([part for name in stratify_by for part in _with_nulls(rows.column(name))])


def _with_nulls(column: Any) -> tuple[Any, Any]:
    return column.is_null(), column


def check_strata(found: int, stratify_by: Sequence[str]) -> None:
    """Raise SpineError if there are more strata than a small table holds."""
    if found > MOST_STRATA:
        raise SpineError(
            f"stratify_by {list(stratify_by)} gives more than {MOST_STRATA} strata; name columns of fewer values"
        )


def largest_remainders(counts: Mapping[Any, int], size: int) -> dict[Any, int]:
    """The quota of each key, each within one of its exact share; they sum to ``size``, or to all if there are fewer.

    Hamilton's method: each key gets its exact share rounded down, and the remaining rows go one each to the largest
    remainders (ties to the larger key, then by the key itself).
    """
    total = sum(counts.values())
    if not total:
        return {}
    size = min(size, total)
    quotas = {key: size * count // total for key, count in counts.items()}
    unassigned = size - sum(quotas.values())
    by_remainder = sorted(counts, key=lambda key: (-(size * counts[key] % total), -counts[key], key))
    return quotas | {key: quotas[key] + 1 for key in by_remainder[:unassigned]}
