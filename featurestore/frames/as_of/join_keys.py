"""The key of an as-of join as one or two longs, by which rows are partitioned, sorted and compared."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from featurestore.late_spark import Column, F, T

_NAMES = ("__key_1", "__key_2")


@cache
def _whole() -> tuple[type[T.DataType], ...]:
    return (T.ByteType, T.ShortType, T.IntegerType, T.LongType)


def _is_itself(types: Sequence[T.DataType]) -> bool:
    return len(types) <= len(_NAMES) and all(isinstance(kind, _whole()) for kind in types)


def key_names(types: Sequence[T.DataType]) -> tuple[str, ...]:
    return _NAMES[: len(types)] if _is_itself(types) else _NAMES


def key_longs(keys: Sequence[Column], types: Sequence[T.DataType]) -> list[Column]:
    """One or two longs, named ``key_names(types)``, that are equal if the typed keys are equal.

    One or two whole numbers stay as they are: this is exact, and keeps the order of the rows in files, which sorts
    faster than a random order. Any other key becomes 128 bits of hash of its typed columns, which must not be null.
    """
    if _is_itself(types):
        longs = [key.cast("bigint") for key in keys]
    else:
        longs = [F.xxhash64(*keys), F.xxhash64(F.lit(1), *keys)]
    return [long.alias(name) for long, name in zip(longs, key_names(types), strict=True)]
