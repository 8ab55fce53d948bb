"""Python values (lists of dicts, pandas object columns) -> typed Arrow columns, a reason for each value that cannot be.

Spark would guess one type for a whole column and fail at the first value that has another; here each value is read on
its own, so that one bad row never stops its neighbours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.time_window import to_instant
from featurestore.errors import SchemaError, nearest
from featurestore.frames.conform import FAULTS, ROW, check_column_names, targets

_INSTANT = pa.timestamp("us", tz="UTC")
_ARROW = {
    "double": pa.float64(),
    "float": pa.float32(),
    "long": pa.int64(),
    "int": pa.int32(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "json": pa.string(),
    "timestamp": _INSTANT,
    "date": pa.date32(),
    "array<double>": pa.list_(pa.float64()),
    "array<string>": pa.list_(pa.string()),
}


# Spark has no unsigned integers and no half floats; pyarrow's cast raises for a value that does not fit.
_SIGNED = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
}


class UnreadableError(ValueError):
    """A value that has no lossless form in the type asked for."""


def arrow_from_dicts(rows: Sequence[Any], group: FeatureGroup, zone: str | None) -> pa.Table:
    """One row a mapping: the columns of the group that any mapping names, ``__faults`` and ``__row``.

    An unknown key, a missing join key or a value of the wrong type is a reason on that row alone.
    """
    words = targets(group) | {"tenant_id": "string"}
    faults: list[list[str]] = [[] for _ in rows]
    read: list[Mapping[str, Any]] = []
    for row, reasons in zip(rows, faults, strict=True):
        if not isinstance(row, Mapping):
            reasons.append(f"not a mapping of column names to values but {type(row).__name__}")
            read.append({})
            continue
        unknown = [name for name in row if name not in words]
        reasons.extend(f"{name}: not a column of the group. {nearest(str(name), words)}" for name in unknown)
        read.append(row)
    named = [name for name in words if any(name in row for row in read)]
    needed = [*group.join_keys, "event_timestamp"]
    columns = {}
    for name in dict.fromkeys((*needed, *named)):
        values = [row.get(name) for row in read]
        columns[name] = read_values(values, name, words[name], zone, faults)
    if not any(name in columns for name in group.feature_names):
        columns[group.feature_names[0]] = pa.nulls(len(read), arrow_type(words[group.feature_names[0]]))
    return _with_faults(columns, faults, read)


def arrow_from_pandas(frame: pd.DataFrame, group: FeatureGroup, zone: str | None) -> pa.Table:
    """The frame's columns as Arrow; object columns are read value by value, NaN and NaT are null (pandas' missing).

    The index is left out. Raises SchemaError for columns that can never fit.
    """
    names = [str(name) for name in frame.columns]
    check_column_names(names, group)
    words = targets(group) | {"tenant_id": "string"}
    faults: list[list[str]] = [[] for _ in range(len(frame))]
    columns: dict[str, pa.Array] = {}
    for position, name in enumerate(names):
        series = frame.iloc[:, position]
        if series.dtype == object:
            values = [None if _is_missing(value) else value for value in series]
            columns[name] = read_values(values, name, words[name], zone, faults)
        else:
            columns[name] = plain_array(pa.Array.from_pandas(series), up=name == "event_timestamp")
    return _with_faults(columns, faults, None if not any(faults) else frame.to_dict("records"))


def plain_table(table: pa.Table, up: Iterable[str] = ()) -> pa.Table:
    """An Arrow table in the types that Spark reads: dictionaries decoded, timestamps in microseconds.

    Finer timestamps are cut to the microsecond before; those of the columns ``up`` go to the one after, so that a
    value is never given an earlier moment than it had.
    """
    doubled = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if doubled:
        raise SchemaError(f"columns {doubled} come twice; rename or drop one of each")
    raised = set(up)
    arrays = [plain_array(table.column(name).combine_chunks(), name in raised) for name in table.column_names]
    return pa.table(dict(zip(table.column_names, arrays, strict=True)))


def plain_array(array: Any, up: bool = False) -> Any:
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_timestamp(array.type) and array.type.unit != "us":
        return _to_micros(array, up)
    return array.cast(_SIGNED[array.type]) if array.type in _SIGNED else array


def _to_micros(array: Any, up: bool) -> Any:
    target = pa.timestamp("us", tz=array.type.tz)
    if array.type.unit != "ns":
        return array.cast(target)
    nanos = np.asarray(array.cast(pa.int64()).fill_null(0))
    micros = -(-nanos // 1000) if up else nanos // 1000
    return pa.array(micros, mask=np.asarray(array.is_null())).cast(target)


def read_values(values: Sequence[Any], name: str, word: str, zone: str | None, faults: list[list[str]]) -> pa.Array:
    """Read each value as the type ``word``; what cannot be read becomes null, with a reason in its row's faults."""
    reader = _reader(word, zone)
    read = []
    for value, reasons in zip(values, faults, strict=True):
        try:
            read.append(None if value is None else reader(value))
        except UnreadableError as error:
            reasons.append(f"{name}: {error}")
            read.append(None)
    return pa.array(read, type=arrow_type(word))


def arrow_type(word: str) -> pa.DataType:
    return pa.list_(pa.float32()) if word.startswith("embedding") else _ARROW[word]


def _reader(word: str, zone: str | None) -> Callable[[Any], Any]:
    if word == "timestamp":
        return lambda value: _timestamp(value, zone)
    if word in ("array<double>",) or word.startswith("embedding"):
        return lambda value: [None if item is None else _double(item) for item in _items(value, word)]
    if word == "array<string>":
        return lambda value: [None if item is None else _string(item) for item in _items(value, word)]
    return {
        "double": _double,
        "float": _float,
        "long": lambda value: _whole(value, 64),
        "int": lambda value: _whole(value, 32),
        "boolean": _boolean,
        "string": _string,
        "json": _json,
        "date": _date,
    }[word]


def _wrong(value: Any, word: str) -> UnreadableError:
    return UnreadableError(f"expected {word}, found {type(value).__name__}")


def _double(value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | Decimal | np.integer | np.floating):
        raise _wrong(value, "double")
    try:
        number = float(value)
    except OverflowError as error:
        raise UnreadableError("beyond the range of a double") from error
    if isinstance(value, int | np.integer) and int(number) != int(value):
        raise UnreadableError("an integer that a double cannot hold exactly")
    return number


def _float(value: Any) -> float:
    number = _double(value)
    if math.isfinite(number) and not np.isfinite(np.float32(number)):
        raise UnreadableError("beyond the range of a float")
    return number


def _whole(value: Any, bits: int) -> int:
    word = "long" if bits == 64 else "int"
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | Decimal | np.integer | np.floating):
        raise _wrong(value, word)
    if not isinstance(value, int | np.integer) and (not math.isfinite(value) or value != int(value)):
        raise UnreadableError(f"not a whole number, for {word}")
    whole = int(value)
    if not -(2 ** (bits - 1)) <= whole < 2 ** (bits - 1):
        raise UnreadableError(f"beyond the range of {word}")
    return whole


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise _wrong(value, "boolean")
    return bool(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(value, "string")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnreadableError("not valid Unicode text") from error
    return value


def _json(value: Any) -> str:
    if isinstance(value, str):
        try:
            json.loads(value)
        except json.JSONDecodeError as error:
            raise UnreadableError("not readable as json") from error
        return _string(value)
    if isinstance(value, dict | list):
        try:
            return json.dumps(value, allow_nan=False)
        except TypeError as error:
            raise UnreadableError(f"cannot be written as JSON ({error})") from error
    raise _wrong(value, "json")


def _date(value: Any) -> date:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise UnreadableError("not readable as date") from error
    if isinstance(value, datetime) or not isinstance(value, date):
        raise _wrong(value, "date")
    return value


def _timestamp(value: Any, zone: str | None) -> datetime:
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, pd.Timestamp):
        value = value.ceil("us").to_pydatetime()
    if isinstance(value, int | float) or not isinstance(value, str | date):
        raise _wrong(value, "timestamp")
    # The message of to_instant names the value; a reason must stay the same for a thousand of them.
    try:
        return to_instant(value, zone).astimezone(UTC)
    except ValueError as error:
        raise UnreadableError(_why_not_an_instant(value, str(error))) from error


def _why_not_an_instant(value: Any, message: str) -> str:
    if "no time zone" in message:
        return "timestamp without a time zone"
    if "without a time" in message:
        return "a date without a time"
    return "not a readable timestamp" if isinstance(value, str) else "timestamp outside the years 1 to 9999"


def _items(value: Any, word: str) -> list[Any]:
    if isinstance(value, np.ndarray):
        return list(value.tolist()) if value.ndim == 1 else [None]
    if isinstance(value, list | tuple):
        return list(value)
    raise _wrong(value, word)


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _with_faults(columns: dict[str, Any], faults: list[list[str]], originals: Sequence[Any] | None) -> pa.Table:
    rows = [
        json.dumps(originals[index], default=str, ensure_ascii=False) if reasons and originals is not None else None
        for index, reasons in enumerate(faults)
    ]
    return pa.table(columns | {FAULTS: pa.array(faults, pa.list_(pa.string())), ROW: pa.array(rows, pa.string())})
