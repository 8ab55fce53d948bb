"""Arrow types by the names that Spark has for them, for messages that read the same whoever checked the rows."""

from __future__ import annotations

import pyarrow as pa

from featurestore.kinds.arrow_columns.reading import UndecidedError

_SCALARS = {
    pa.null(): "void",
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
    pa.timestamp("us"): "timestamp_ntz",
    pa.timestamp("us", "UTC"): "timestamp",
    pa.duration("us"): "interval day to second",
}


def spark_name(kind: pa.DataType) -> str:
    """``bigint`` for int64; raises UndecidedError for a type that Spark may not be able to read."""
    if kind in _SCALARS:
        return _SCALARS[kind]
    if pa.types.is_decimal128(kind) and 0 <= kind.scale <= kind.precision:
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_map(kind):
        return f"map<{spark_name(kind.key_type)},{spark_name(kind.item_type)}>"
    if pa.types.is_list(kind):
        return f"array<{spark_name(kind.value_type)}>"
    if pa.types.is_struct(kind) and kind.num_fields > 0:
        return f"struct<{','.join(f'{field.name}:{spark_name(field.type)}' for field in kind)}>"
    raise UndecidedError(f"a column of {kind}")
