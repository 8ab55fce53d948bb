"""Arrow columns of any type -> the Arrow types that Spark can read, with every value unchanged, or a reason why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.names import same_to_spark
from featurestore.columnar.unheld import ANY_KIND, UnheldError

WIDEST = 38
_WHOLE = pa.decimal128(20, 0)
_SIGNED = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.float16(): pa.float32()}
# Spark 4.2 has a type for the time of day, but tables and most operators refuse it.
TIME_OF_DAY = "make it text with .astype(str), or a number of seconds, or drop it"
_NANOSECONDS = "round it down, as with .dt.floor('us'), cast it to a whole number, or drop it"

# Arrow's extension types that mean the same as their storage.
_AS_STORED = {"arrow.json": None, "arrow.bool8": pa.bool_()}


def exact_column(array: pa.Array | pa.ChunkedArray, down: bool = False) -> pa.Array | pa.ChunkedArray:
    """The same values in a type that Spark can read; raises UnheldError if there is none.

    Unsigned integers become signed ones; those of 64 bits become decimals of 20 digits if a value is beyond a long.
    ``down``: round timestamps down to the microsecond; if false, finer ones are refused. A column of only nulls keeps
    its type unless it is nested.
    """
    if not isinstance(array, pa.ChunkedArray):
        return _exact(_valid(array), down)
    chunks = [_exact(_valid(chunk), down) for chunk in (array.chunks or [pa.array([], array.type)])]
    # One chunk of unsigned 64-bit integers may need a wider type than another.
    wider = next((chunk.type for chunk in chunks if chunk.type != chunks[0].type), None)
    if wider is not None:
        widest = wider if _is_wide(wider) else chunks[0].type
        chunks = [chunk if chunk.type == widest else chunk.cast(widest) for chunk in chunks]
    return pa.chunked_array(chunks)


def _valid(array: Any) -> Any:
    """Raise UnheldError for text that is not Unicode, which Spark would silently replace, and for damaged arrays."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        raise UnheldError(f"is {array.type} and not valid: {error}", "mend it where it comes from") from error
    return array


def _is_wide(kind: pa.DataType) -> bool:
    return "decimal128(20, 0)" in str(kind)


def _exact(array: Any, down: bool) -> Any:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _of_extension(array, down)
    if pa.types.is_dictionary(kind):
        return _exact(array.dictionary_decode(), down)
    if pa.types.is_run_end_encoded(kind):
        return _exact(pc.run_end_decode(array), down)
    for is_of, read in _READERS:
        if is_of(kind):
            return read(array)
    if pa.types.is_timestamp(kind):
        return _timestamps(array, down)
    if pa.types.is_map(kind):
        return _of_map(array)
    if any(is_of(kind) for is_of in _LISTS):
        return pa.ListArray.from_arrays(_offsets(array), _within(array.flatten()), mask=array.is_null())
    if pa.types.is_struct(kind):
        return _of_struct(array)
    raise UnheldError(f"is {kind}, which Spark has no type for", _advice(kind))


def _within(array: Any) -> Any:
    """The same as ``_exact``; a nested column needs a type even if it holds only nulls."""
    return pa.nulls(len(array), pa.string()) if pa.types.is_null(array.type) else _exact(array, down=False)


def _advice(kind: pa.DataType) -> str:
    return TIME_OF_DAY if pa.types.is_time(kind) else ANY_KIND


def _of_extension(array: Any, down: bool) -> Any:
    name = array.type.extension_name
    if name not in _AS_STORED:
        raise UnheldError(
            f"is {name}, a type of its own that Spark does not have",
            "cast it, make it text with .astype(str), or drop it",
        )
    plain = _AS_STORED[name]
    return _exact(array.storage if plain is None else array.storage.cast(plain), down)


def _unsigned(array: Any) -> Any:
    if array.type != pa.uint64():
        return array.cast(_SIGNED[array.type])
    greatest = pc.max(array).as_py()
    return array.cast(pa.int64() if greatest is None or greatest < 2**63 else _WHOLE)


def _decimals(array: Any) -> Any:
    precision, scale = array.type.precision, array.type.scale
    digits = max(precision - min(scale, 0), scale)
    if isinstance(array.type, pa.Decimal128Type) and digits == precision and scale >= 0:
        return array
    try:
        return array.cast(pa.decimal128(min(digits, WIDEST), max(scale, 0)))
    except pa.ArrowInvalid as error:
        raise UnheldError(f"is {array.type} and holds numbers of more than {WIDEST} digits") from error


def _dates(array: Any) -> Any:
    return _in_years(array.cast(pa.date32()), pa.int32(), -719_162, 2_932_896)


def _in_years(array: Any, whole: pa.DataType, first: int, last: int) -> Any:
    """The array; raises UnheldError for values outside the years 1 to 9999, the range of Python's dates."""
    ends = pc.min_max(array.cast(whole))
    if ends["min"].is_valid and not first <= ends["min"].as_py() <= ends["max"].as_py() <= last:
        raise UnheldError(f"is {array.type} and holds values outside the years 1 to 9999", "make them null, or drop it")
    return array


def _timestamps(array: Any, down: bool) -> Any:
    target = pa.timestamp("us", None if array.type.tz is None else "UTC")
    if array.type.unit != "ns":
        return _in_years(_in_range(array, target), pa.int64(), -62_135_596_800_000_000, 253_402_300_799_999_999)
    nanos = np.asarray(array.cast(pa.int64()).fill_null(0))
    if not down:
        _check_whole_micros(nanos, str(array.type))
    return pa.array(nanos // 1000, mask=np.asarray(array.is_null())).cast(target)


def _durations(array: Any) -> Any:
    if array.type.unit != "ns":
        return _in_range(array, pa.duration("us"))
    nanos = np.asarray(array.cast(pa.int64()).fill_null(0))
    _check_whole_micros(nanos, str(array.type))
    return array.cast(pa.duration("us"))


def _check_whole_micros(nanos: Any, kind: str) -> None:
    finer = np.flatnonzero(nanos % 1000)
    if finer.size:
        raise UnheldError(
            f"is {kind} and holds values finer than a microsecond, Spark's unit ({finer.size} of them)", _NANOSECONDS
        )


def _in_range(array: Any, target: pa.DataType) -> Any:
    try:
        return array.cast(target)
    except pa.ArrowInvalid as error:
        raise UnheldError(f"is {array.type} and holds values beyond 64 bits of microseconds") from error


def _offsets(array: Any) -> Any:
    lengths = pc.list_value_length(array).fill_null(0)
    return pa.array(np.concatenate([[0], np.cumsum(np.asarray(lengths))]), pa.int32())


def _of_map(array: Any) -> Any:
    pairs = array.cast(pa.list_(pa.struct([pa.field("key", array.type.key_type), ("value", array.type.item_type)])))
    keys, values = (_within(part) for part in pairs.flatten().flatten())
    return pa.MapArray.from_arrays(_offsets(pairs), keys, values, mask=array.is_null())


def _of_struct(array: Any) -> Any:
    names = [field.name for field in array.type]
    if not names:
        raise UnheldError("is a struct without fields, which tables cannot hold", "drop it")
    doubled = same_to_spark(names)
    if doubled:
        raise UnheldError(
            f"is a struct whose fields {doubled[0]} are the same to Spark, which ignores case", "rename them"
        )
    parts = [_within(part) for part in array.flatten()]
    return pa.StructArray.from_arrays(parts, names=names, mask=array.is_null())


def _is_as_spark_has_it(kind: pa.DataType) -> bool:
    return any(is_of(kind) for is_of in _SPARKS_OWN)


_SPARKS_OWN: list[Callable[[pa.DataType], bool]] = [
    pa.types.is_boolean,
    pa.types.is_signed_integer,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_null,
]
_LISTS: list[Callable[[pa.DataType], bool]] = [
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
]
_READERS: list[tuple[Callable[[pa.DataType], bool], Callable[[Any], Any]]] = [
    (_is_as_spark_has_it, lambda array: array),
    (pa.types.is_unsigned_integer, _unsigned),
    (pa.types.is_float16, lambda array: array.cast(pa.float32())),
    (pa.types.is_string_view, lambda array: array.cast(pa.large_string())),
    (pa.types.is_binary_view, lambda array: array.cast(pa.large_binary())),
    (pa.types.is_fixed_size_binary, lambda array: array.cast(pa.binary())),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_date, _dates),
    (pa.types.is_duration, _durations),
]
