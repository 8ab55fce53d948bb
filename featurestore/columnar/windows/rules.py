"""The rules of one windowed feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

Function = Literal[
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "stddev",
    "first",
    "last",
    "last_n",
    "count_distinct",
    "approx_percentile",
]
KnownAt = int | Literal["event"] | None


@dataclass(frozen=True, kw_only=True)
class WindowRules:
    """One feature: ``function`` of the events in the window that ends at a spine row's time.

    - ``of``: the events' column; None counts rows, and only ``count`` can have it;
    - ``window``: its length in microseconds; None has no lower end;
    - ``where``: a boolean column among those of the events; only rows with true count. None keeps all rows;
    - ``n``: how many values ``last_n`` takes; ``p``: the share of ``approx_percentile``, from 0 to 1;
    - ``type``: of the output, for ``last_n`` a list.
    """

    name: str
    function: Function
    of: str | None
    window: int | None
    where: str | None = None
    n: int | None = None
    p: float | None = None
    type: pa.DataType
