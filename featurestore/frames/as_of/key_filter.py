"""Which keys the spine asks for: a scan that keeps only theirs reads, shuffles and sorts less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.frames.columns import column

# Key types whose literals are the same in Python and in Spark, whatever the session.
LISTABLE = (T.StringType, T.ByteType, T.ShortType, T.IntegerType, T.LongType)

_WORD, _BITS = "__word", "__bits"
_BITS_A_WORD = 64
# One hash function: with 16 bits a key, one value row in 16 that the spine has no key for is kept all the same.
_BITS_A_KEY = 16


def asked_keys(spine: DataFrame, keys: Mapping[str, str], values: DataFrame) -> DataFrame:
    """The complete keys of the spine, each once, named and typed as the values' join keys; ``keys``: join key -> column
    of the spine."""
    typed = [column(name).try_cast(values.schema[key].dataType).alias(key) for key, name in keys.items()]
    return spine.select(*typed).dropna().distinct()


def with_listed_keys(values: DataFrame, names: Sequence[str], keys: Sequence[tuple[object, ...]]) -> DataFrame:
    """The values of these keys, which the plan names: files and row groups whose statistics exclude them are skipped."""
    if len(names) == 1:
        return values.where(column(names[0]).isin([key[0] for key in keys]))
    wanted = F.lit(False)
    for key in keys:
        same = F.lit(True)
        for name, part in zip(names, key, strict=True):
            same = same & (column(name) == F.lit(part))
        wanted = wanted | same
    return values.where(wanted)


def with_broadcast_keys(values: DataFrame, keys: DataFrame) -> DataFrame:
    """The values of these keys, which every executor holds."""
    return values.join(F.broadcast(keys), keys.columns, "left_semi")


def with_bloom_filter(values: DataFrame, keys: DataFrame, number: int) -> DataFrame:
    """The values whose key may be one of about ``number``: a bloom filter of one hash, 2 bytes a key.

    Spark's own is not open to the DataFrame API; this one is an aggregation and a broadcast of 64-bit words.
    """
    words = max(1, number * _BITS_A_KEY // _BITS_A_WORD)
    word, bit = _place([column(name) for name in keys.columns], words)
    bits = F.bit_or(F.call_function("shiftleft", F.lit(1).cast("bigint"), bit)).alias(_BITS)
    filled = keys.groupBy(word.alias(_WORD)).agg(bits)
    word, bit = _place([column(name) for name in keys.columns], words)
    met = values.withColumn(_WORD, word).join(F.broadcast(filled), _WORD)
    return met.where(F.getbit(_BITS, bit) == 1).select(*(column(name) for name in values.columns))


def _place(keys: list[Column], words: int) -> tuple[Column, Column]:
    """A key's word, and its bit there."""
    hashed = F.xxhash64(*keys)
    place = F.pmod(hashed, F.lit(words * _BITS_A_WORD))
    return F.shiftright(place, 6), place.bitwiseAND(F.lit(_BITS_A_WORD - 1)).cast("int")
