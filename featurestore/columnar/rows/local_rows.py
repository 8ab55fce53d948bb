"""Rows in this process's memory (lists of dicts, pandas, Arrow) -> Arrow columns that Spark can read, with reasons.

Spark would infer one type for a whole column and fail at the first value of another. This module reads Python values
one by one, so that a bad row never stops the others. Typed columns keep their type, and Spark reads their values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.columnar.arrow_types import plain_array
from featurestore.columnar.python_numbers import in_native_order
from featurestore.columnar.rows.batch_columns import check_column_names, moments_of, targets, type_error
from featurestore.columnar.rows.faults import Fault, arrow_faults
from featurestore.columnar.rows.names import FAULTS, ROW
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import nearest
from featurestore.kinds.json_text.arrow_json import json_of
from featurestore.kinds.json_text.json_values import printable, row_text
from featurestore.kinds.kind import STRICT, Moments, is_missing
from featurestore.kinds.python_numbers import is_not_a_number
from featurestore.kinds.reasons import UnreadableError, unforeseen
from featurestore.kinds.registry import kind_of
from featurestore.late_pandas import pd


def arrow_from_dicts(rows: Sequence[Any], group: FeatureGroup, zone: str | None) -> pa.Table:
    """One row per mapping: the columns of the group that any mapping names, ``__faults`` and ``__row``.

    An unknown key, a missing join key or a value of the wrong type becomes a reason on that row alone.
    """
    words = targets(group) | {"tenant_id": "string"}
    faults: list[list[Fault]] = [[] for _ in rows]
    read = [_as_dict(row, words, of_row) for row, of_row in zip(rows, faults, strict=True)]
    named = [name for name in words if any(name in row for row in read)]
    needed = [*group.join_keys, "event_timestamp"]
    columns = {}
    for name in dict.fromkeys((*needed, *named)):
        values = [row.get(name) for row in read]
        columns[name] = read_values(values, name, words[name], faults, moments_of(name, zone))
    if not any(name in columns for name in group.feature_names):
        columns[group.feature_names[0]] = pa.nulls(len(read), kind_of(words[group.feature_names[0]]).arrow_type)
    return _with_faults(columns, faults, [row_text(rows[n]) if why else None for n, why in enumerate(faults)])


def _as_dict(row: Any, words: Mapping[str, str], faults: list[Fault]) -> dict[str, Any]:
    """The row's values by the columns in ``words``, with a reason for each other key.

    Empty, with a reason, if the row is not a mapping or cannot be read.
    """
    read: dict[str, Any] = {}
    unknown: list[str] = []
    try:
        if not isinstance(row, Mapping):
            faults.append(Fault(None, f"not a mapping of column names to values but {type(row).__name__}"))
            return {}
        for name, value in row.items():
            # A plain text: the caller may have written the methods of another class of text.
            text = str.__str__(name) if isinstance(name, str) else None
            if text is None or text not in words:
                unknown.append(printable(name))
            else:
                read[text] = value
    except Exception as error:  # The caller wrote the methods of the mapping and its keys.
        faults.append(Fault(None, f"not readable as a mapping ({type(error).__name__})"))
        return {}
    faults.extend(Fault(None, f"{name}: not a column of the group. {nearest(name, words)}") for name in unknown)
    return read


def arrow_from_pandas(frame: pd.DataFrame, group: FeatureGroup, zone: str | None, text: str | None = None) -> pa.Table:
    """The frame's columns as Arrow; columns of Python objects are read value by value, NaN and NaT are null.

    The index is left out. ``text``: a column of texts from which a feature is computed; the group may lack it. Raises
    SchemaError for columns that can never fit.
    """
    names = [str(name) for name in frame.columns]
    more = _beside(text, group)
    check_column_names([name for name in names if name not in more], group, needs_feature=text is None)
    words = targets(group) | {"tenant_id": "string"} | more
    faults: list[list[Fault]] = [[] for _ in range(len(frame))]
    columns: dict[str, pa.Array] = {}
    given = [frame.iloc[:, position] for position in range(len(names))]
    for name, series in zip(names, given, strict=True):
        is_text = _is_python_text(series.dtype) and kind_of(words[name]).is_read_from_text
        if is_text or _holds_objects(series.dtype):
            values = list(series)
            columns[name] = read_values(values, name, words[name], faults, moments_of(name, zone), _is_absent)
        else:
            columns[name] = _typed_column(series, name, words[name], group)
    by_name = dict(zip(names, given, strict=True))
    return _with_faults(columns, faults, [_row_of(by_name, n) if why else None for n, why in enumerate(faults)])


def _beside(text: str | None, group: FeatureGroup) -> dict[str, str]:
    """The type of the column of texts, if the group does not have this column."""
    return {} if text is None or text in targets(group) else {text: "string"}


def _is_python_text(kind: Any) -> bool:
    """Whether a column stores Python strings, which may contain text that Arrow cannot write."""
    kind = _type_of_values(kind)
    return isinstance(kind, pd.StringDtype) and kind.storage == "python"


def _holds_objects(kind: Any) -> bool:
    """Whether a column stores Python objects, which may be of different kinds."""
    kind = _type_of_values(kind)
    # Not every Arrow type has a class of values in pandas.
    return not isinstance(kind, pd.ArrowDtype) and bool(pd.api.types.is_object_dtype(kind))


def _type_of_values(kind: Any) -> Any:
    return kind.categories.dtype if isinstance(kind, pd.CategoricalDtype) else kind


def _typed_column(series: pd.Series[Any], name: str, word: str, group: FeatureGroup) -> pa.Array:
    kind = series.dtype
    if _is_python_text(kind):
        # Text was read before this, if the type can be read from text.
        raise type_error(name, "string", word, group)
    if isinstance(kind, pd.SparseDtype):
        series = pd.Series(series.array.to_dense())
    if isinstance(kind, pd.DatetimeTZDtype):
        series = series.dt.tz_convert("UTC")
    if isinstance(series.dtype, np.dtype):
        series = in_native_order(series)
    try:
        return plain_array(pa.Array.from_pandas(series), moments_of(name, None).finer)
    except pa.ArrowException as error:
        raise type_error(name, str(kind), word, group) from error


def _is_absent(value: Any) -> bool:
    """Whether pandas counts a value as missing."""
    return is_missing(value) or is_not_a_number(value)


def _row_of(columns: Mapping[str, pd.Series[Any]], position: int) -> str:
    """An original row as JSON, with null for missing values."""
    return row_text({name: _shown(column, position) for name, column in columns.items()})


def _shown(column: pd.Series[Any], position: int) -> Any:
    """A value for the text of its row; a time that Python cannot hold is text already."""
    try:
        value = column.iloc[position]
    except (OverflowError, ValueError):
        one = plain_array(pa.Array.from_pandas(column.iloc[position : position + 1]))
        return json_of(one)[0].as_py().strip('"')
    try:
        return None if _is_absent(value) else value
    except Exception:  # The caller wrote the object's methods.
        return value


def arrow_from_table(table: pa.Table, group: FeatureGroup, text: str | None = None) -> pa.Table:
    """An Arrow table's columns in types that Spark can read; raises SchemaError for columns that can never fit.

    ``text``: the same as in ``arrow_from_pandas``.
    """
    more = _beside(text, group)
    check_column_names([name for name in table.column_names if name not in more], group, needs_feature=text is None)
    words = targets(group) | {"tenant_id": "string"} | more
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        try:
            columns[name] = plain_array(column, moments_of(name, None).finer)
        except pa.ArrowException as error:
            raise type_error(name, str(column.type), words[name], group) from error
    return pa.table(columns)


def read_values(
    values: Sequence[Any],
    name: str,
    word: str,
    faults: list[list[Fault]],
    moments: Moments = STRICT,
    is_absent: Callable[[Any], bool] = is_missing,
) -> pa.Array:
    """Read each value as the type ``word``; one that cannot be read becomes null, and its row gets a reason."""
    kind = kind_of(word)
    read = []
    for value, of_row in zip(values, faults, strict=True):
        try:
            read.append(None if is_absent(value) else kind.read_python(value, moments))
        except UnreadableError as error:
            of_row.append(Fault(name, str(error)))
            read.append(None)
        except Exception as error:  # The value is the caller's object, and any of its methods may raise.
            of_row.append(Fault(name, unforeseen(word, error)))
            read.append(None)
    return pa.array(read, type=kind.arrow_type)


def _with_faults(columns: dict[str, Any], faults: list[list[Fault]], rows: list[str | None]) -> pa.Table:
    return pa.table(columns | {FAULTS: arrow_faults(faults), ROW: pa.array(rows, pa.string())})
