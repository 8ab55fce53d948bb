"""Rows of several files as one frame: columns by name, types widened only if no value can change."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, reduce

from featurestore.errors import SchemaError
from featurestore.frames.columns import column
from featurestore.late_spark import DataFrame, T


@cache
def _whole() -> tuple[type[T.DataType], ...]:
    return (T.ByteType, T.ShortType, T.IntegerType, T.LongType)


@cache
def _within_double() -> tuple[type[T.DataType], ...]:
    return (T.ByteType, T.ShortType, T.IntegerType, T.FloatType, T.DoubleType)


def union_losslessly(frames: Mapping[str, DataFrame]) -> DataFrame:
    """All rows of ``frames`` (file -> its rows); a column that a frame lacks is null in its rows.

    Raises SchemaError for a column if no type holds every value of the types that it has.
    """
    if len(frames) == 1:
        return next(iter(frames.values()))
    types: dict[str, T.DataType] = {}
    first_file: dict[str, str] = {}
    for file, frame in frames.items():
        for field in frame.schema:
            name = field.name.lower()
            known = types.get(name, field.dataType)
            common = common_type(known, field.dataType)
            if common is None:
                raise SchemaError(
                    f"column {field.name!r} is {known.simpleString()} in {first_file[name]} and "
                    f"{field.dataType.simpleString()} in {file}, and no type holds both without loss; write the files "
                    "with one type, or read them one by one"
                )
            types[name] = common
            first_file.setdefault(name, file)
    return reduce(_below, (_widened(frame, types) for frame in frames.values()))


def common_type(first: T.DataType, second: T.DataType) -> T.DataType | None:
    """The type that holds every value of both types exactly; None if there is none."""
    if first == second or isinstance(second, T.NullType):
        return first
    if isinstance(first, T.NullType):
        return second
    if isinstance(first, _whole()) and isinstance(second, _whole()):
        return max(first, second, key=lambda kind: _whole().index(type(kind)))
    if isinstance(first, _within_double()) and isinstance(second, _within_double()):
        return T.DoubleType()
    return None


def _widened(frame: DataFrame, types: Mapping[str, T.DataType]) -> DataFrame:
    if all(field.dataType == types[field.name.lower()] for field in frame.schema):
        return frame
    return frame.select(*(column(name).cast(types[name.lower()]).alias(name) for name in frame.columns))


def _below(upper: DataFrame, lower: DataFrame) -> DataFrame:
    return upper.unionByName(lower, allowMissingColumns=True)
