"""Arrow columns as pandas columns: readable, never ragged, and never rounded.

docs/encodings.md says what each type becomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from featurestore.errors import InvalidArgumentError
from featurestore.late_pandas import pd

# Spark's whole numbers, and numpy's.
WHOLE: dict[str, Any] = {"tinyint": np.int8, "smallint": np.int16, "int": np.int32, "bigint": np.int64}
_VECTORS = {"array<float>": np.float32, "array<double>": np.float64}
_BEYOND_LONG = float(2**63)

Mask = npt.NDArray[np.bool_]


def pandas_column(values: pa.ChunkedArray, kind: str, width: int = 0) -> pd.Series[Any]:
    """A column of the Spark type ``kind``; a vector is an array of ``width`` numbers, padded with NaN."""
    if kind in _VECTORS:
        return vector_series(_matrix(values, width, _VECTORS[kind]), _nulls(values))
    if kind == "array<string>":
        return pd.Series([None if texts is None else tuple(texts) for texts in values.to_pylist()], dtype=object)
    if kind in WHOLE:
        return whole_series(values.fill_null(0).to_numpy(), _nulls(values))
    if kind == "boolean":
        return boolean_series(values.fill_null(False).to_numpy(), _nulls(values))
    series: pd.Series[Any] = values.to_pandas(timestamp_as_object=False)
    return series.dt.tz_convert("UTC") if isinstance(series.dtype, pd.DatetimeTZDtype) else series


def vector_columns(kinds: Mapping[str, str], widths: Mapping[str, int]) -> dict[str, list[str]]:
    """The columns of each vector among the features, one column per number; ``kinds``: feature -> Spark type.

    ``x_0``, ``x_1``, ..., and ``x__length`` for an ``array<double>``, since lengths differ. Raises InvalidArgumentError
    if a column would have the name of another feature or its column.
    """
    spread: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        if kind in _VECTORS:
            length = [f"{name}__length"] if kind == "array<double>" else []
            spread[name] = [*(f"{name}_{index}" for index in range(widths[name])), *length]
    owners = {name: name for name in kinds if name not in spread}
    for name, columns in spread.items():
        for column in columns:
            if owners.setdefault(column, name) != name:
                raise InvalidArgumentError(
                    f"features {owners[column]!r} and {name!r} would both have a column {column!r}; give one a prefix "
                    "(Lookup(..., prefix=...)) when the set is built"
                )
    return spread


def spread_out(values: pd.Series[Any], kind: str, columns: Sequence[str]) -> dict[str, pd.Series[Any]]:
    """A vector's numbers, each in its column; NaN for a missing vector and after the end of a shorter one."""
    width = len(columns) - (kind == "array<double>")
    present = values.notna().to_numpy()
    matrix = np.full((len(values), width), np.nan, dtype=_VECTORS[kind])
    if present.any():
        matrix[present] = np.stack(list(values[present]))
    parts = {columns[index]: pd.Series(matrix[:, index]) for index in range(width)}
    if len(columns) > width:
        parts[columns[-1]] = whole_series((~np.isnan(matrix)).sum(axis=1), ~present)
    return parts


def whole_series(values: npt.NDArray[Any], missing: Mask) -> pd.Series[Any]:
    """Whole numbers; if some are missing, float64 with NaN, or Int64 if float64 cannot hold all of them exactly."""
    if not missing.any():
        return pd.Series(values)
    if exact_as_float(values[~missing]).all():
        floats = values.astype(np.float64)
        floats[missing] = np.nan
        return pd.Series(floats)
    return pd.Series(pd.arrays.IntegerArray(values.astype(np.int64), missing.copy()))


def boolean_series(values: npt.NDArray[Any], missing: Mask) -> pd.Series[Any]:
    """Booleans; if some are missing, pandas' nullable booleans."""
    if not missing.any():
        return pd.Series(values.astype(bool))
    return pd.Series(pd.arrays.BooleanArray(values.astype(bool), missing.copy()))


def vector_series(matrix: npt.NDArray[Any], missing: Mask) -> pd.Series[Any]:
    """Each row of the matrix as one cell; None for a missing one."""
    cells = np.empty(len(matrix), dtype=object)
    for index in np.flatnonzero(~missing):
        cells[index] = matrix[index]
    return pd.Series(cells)


def matrix_of(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """The cells of vectors as one matrix; NaN in the rows of missing vectors."""
    present = values.notna().to_numpy()
    if not present.any():
        return np.full((len(values), 0), np.nan)
    stacked = np.stack(list(values[present])).astype(np.float64)
    matrix = np.full((len(values), stacked.shape[1]), np.nan)
    matrix[present] = stacked
    return matrix


def exact_as_float(whole: npt.NDArray[Any]) -> Mask:
    """Which whole numbers a float64 holds exactly: all up to 2^53, and some beyond."""
    floats = whole.astype(np.float64)
    inside = floats < _BEYOND_LONG
    back = np.where(inside, floats, 0).astype(np.int64)
    exact: Mask = inside & (back == whole)
    return exact


def _nulls(values: pa.ChunkedArray) -> Mask:
    nulls: Mask = values.is_null().to_numpy().astype(bool)
    return nulls


def _matrix(values: pa.ChunkedArray, width: int, number: Any) -> npt.NDArray[Any]:
    """One row per vector; read in chunks, because one Arrow array may not hold all numbers of the column."""
    matrix = np.full((len(values), width), np.nan, dtype=number)
    start = 0
    for chunk in values.chunks:
        lengths = chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        numbers = chunk.flatten().to_numpy(zero_copy_only=False)
        rows = np.repeat(np.arange(len(chunk)), lengths)
        places = np.arange(len(numbers)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        matrix[start + rows, places] = numbers
        start += len(chunk)
    return matrix
