"""Exact percentiles, to the last bit those of Spark's ``percentile``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def percentiles(values: NDArray[Any], shares: Sequence[float]) -> list[float] | None:
    """The values at these shares of the order, between two values in proportion; None if there are no values."""
    if not len(values):
        return None
    positions = [(len(values) - 1) * share for share in shares]
    needed = sorted({place for position in positions for place in (math.floor(position), math.ceil(position))})
    in_order = np.partition(values, needed)
    return [_between(in_order, position) for position in positions]


def _between(in_order: NDArray[Any], position: float) -> float:
    below, above = math.floor(position), math.ceil(position)
    low, high = in_order[below], in_order[above]
    if low == high:
        return float(low)
    return (above - position) * float(low) + (position - below) * float(high)
