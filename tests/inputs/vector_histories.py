"""Histories of embeddings, with all that makes it hard to tell which vector of an entity counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

DIMS = 6
Row = dict[str, Any]


def written_rows(seed: int, start: datetime, more: Callable[[Random], Row] = lambda random: {}) -> list[Row]:
    """Three dozen entities over twelve days: corrections, missing values, two models, zeros, and vectors that tie.

    ``more`` draws further columns of each row.
    """
    random = Random(seed)
    few = [[random.choice([-1.0, 0.0, 1.0, 2.0]) for _ in range(DIMS)] for _ in range(6)]
    rows: list[Row] = []
    for source in "ab":
        for number in range(18):
            for _ in range(random.randrange(1, 7)):
                at = start + timedelta(hours=random.randrange(12 * 24))
                vector = random.choice([None, [random.uniform(-1, 1) for _ in range(DIMS)], random.choice(few)])
                rows.append(
                    {
                        "source": source,
                        "number": number,
                        "event_timestamp": random.choice([at, start + timedelta(days=10)]),
                        "created_timestamp": at
                        + timedelta(days=1, microseconds=random.randrange(10**9) * 64 + len(rows)),
                        "text": None if vector is None else np.float32(vector).tolist(),
                        "text__model_version": random.choice(["small", "small", "large"]),
                        "country": random.choice([None, "US", "NL", "FI"]),
                        "pages": random.choice([None, 1, 5, 9]),
                        "rating": random.choice([None, np.float32(0.1).item(), 0.5]),
                        "seen": random.choice([None, at]),
                        **more(random),
                    }
                )
    return rows


def as_table(rows: Sequence[Row]) -> pa.Table:
    table = pa.Table.from_pylist(list(rows))
    return table.set_column(table.column_names.index("text"), "text", table["text"].cast(pa.list_(pa.float32())))
