"""Hashes of rows and of whole frames that do not depend on row order or partitioning."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from featurestore.frames.columns import column
from featurestore.late_spark import Column, DataFrame, F, T

_ROWS, _SUM, _XOR, _MIX = "rows", "hash_sum", "hash_xor", "hash_mix"


def can_be_hashed(kind: T.DataType) -> bool:
    """Whether Spark hashes values of this type; a map has no order, and a variant no one form."""
    if isinstance(kind, T.UserDefinedType):
        return can_be_hashed(kind.sqlType())
    if isinstance(kind, T.ArrayType):
        return can_be_hashed(kind.elementType)
    if isinstance(kind, T.StructType):
        return all(can_be_hashed(field.dataType) for field in kind)
    return not isinstance(kind, T.MapType | T.VariantType)


def row_hash(columns: Sequence[Column], seed: int = 0) -> Column:
    """64 bits of xxHash over typed values; a null counts in its place, so (null, 1) and (1, null) differ."""
    parts = [part for value in columns for part in (value.isNull(), value)]
    return F.xxhash64(F.lit(seed), *parts)


def fingerprint_columns(columns: Sequence[Column]) -> list[Column]:
    """Aggregates from which ``fingerprint_text`` makes the fingerprint; one ``agg`` can compute them with others."""
    first, second = row_hash(columns, 1), row_hash(columns, 2)
    return [
        F.count(F.lit(1)).alias(_ROWS),
        # A sum and an xor each miss simple changes (a doubled pair cancels in an xor). Decimals cannot overflow.
        F.coalesce(F.sum(first.cast("decimal(20,0)")), F.lit(0)).alias(_SUM),
        F.coalesce(F.bit_xor(second), F.lit(0)).alias(_XOR),
        F.coalesce(F.sum((first.bitwiseXOR(F.shiftleft(second, 1))).cast("decimal(20,0)")), F.lit(0)).alias(_MIX),
    ]


def fingerprint_text(row: Any) -> str:
    """The fingerprint of collected aggregates; equal for equal multisets of rows."""
    aggregates = f"{row[_ROWS]}:{row[_SUM]}:{row[_XOR]}:{row[_MIX]}"
    return hashlib.sha256(aggregates.encode()).hexdigest()


def content_hash(frame: DataFrame, columns: Sequence[str] | None = None) -> str:
    """A fingerprint of the rows, by the named columns in name order (all of them by default). Runs one job."""
    names = sorted(columns if columns is not None else frame.columns)
    return fingerprint_text(frame.agg(*fingerprint_columns([column(name) for name in names])).collect()[0])
