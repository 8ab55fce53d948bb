"""Spark's words for Arrow's types, such as ``bigint``."""

from __future__ import annotations

import pyarrow as pa

_WORDS = {
    pa.bool_(): "boolean",
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.string(): "string",
    pa.binary(): "binary",
    pa.date32(): "date",
}


def spark_word(kind: pa.DataType) -> str | None:
    """The word for a scalar type or a list of one, as in ``DataType.simpleString``; None for any other type."""
    if pa.types.is_list(kind):
        element = _scalar_word(kind.value_type)
        return None if element is None else f"array<{element}>"
    return _scalar_word(kind)


def _scalar_word(kind: pa.DataType) -> str | None:
    if pa.types.is_decimal128(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamp_ntz" if kind.tz is None else "timestamp"
    return _WORDS.get(kind)
