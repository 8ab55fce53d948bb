"""The examples of a spine: its distinct (keys, instant). All rows of an example get the same features, looked up once.

This also keeps the spine's other columns out of the join's shuffles and sorts: wide rows get their features at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from featurestore.frames.columns import column
from featurestore.late_spark import Column, DataFrame, F, T

_IDENTITY = ("__example_1", "__example_2")
_JOINED = "__joined"
# Estimates, in bytes. Reading wider rows twice costs less than sorting them.
_WIDE_ROW, _TEXT, _NESTED = 256, 32, 256


def identity(columns: Sequence[Column]) -> list[Column]:
    """128 bits of hash over typed columns, including nulls, which Spark's hash alone ignores."""
    parts = [*(part.isNull() for part in columns), *columns]
    return [F.xxhash64(*parts), F.xxhash64(F.lit(1), *parts)]


def is_wide(schema: T.StructType, columns: Sequence[str]) -> bool:
    """Whether a spine's rows are wide apart from ``columns``, which the join needs; estimated from types alone."""
    return sum(_width(field.dataType) for field in schema if field.name not in columns) > _WIDE_ROW


def _width(kind: T.DataType) -> int:
    if isinstance(kind, T.StringType):
        return _TEXT
    return 8 if isinstance(kind, T.NumericType | T.BooleanType | T.DatetimeType) else _NESTED


def joined_by_example(
    spine: DataFrame, columns: Sequence[str], join: Callable[[DataFrame], DataFrame], outputs: Sequence[str]
) -> DataFrame:
    """The spine with ``outputs``, which ``join`` adds to a frame of the distinct values of ``columns``."""
    named = [part.alias(name) for part, name in zip(identity([column(c) for c in columns]), _IDENTITY, strict=True)]
    examples = spine.select(*named, *(column(name) for name in columns)).distinct()
    joined = join(examples).select(*_IDENTITY, *(column(name) for name in outputs), F.lit(True).alias(_JOINED))
    rows = spine.select(*(column(name) for name in spine.columns), *named).join(joined, list(_IDENTITY), "left")
    message = F.lit("INVARIANT: the spine changed between two reads of it; save or cache it first, then join")
    is_example = F.when(F.col(_JOINED).isNull(), F.raise_error(message).cast("boolean")).otherwise(F.lit(True))
    return rows.where(is_example).select(*(column(name) for name in (*spine.columns, *outputs)))
