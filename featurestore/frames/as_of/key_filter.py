"""Restrict scans to some keys, so that they read, shuffle and sort less."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import pyarrow as pa

from featurestore.frames.columns import column
from featurestore.late_spark import Column, DataFrame, F, T


@cache
def _listable() -> tuple[type[T.DataType], ...]:
    """Key types with literals that mean the same in Python and Spark, whatever the session settings."""
    return (T.StringType, T.ByteType, T.ShortType, T.IntegerType, T.LongType)


# The most keys that a plan lists. Spark does not compare more keys with the statistics of files.
_LISTED = 100

_WORD, _BITS = "__word", "__bits"
_BITS_A_WORD = 64
# With one hash function and 16 bits per key, the filter keeps one in 16 value rows whose key the spine does not have.
_BITS_A_KEY = 16


def spine_keys(spine: DataFrame, keys: Mapping[str, str], values: DataFrame) -> DataFrame:
    """The distinct complete keys of the spine, with the names and types of the values' join keys.

    ``keys``: join key -> column of the spine.
    """
    typed = [column(name).try_cast(values.schema[key].dataType).alias(key) for key, name in keys.items()]
    return spine.select(*typed).dropna().distinct()


def with_keys(
    values: DataFrame, keys: pa.Table | DataFrame, number: int, of_many: Callable[[DataFrame], DataFrame]
) -> DataFrame:
    """The values of ``number`` complete ``keys``, which have the names and types of the values' join keys.

    The plan lists up to 100 keys, so that Spark skips files and row groups without them; a DataFrame of so few keys is
    collected. ``of_many`` restricts the values to more keys, or to keys of types that a plan cannot list.
    """
    names = keys.column_names if isinstance(keys, pa.Table) else keys.columns
    if number > _LISTED or not all(isinstance(values.schema[name].dataType, _listable()) for name in names):
        return of_many(values)
    table = keys if isinstance(keys, pa.Table) else keys.toArrow()
    return _with_listed_keys(values, names, list(zip(*(part.to_pylist() for part in table.columns), strict=True)))


def _with_listed_keys(values: DataFrame, names: Sequence[str], keys: Sequence[tuple[object, ...]]) -> DataFrame:
    if len(names) == 1:
        return values.where(column(names[0]).isin([key[0] for key in keys]))
    is_listed = F.lit(False)
    for key in keys:
        same = F.lit(True)
        for name, part in zip(names, key, strict=True):
            same = same & (column(name) == F.lit(part))
        is_listed = is_listed | same
    return values.where(is_listed)


def with_broadcast_keys(values: DataFrame, keys: DataFrame) -> DataFrame:
    """The values of these keys, which are broadcast to every executor."""
    return values.join(F.broadcast(keys), keys.columns, "left_semi")


def with_bloom_filter(values: DataFrame, keys: DataFrame, number: int) -> DataFrame:
    """The values that pass a Bloom filter of about ``number`` keys, with one hash function and 2 bytes per key.

    The DataFrame API does not offer Spark's own filter; this one is an aggregation and a broadcast of 64-bit words.
    """
    words = max(1, number * _BITS_A_KEY // _BITS_A_WORD)
    word, bit = _place([column(name) for name in keys.columns], words)
    bits = F.bit_or(F.call_function("shiftleft", F.lit(1).cast("bigint"), bit)).alias(_BITS)
    filled = keys.groupBy(word.alias(_WORD)).agg(bits)
    word, bit = _place([column(name) for name in keys.columns], words)
    met = values.withColumn(_WORD, word).join(F.broadcast(filled), _WORD)
    return met.where(F.getbit(_BITS, bit) == 1).select(*(column(name) for name in values.columns))


def _place(keys: list[Column], words: int) -> tuple[Column, Column]:
    """The word of a key, and its bit in this word."""
    hashed = F.xxhash64(*keys)
    place = F.pmod(hashed, F.lit(words * _BITS_A_WORD))
    return F.shiftright(place, 6), place.bitwiseAND(F.lit(_BITS_A_WORD - 1)).cast("int")
