"""The rows of a computation that are not stored yet, or with other values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from featurestore.columnar.ranks import tuple_ranks
from featurestore.columnar.values.latest_order import content_ranks


def changed_rows(rows: pa.Table, stored: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The ``rows`` that differ from every stored row in at least one of the columns; null equals null."""
    both = pa.concat_tables([rows.select(columns), stored.select(columns).cast(rows.select(columns).schema)])
    numbers = tuple_ranks([pa.array(content_ranks(both.column(name))) for name in columns])
    is_stored = np.isin(numbers[: rows.num_rows], numbers[rows.num_rows :])
    return rows.filter(pa.array(~is_stored))
