"""Functions of derived features, in a module, as a user has them."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


def halves(price: pa.Array) -> pa.Array:
    return pc.divide(price, 2.0)


def unlucky(price: pd.Series[float]) -> pd.Series[float]:
    if (price == 13).any():
        raise ValueError("13")
    return price


def tenths(visits: pd.Series[int]) -> pd.Series[float]:
    return visits / 10
