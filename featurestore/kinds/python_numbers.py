"""Which Python objects are numbers."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np


def is_number(value: Any) -> bool:
    # NumPy counts a duration as an integer, and Python a boolean.
    return isinstance(value, int | float | Decimal | np.integer | np.floating) and not isinstance(
        value, bool | np.timedelta64
    )


def is_finite(number: Any) -> bool:
    return number.is_finite() if isinstance(number, Decimal) else isinstance(number, int) or bool(np.isfinite(number))


def is_not_a_number(value: Any) -> bool:
    """Whether a value is NaN, the only missing value that pandas has in a column of floats or decimals."""
    if isinstance(value, Decimal):
        return value.is_qnan()
    return isinstance(value, float | np.floating) and math.isnan(value)
