"""A user's pandas DataFrame or Arrow Table -> an Arrow table that Spark can read, with every value unchanged.

Every frame that is not a batch comes in this way: spines and entities.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.columnar.arrow_columns import exact_column
from featurestore.columnar.names import check_names
from featurestore.columnar.python_numbers import in_native_order, is_plain_number
from featurestore.columnar.python_values import instants, python_column
from featurestore.columnar.unheld import UnheldError
from featurestore.errors import SpineError
from featurestore.late_pandas import pd


@dataclass(frozen=True)
class MomentColumn:
    """The column of timestamps, and the zone of those that have none (None refuses them)."""

    name: str
    zone: str | None = None


def exact_table(
    frame: pd.DataFrame | pa.Table,
    what: str,
    moments: MomentColumn | None = None,
    may_be_untyped: Collection[str] = (),
) -> pa.Table:
    """The frame's columns in types that Spark can read, values unchanged; ``what`` names the frame in errors.

    - ``moments`` are rounded down to the microsecond, so that none becomes later; all other columns are exact.
    - A column of only nulls becomes text, except for ``moments`` and the columns in ``may_be_untyped``.
    - A pandas index without a name is left out.

    Raises SpineError with the column, what it holds, and what to do.
    """
    names = _pandas_names(frame, what) if isinstance(frame, pd.DataFrame) else check_names(frame.column_names, what)
    untyped = {*may_be_untyped, *([] if moments is None else [moments.name])}
    columns = []
    for position, name in enumerate(names):
        of_moments = moments if moments is not None and moments.name == name else None
        try:
            array = _read(frame, position, of_moments)
        except UnheldError as error:
            raise SpineError(f"{what}: column {name!r} {error.fault}; {error.advice}") from error
        is_untyped = pa.types.is_null(array.type) and name not in untyped
        columns.append(array.cast(pa.string()) if is_untyped else array)
    return pa.table(columns, names=names)


def _pandas_names(frame: pd.DataFrame, what: str) -> list[str]:
    if frame.columns.nlevels > 1:
        raise SpineError(f"{what}: its columns have {frame.columns.nlevels} levels; give each column one name")
    named = [name for name in frame.index.names if name is not None]
    if named:
        raise SpineError(
            f"{what}: its index is named {named}, and an index is left out; make it columns with reset_index(), or "
            "leave it out with reset_index(drop=True)"
        )
    return check_names(list(frame.columns), what)


def _read(frame: pd.DataFrame | pa.Table, position: int, moments: MomentColumn | None) -> Any:
    if isinstance(frame, pa.Table):
        return exact_column(frame.column(position), down=moments is not None)
    return series_column(frame.iloc[:, position], moments)


def series_column(series: pd.Series[Any], moments: MomentColumn | None = None) -> pa.Array | pa.ChunkedArray:
    """A pandas column as an Arrow column; raises UnheldError."""
    kind = series.dtype
    if isinstance(kind, pd.CategoricalDtype):
        # Convert categories, not rows: Arrow has no dictionary whose categories are of several kinds.
        categories = series_column(pd.Series(series.cat.categories), moments)
        codes = series.cat.codes.to_numpy()
        return categories.take(pa.array(codes, mask=codes < 0))
    if isinstance(kind, pd.SparseDtype):
        return series_column(pd.Series(np.asarray(series)), moments)
    if isinstance(kind, pd.DatetimeTZDtype):
        # Convert to UTC: Arrow does not know every time zone that Python knows.
        series = series.dt.tz_convert("UTC")
    elif not _is_known_to_arrow(series):
        values = list(series)
        return python_column(values) if moments is None else instants(values, moments.zone)
    return exact_column(_as_arrow(series), down=moments is not None)


def _is_known_to_arrow(series: pd.Series[Any]) -> bool:
    """Whether Arrow can read the column: it holds neither Python objects nor a type that only pandas has."""
    kind = series.dtype
    if isinstance(kind, np.dtype):
        return kind.kind in "mM" or is_plain_number(kind)
    if isinstance(kind, pd.StringDtype):
        return kind.storage != "python"
    return isinstance(kind, pd.ArrowDtype | pd.BooleanDtype) or str(kind) in _MASKED


def _as_arrow(series: pd.Series[Any]) -> Any:
    if isinstance(series.dtype, np.dtype):
        series = in_native_order(series)
    return pa.Array.from_pandas(series)


_MASKED = {f"{sign}{bits}" for sign in ("Int", "UInt") for bits in (8, 16, 32, 64)} | {"Float32", "Float64"}
