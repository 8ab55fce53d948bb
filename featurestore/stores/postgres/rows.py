"""Encodes rows of a vector table for PostgreSQL's binary COPY, and hashes them as PostgreSQL does.

Fields have the format of the types' own send functions, so that one encoding serves for writing and for comparing.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from featurestore.stores.postgres.tables import EMBEDDING, VectorColumn, VectorTable

if TYPE_CHECKING:
    from psycopg.sql import Composable

COPY_BEGIN = b"PGCOPY\n\xff\r\n\x00" + struct.pack("!II", 0, 0)
COPY_END = struct.pack("!h", -1)
NULL = struct.pack("!i", -1)
BUCKETS = 1024

# Microseconds and days from 1970 to 2000, PostgreSQL's epoch.
_EPOCH_MICROS, _EPOCH_DAYS = 946_684_800_000_000, 10_957
# Vectors are stored unchanged if their greatest absolute number is in this range. Outside it, half precision loses
# digits, or pgvector's sums of squares in single precision overflow or vanish.
_SAFE = {"vector": (1e-15, 1e15), "halfvec": (2.0**-8, 60_000.0)}


class UnstorableValueError(ValueError):
    """A value that PostgreSQL cannot hold, or that does not fit its column."""


@dataclass(frozen=True)
class RowEncoder:
    """Encodes rows of these columns; small enough to be sent to Spark's workers."""

    columns: tuple[VectorColumn, ...]
    dims: int
    keys: int

    @classmethod
    def of(cls, table: VectorTable) -> RowEncoder:
        return cls(table.columns, table.dims, len(table.keys))

    def fields(self, batch: pa.RecordBatch) -> list[list[bytes]]:
        """Return, for each column, each row's field preceded by its length. Raises UnstorableValueError."""
        return [self._column(column, batch.column(column.name)) for column in self.columns]

    def same_sized(self, batch: pa.RecordBatch) -> np.ndarray[Any, Any] | None:
        """Return the same fields joined, as one row of bytes per row; None if a column is text or has nulls."""
        if any(column.word == "string" or batch.column(column.name).null_count for column in self.columns):
            return None
        parts = [part for column in self.columns for part in self._bytes(column, batch.column(column.name))]
        return np.concatenate(parts, axis=1)

    def _bytes(self, column: VectorColumn, values: pa.Array) -> list[np.ndarray[Any, Any]]:
        """Return the lengths and the values of a column without nulls and with values of one size."""
        numbers = _stored(values, column.word, self.dims) if column.name == EMBEDDING else _NUMBERS[column.word](values)
        data = numbers.reshape(len(numbers), -1).view(np.uint8)
        head = _vector_head(numbers) if column.name == EMBEDDING else struct.pack("!i", numbers.dtype.itemsize)
        return [np.broadcast_to(np.frombuffer(head, np.uint8), (len(data), len(head))), data]

    def _column(self, column: VectorColumn, values: pa.Array) -> list[bytes]:
        if column.name == EMBEDDING:
            return _vectors(values, column.word, self.dims)
        if column.word != "string":
            return _fixed(_NUMBERS[column.word](values), values)
        try:
            return _texts(values)
        except UnstorableValueError as error:
            raise UnstorableValueError(f"column {column.name!r}: {error}") from error

    def buckets(self, batch: pa.RecordBatch) -> list[int]:
        """Return each row's bucket, by its key."""
        fields = [self._column(column, batch.column(column.name)) for column in self.columns[: self.keys]]
        return [_bucket(b"".join(key)) for key in zip(*fields, strict=True)]

    def hashes(self, batch: pa.RecordBatch) -> list[tuple[int, int]]:
        """Return each row's bucket, by its key, and 63 bits of a hash of the whole row."""
        fields = self.fields(batch)
        keys = map(b"".join, zip(*fields[: self.keys], strict=True))
        rows = map(b"".join, zip(*fields, strict=True))
        return [(_bucket(key), _row_hash(row)) for key, row in zip(keys, rows, strict=True)]


def copied(fields: Sequence[Sequence[bytes]]) -> bytes:
    """Return rows of binary COPY, from the fields of each column."""
    count = struct.pack("!h", len(fields))
    return b"".join(count + b"".join(row) for row in zip(*fields, strict=True))


def copied_same_sized(before: Sequence[bytes], rows: np.ndarray[Any, Any], columns: int) -> bytes:
    """Return rows of binary COPY: the fields ``before``, the same in each, then a row's own fields of ``columns``."""
    head = np.frombuffer(struct.pack("!h", len(before) + columns) + b"".join(before), np.uint8)
    return np.concatenate([np.broadcast_to(head, (len(rows), len(head))), rows], axis=1).tobytes()


def long_field(number: int) -> bytes:
    return struct.pack("!iq", 8, number)


def text_field(text: str) -> bytes:
    data = text.encode()
    return struct.pack("!i", len(data)) + data


def _bucket(key: bytes) -> int:
    return int.from_bytes(hashlib.sha256(key).digest()[:2], "big") % BUCKETS


def _row_hash(row: bytes) -> int:
    return int.from_bytes(hashlib.sha256(row).digest()[:8], "big") >> 1


def bucket_sql(table: VectorTable) -> Composable:
    """Return SQL for the bucket of a row's key."""
    from psycopg import sql

    hashed = sql.SQL("sha256({})").format(_joined(table.columns[: len(table.keys)]))
    return sql.SQL("((get_byte({0}, 0) * 256 + get_byte({0}, 1)) % {1})").format(hashed, sql.Literal(BUCKETS))


def row_hash_sql(table: VectorTable) -> Composable:
    """Return SQL for the hash of a row."""
    from psycopg import sql

    hashed = sql.SQL("substr(sha256({}), 1, 8)").format(_joined(table.columns))
    # The shift of the bit string drops one bit, so that the number is never negative.
    return sql.SQL("((('x' || encode({}, 'hex'))::bit(64) >> 1)::bigint)").format(hashed)


_SEND = {
    "boolean": "boolsend",
    "long": "int8send",
    "int": "int4send",
    "double": "float8send",
    "float": "float4send",
    "date": "date_send",
    "timestamp": "timestamptz_send",
    "vector": "vector_send",
    "halfvec": "halfvec_send",
}


def _joined(columns: Sequence[VectorColumn]) -> Composable:
    from psycopg import sql

    fields = []
    for column in columns:
        name = sql.Identifier(column.name)
        sent = (
            sql.SQL("convert_to({}, 'UTF8')").format(name)
            if column.word == "string"
            else sql.SQL("{}({})").format(sql.SQL(_SEND[column.word]), name)
        )
        fields.append(sql.SQL("coalesce(int4send(length({0})) || {0}, int4send(-1))").format(sent))
    return sql.SQL(" || ").join(fields)


def _fixed(numbers: np.ndarray[Any, Any], values: pa.Array) -> list[bytes]:
    """Return the fields of numbers that are already big-endian; null where the values are null."""
    size = numbers.dtype.itemsize
    length, data = struct.pack("!i", size), numbers.tobytes()
    return [
        length + data[index * size : (index + 1) * size] if is_valid else NULL
        for index, is_valid in enumerate(values.is_valid().to_pylist())
    ]


def _numbers(kind: str, since: int = 0) -> Callable[[pa.Array], np.ndarray[Any, Any]]:
    def encode(values: pa.Array) -> np.ndarray[Any, Any]:
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.timestamp("us", values.type.tz)).cast(pa.int64())
        if pa.types.is_date32(values.type):
            values = values.cast(pa.int32())
        # Adding zero turns -0.0 into 0.0: the two are equal, so their bytes must be equal, too.
        numbers = values.fill_null(False if pa.types.is_boolean(values.type) else 0).to_numpy(zero_copy_only=False)
        encoded: np.ndarray[Any, Any] = (numbers if kind == "?" else numbers - since + 0).astype(kind)
        return encoded

    return encode


def _texts(values: pa.Array) -> list[bytes]:
    fields = []
    for text in values.cast(pa.binary()).to_pylist():
        if text is not None and b"\0" in text:
            raise UnstorableValueError(
                f"{text.decode(errors='replace')!r} has the character NUL, which PostgreSQL cannot hold"
            )
        fields.append(NULL if text is None else struct.pack("!i", len(text)) + text)
    return fields


# Big-endian, as PostgreSQL reads numbers; the number of a null is arbitrary.
_NUMBERS: dict[str, Callable[[pa.Array], np.ndarray[Any, Any]]] = {
    "boolean": _numbers("?"),
    "long": _numbers(">i8"),
    "int": _numbers(">i4"),
    "double": _numbers(">f8"),
    "float": _numbers(">f4"),
    "date": _numbers(">i4", _EPOCH_DAYS),
    "timestamp": _numbers(">i8", _EPOCH_MICROS),
}


def _vectors(values: pa.Array, storage: str, dims: int) -> list[bytes]:
    sent = _stored(values.drop_null(), storage, dims)
    head, data = _vector_head(sent), sent.tobytes()
    size = dims * sent.dtype.itemsize
    fields = iter([head + data[index * size : (index + 1) * size] for index in range(len(sent))])
    return [next(fields) if is_valid else NULL for is_valid in values.is_valid().to_pylist()]


def _vector_head(stored: np.ndarray[Any, Any]) -> bytes:
    """Return what precedes each vector's numbers: the field's length, the number of dims, and two unused bytes."""
    dims = stored.shape[1]
    return struct.pack("!iHH", dims * stored.dtype.itemsize + 4, dims, 0)


def _stored(vectors: pa.Array, storage: str, dims: int) -> np.ndarray[Any, Any]:
    """Return vectors, none of them null, as the storage holds them; one per row."""
    wrong = [length for length in vectors.value_lengths().unique().to_pylist() if length != dims]
    if wrong:
        raise UnstorableValueError(f"a vector has {wrong[0]} dims, and the feature has {dims}")
    numbers = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, dims)
    return stored_vectors(numbers, storage)


def stored_vectors(numbers: np.ndarray[Any, Any], storage: str) -> np.ndarray[Any, Any]:
    """Return the vectors (one per row) as the storage holds them, big-endian.

    A vector that is too large or too small for the storage is scaled by a power of two, which keeps its direction.
    """
    least, most = _SAFE[storage]
    greatest = np.abs(numbers).max(axis=1, initial=0)
    out_of_range = (greatest > 0) & ((greatest < least) | (greatest > most))
    if out_of_range.any():
        numbers = numbers.copy()
        _, exponents = np.frexp(greatest[out_of_range])
        numbers[out_of_range] = np.ldexp(numbers[out_of_range], -exponents[:, None])
    kind: Any = np.float32 if storage == "vector" else np.float16
    # Adding zero turns -0.0 into 0.0, as in _numbers.
    stored: np.ndarray[Any, Any] = (numbers.astype(kind) + kind(0)).astype(np.dtype(kind).newbyteorder(">"))
    return stored
