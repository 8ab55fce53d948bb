"""Entities as text and as keyed hashes, by which rows of erased entities are recognised, and how they are marked.

The same texts and hashes as by Spark: ``frames/rows/suppression.py``, ``frames/keyed_hash.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.fixed_width import as_numpy
from featurestore.columnar.ranks import one_array, tuple_ranks
from featurestore.columnar.rows.names import SUPPRESSED

# The inner and outer key of HMAC-SHA256.
Pads: TypeAlias = tuple[bytes, bytes]

# The block of SHA-256, in bytes.
_BLOCK = 64
# JSON's escapes as Jackson writes them: short ones where there are, otherwise capital hexadecimal digits.
_ESCAPES = str.maketrans(
    {chr(code): f"\\u{code:04X}" for code in range(32)}
    | {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
)


@dataclass(frozen=True)
class ErasedEntities:
    """Erased entities of one kind, and one way in which rows identify such an entity.

    ``columns``: join key -> the rows' column that holds it, in the order in which the suppression list has the keys.
    ``hashes``: the listed hashes of the entities.
    """

    entity: str
    columns: Mapping[str, str]
    hashes: Collection[str]


def key_pads(secret: bytes, digest_of_long: bytes) -> Pads:
    """The inner and outer key: the secret, or its digest if it is longer than a block, padded and masked."""
    key = (secret if len(secret) <= _BLOCK else digest_of_long).ljust(_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in key), bytes(byte ^ 0x5C for byte in key)


def identity_texts(tenant_id: str, entity: str, keys: Mapping[str, Any]) -> pa.Array:
    """Each row's entity as JSON: tenant, entity and join keys, in this order, instants in UTC; null if a key is null.

    Keys are texts, whole numbers, booleans, dates and instants, these two of the years 1 to 9999. Hashes of the texts
    are stored for good, so that the spelling must never change.
    """
    distinct, positions = _distinct(keys)
    return pa.array(_texts(tenant_id, entity, distinct), pa.string()).take(positions)


def identity_hashes(tenant_id: str, entity: str, keys: Mapping[str, Any], pads: Pads) -> pa.Array:
    """The HMAC-SHA256 (RFC 2104) of each row's ``identity_texts``: 64 hexadecimal digits; null if a key is null.

    Each distinct entity is hashed once.
    """
    distinct, positions = _distinct(keys)
    inner, outer = (hashlib.sha256(pad) for pad in pads)
    hashes: list[str | None] = []
    for text in _texts(tenant_id, entity, distinct):
        if text is None:
            hashes.append(None)
            continue
        message, whole = inner.copy(), outer.copy()
        message.update(text.encode())
        whole.update(message.digest())
        hashes.append(whole.hexdigest())
    return pa.array(hashes, pa.string()).take(positions)


def with_suppressed(rows: pa.Table, tenant_id: str, erased: Sequence[ErasedEntities], pads: Pads) -> pa.Table:
    """The rows with the column ``__suppressed``, which is never null: whether one of a row's entities was erased."""
    marked = np.zeros(rows.num_rows, bool)
    for entities in erased:
        keys = {key: rows.column(name) for key, name in entities.columns.items()}
        hashes = identity_hashes(tenant_id, entities.entity, keys, pads)
        marked |= is_listed(hashes, entities.hashes)
    return rows.append_column(pa.field(SUPPRESSED, pa.bool_(), nullable=False), pa.array(marked))


def is_listed(hashes: pa.Array, listed: Collection[str]) -> Any:
    """For each hash, whether it is listed, in NumPy; a null is not."""
    return as_numpy(pc.is_in(hashes, value_set=pa.array(sorted(listed), pa.string())))


def _distinct(keys: Mapping[str, Any]) -> tuple[dict[str, Any], pa.Array]:
    """The distinct entities, and for each row the position of its own."""
    columns = {name: one_array(column) for name, column in keys.items()}
    _, firsts, positions = np.unique(tuple_ranks(list(columns.values())), return_index=True, return_inverse=True)
    return {name: column.take(pa.array(firsts)) for name, column in columns.items()}, pa.array(positions)


def _texts(tenant_id: str, entity: str, keys: Mapping[str, Any]) -> list[str | None]:
    prefix = f'{{"tenant":{_json(tenant_id)},"entity":{_json(entity)},"key":{{'
    names = [f"{_json(name)}:" for name in keys]
    texts: list[str | None] = []
    for values in zip(*(_python(column) for column in keys.values()), strict=True):
        if any(value is None for value in values):
            texts.append(None)
        else:
            pairs = (name + _json(value) for name, value in zip(names, values, strict=True))
            texts.append(f"{prefix}{','.join(pairs)}}}}}")
    return texts


def _python(column: Any) -> list[Any]:
    """The values in Python; instants in UTC."""
    is_instant = pa.types.is_timestamp(column.type)
    return list((column.cast(pa.timestamp("us", "UTC")) if is_instant else column).to_pylist())


def _json(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return f'"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")}Z"'
    if isinstance(value, date):
        return f'"{value.isoformat()}"'
    return f'"{value.translate(_ESCAPES)}"'
