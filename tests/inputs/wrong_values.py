"""What parameters do not take, and what a call with it comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featurestore.errors import FeatureStoreError

_WRONG: list[Any] = [
    None, "", "x", "../x", "x" * 5_000, "größe", "a\0b", "\ud800", b"x", "x:y:z",
    0, -1, 1.5, 2**31, 2**70, 10**400, float("nan"), float("inf"), True, 1j, Decimal("NaN"),
    np.int64(3), np.float16(1.5), np.array([1.0, float("nan")]), np.array([["x"]]), np.datetime64("NaT"),
    pd.NA, pd.NaT, pd.Timedelta(1, "ns"), pd.Series([1.0]), pd.DataFrame({"x": [None]}), pd.Timestamp("1700-01-01"),
    [], [None], [[]], ["x", "x"], [{}], {}, {"x": None}, {1: [2]}, (1, 2), {"user_id": {"nested": 1}}, ("2026", None),
    timedelta.max, timedelta(-1), date.max, datetime.max,  # noqa: DTZ901
    object(), len, Path("a\0b"), ..., Ellipsis.__class__,
]  # fmt: skip


def wrong_values() -> Iterator[Any]:
    yield from _WRONG
    yield (item for item in ["x"])


def fault_of(call: Callable[[], Any]) -> str | None:
    """What went wrong; None for an answer, or an error of this package that says something."""
    try:
        call()
    except FeatureStoreError as error:
        return None if len(str(error)) > 15 else f"says nothing: {error!r}"
    except Exception as error:
        return f"{type(error).__module__}.{type(error).__name__}: {str(error)[:150]}"
    return None
