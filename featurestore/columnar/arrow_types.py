"""Arrow types that Spark does not have -> types that it has, without loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.definitions.values.time_window import Finer

_NANOS = 1000
# One microsecond before the year 1 and one after the year 9999: readers report these as outside the years.
_EARLIEST, _LATEST = -62135596800000001, 253402300800000000
_A_MICROSECOND = {"s": 1_000_000, "ms": 1000}
_DIGITS = 38

# Types and the ones that hold all their values; for uint64 see ``_unsigned``.
_GREATER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
    pa.string_view(): pa.string(),
    pa.large_string(): pa.string(),
    pa.binary_view(): pa.binary(),
    pa.large_binary(): pa.binary(),
}
_LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType, pa.ListViewType, pa.LargeListViewType)
_KEPT = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_signed_integer,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_string,
    pa.types.is_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_date32,
    pa.types.is_duration,
)


def plain_array(array: Any, finer: Finer = "down") -> Any:
    """The array in a type that Spark can read. Timestamps finer than a microsecond are rounded ``up`` or ``down``.

    Raises pa.ArrowException (also its NotImplementedError) if the type or one of the values has no such form.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return plain_array(_storage(array), finer)
    if pa.types.is_dictionary(kind):
        return plain_array(array.dictionary_decode(), finer)
    if pa.types.is_run_end_encoded(kind):
        return plain_array(pc.run_end_decode(array), finer)
    if pa.types.is_timestamp(kind):
        return _micros(array, finer)
    if kind == pa.uint64():
        return _unsigned(array)
    if isinstance(kind, _LISTS):
        return _list(array)
    if pa.types.is_map(kind):
        return _map(array)
    if pa.types.is_struct(kind):
        return _struct(array)
    target = _plain_scalar(kind)
    return array if target == kind else array.cast(target)


# Arrow's own casts do not reach every nested type, and lose elements of some list views.
def _list(array: Any) -> Any:
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0), dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    large = offsets[-1] >= 2**31
    made, width = (pa.LargeListArray, pa.int64()) if large else (pa.ListArray, pa.int32())
    return made.from_arrays(pa.array(offsets, width), plain_array(array.flatten()), mask=array.is_null())


def _map(array: Any) -> Any:
    offsets = np.asarray(array.offsets)
    first, length = int(offsets[0]), int(offsets[-1] - offsets[0])
    keys, items = (plain_array(part.slice(first, length)) for part in (array.keys, array.items))
    return pa.MapArray.from_arrays(pa.array(offsets - first), keys, items, mask=array.is_null())


def _struct(array: Any) -> Any:
    names = [field.name for field in array.type]
    if len(set(names)) < len(names):
        raise pa.ArrowNotImplementedError(f"Spark has no struct with a field twice: {names}")
    parts = [plain_array(part) for part in array.flatten()]
    fields = [pa.field(field.name, part.type) for field, part in zip(array.type, parts, strict=True)]
    return pa.StructArray.from_arrays(parts, fields=fields, mask=array.is_null())


def _plain_scalar(kind: pa.DataType) -> pa.DataType:
    """The type in which Spark reads the same values; raises pa.ArrowNotImplementedError if there is none."""
    if kind in _GREATER:
        return _GREATER[kind]
    if any(is_kept(kind) for is_kept in _KEPT):
        return kind
    if pa.types.is_decimal(kind):
        return _decimal(kind)
    raise pa.ArrowNotImplementedError(f"Spark has no {kind}")


def _decimal(kind: pa.DataType) -> pa.DataType:
    """The decimal type for Spark, which has at most 38 digits and no negative scale."""
    digits = kind.precision - min(kind.scale, 0)
    return pa.decimal128(min(digits, _DIGITS), max(kind.scale, 0))


def _storage(array: Any) -> Any:
    """The storage of an extension array, for types that mean the same as their storage."""
    name = array.type.extension_name
    if name == "arrow.bool8":
        return array.storage.cast(pa.bool_())
    if name == "arrow.uuid":
        return pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())
    if name == "arrow.json" or (name == "arrow.fixed_shape_tensor" and len(array.type.shape) == 1):
        return array.storage
    raise pa.ArrowNotImplementedError(f"Spark has no {array.type}")


def _unsigned(array: Any) -> Any:
    """Longs if all values fit, else decimals, so that a value beyond a long is a fault of its row alone."""
    greatest = pc.max(array).as_py()
    return array.cast(pa.int64() if greatest is None or greatest < 2**63 else pa.decimal128(20, 0))


def _micros(array: Any, finer: Finer) -> Any:
    """In microseconds; instants in UTC. A value outside the years 1 to 9999 stays outside, for readers to report."""
    target = pa.timestamp("us", tz=None if array.type.tz is None else "UTC")
    unit = array.type.unit
    if unit == "us":
        return array.cast(target)
    ticks = np.asarray(array.cast(pa.int64()).fill_null(0))
    if unit == "ns":
        micros = ticks // _NANOS
        if finer == "up":
            micros += ticks % _NANOS != 0
    else:
        factor = _A_MICROSECOND[unit]
        micros = np.clip(np.clip(ticks, _EARLIEST // factor, -(-_LATEST // factor)) * factor, _EARLIEST, _LATEST)
    return pa.array(micros, mask=np.asarray(array.is_null())).cast(target)
