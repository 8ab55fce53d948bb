"""Python's numbers -> Arrow columns that hold each number exactly."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.columnar.arrow_columns import WIDEST
from featurestore.columnar.unheld import UnheldError

_OF_64_BITS = 20  # digits


def floats(values: Sequence[Any]) -> pa.Array:
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def integers(values: Sequence[Any]) -> pa.Array:
    """Longs, or decimals of 20 or 38 digits if a value is beyond a long."""
    whole = [None if value is None else int(value) for value in values]
    present = [value for value in whole if value is not None]
    if min(present) >= -(2**63) and max(present) < 2**63:
        return pa.array(whole, pa.int64())
    # Compare before printing: Python refuses to print thousands of digits.
    greatest = max(abs(min(present)), abs(max(present)))
    if greatest >= 10**WIDEST:
        raise UnheldError(f"holds integers of more than {WIDEST} digits, the most that a column holds")
    digits = len(str(greatest))
    kind = pa.decimal128(_OF_64_BITS if digits <= _OF_64_BITS else WIDEST, 0)
    return pa.array([None if value is None else Decimal(value) for value in whole], kind)


def integers_beside_floats(values: Sequence[Any], rows: Sequence[int]) -> pa.Array:
    """Doubles; raises UnheldError for an integer that a double cannot hold exactly."""
    read = []
    for position, value in enumerate(values):
        number = None if value is None else _as_float(value)
        if number is None and value is not None:
            raise UnheldError(f"holds float beside an int (row {rows[position]}) that a double cannot hold exactly")
        read.append(number)
    return pa.array(read, pa.float64())


def _as_float(value: Any) -> float | None:
    """The number as a float; None for an integer that a float cannot hold."""
    if not isinstance(value, int | np.integer):
        return float(value)
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if int(number) == int(value) else None


def decimals(values: Sequence[Any], rows: Sequence[int]) -> pa.Array:
    """Decimals and integers as decimals, with as many digits after the point as the longest fraction."""
    read = [None if value is None else value if isinstance(value, Decimal) else Decimal(int(value)) for value in values]
    whole, fraction = 0, 0
    for position, value in enumerate(read):
        if value is None:
            continue
        if not value.is_finite():
            raise UnheldError(f"holds {value} (row {rows[position]}), which no decimal column holds")
        fraction = max(fraction, -int(value.as_tuple().exponent))
        whole = max(whole, value.adjusted() + 1 if value else 0)
    if whole + fraction > WIDEST:
        raise UnheldError(
            f"holds decimals of {whole} digits before the point and {fraction} after it, and a column holds {WIDEST} "
            "in all"
        )
    step, exact = Decimal(1).scaleb(-fraction), Context(prec=WIDEST)
    scaled = [None if value is None else value.quantize(step, context=exact) for value in read]
    return pa.array(scaled, pa.decimal128(max(whole + fraction, 1), fraction))


def numpy_numbers(lists: Sequence[Any]) -> pa.Array | None:
    """The items of NumPy arrays of one numeric type, without a Python object for each; None for any other lists."""
    if not all(isinstance(items, np.ndarray) and items.ndim == 1 for items in lists):
        return None
    kinds = {items.dtype for items in lists}
    if len(kinds) != 1 or not is_plain_number(next(iter(kinds))):
        return None
    return pa.array(in_native_order(np.concatenate(lists)))


def is_plain_number(kind: np.dtype[Any]) -> bool:
    """Whether the type is a number or a boolean of at most 64 bits."""
    return kind.kind in "biuf" and kind.itemsize <= 8


def in_native_order(values: Any) -> Any:
    """NumPy or pandas numbers in this machine's byte order, which Arrow requires."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)
