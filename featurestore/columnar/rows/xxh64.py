"""XXH64 of columns of numbers and bytes, one seed per row, as in Spark's ``xxhash64``.

Source: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md. Arithmetic on ``uint64`` wraps, as it must here.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# The last axis is that of rows; another before it holds several seeds per row.
Hashes: TypeAlias = NDArray[np.uint64]

_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )
)
_STRIPE, _WORD, _HALF = 32, 8, 4
# The length above which hashing rows one by one in C is faster than a round for each stripe of all rows.
_LONG = 1024
# What each of the four lanes adds to the seed.
_LANES = np.array([(int(_P1) + int(_P2)) % 2**64, int(_P2), 0, 2**64 - int(_P1)], np.uint64)
_ROTATIONS = tuple(np.uint64(bits) for bits in (1, 7, 12, 18))


def hash_ints(values: NDArray[Any], seeds: Hashes) -> Hashes:
    """Hash the four bytes of each whole number; ``values`` are converted to 32 bits."""
    hashed = seeds + (_P5 + np.uint64(_HALF))
    _mix_half(hashed, values.astype(np.int32, copy=False).view(np.uint32).astype(np.uint64))
    return _avalanche(hashed)


def hash_longs(values: NDArray[Any], seeds: Hashes) -> Hashes:
    """Hash the eight bytes of each 64-bit value: whole numbers, or the bits of doubles."""
    hashed = seeds + (_P5 + np.uint64(_WORD))
    _mix_word(hashed, values.view(np.uint64))
    return _avalanche(hashed)


def hash_bytes(data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64], seeds: Hashes) -> Hashes:
    """Hash ranges of ``data``, one per row; ``seeds`` has two axes."""
    many_bytes = np.flatnonzero(lengths > _LONG)
    if not len(many_bytes) or not has_xxhash():
        return _hash_short(data, starts, lengths, seeds)
    import xxhash

    result = np.empty_like(seeds)
    short = np.flatnonzero(lengths <= _LONG)
    result[:, short] = _hash_short(data, starts[short], lengths[short], seeds[:, short])
    for row in many_bytes.tolist():
        text = data[starts[row] : starts[row] + lengths[row]].data
        result[:, row] = [xxhash.xxh64_intdigest(text, seed) for seed in seeds[:, row].tolist()]
    return result


def has_xxhash() -> bool:
    """Whether the library is here: executors of Spark may lack it."""
    return find_spec("xxhash") is not None


def _hash_short(
    data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64], seeds: Hashes
) -> Hashes:
    """The same for short ranges. Each round hashes the next bytes of all rows that have some left."""
    padded = np.concatenate([data, np.zeros(_WORD, np.uint8)])
    words = np.ndarray((len(data) + 1,), "<u8", padded.data, strides=(1,))
    halves = np.ndarray((len(data) + 1,), "<u4", padded.data, strides=(1,))
    # Longest first, so that the rows of a round are the first ones.
    order = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[order], lengths[order]
    hashed = _after_stripes(words, starts, lengths, seeds[..., order])
    hashed += lengths.astype(np.uint64)
    at = starts + lengths // _STRIPE * _STRIPE
    remaining = lengths % _STRIPE
    for number in range(_STRIPE // _WORD - 1):
        rows = np.flatnonzero(remaining >= (number + 1) * _WORD)
        part = hashed[..., rows]
        _mix_word(part, words[at[rows] + number * _WORD])
        hashed[..., rows] = part
    at += remaining // _WORD * _WORD
    remaining %= _WORD
    rows = np.flatnonzero(remaining >= _HALF)
    part = hashed[..., rows]
    _mix_half(part, halves[at[rows]].astype(np.uint64))
    hashed[..., rows] = part
    at[rows] += _HALF
    remaining %= _HALF
    for number in range(_HALF - 1):
        rows = np.flatnonzero(remaining > number)
        part = hashed[..., rows]
        part ^= padded[at[rows] + number].astype(np.uint64) * _P5
        hashed[..., rows] = _rotated(part, 11) * _P1
    result = np.empty_like(hashed)
    result[..., order] = _avalanche(hashed)
    return result


def _after_stripes(words: Any, starts: NDArray[np.int64], lengths: NDArray[np.int64], seeds: Hashes) -> Hashes:
    """The state after all whole stripes of 32 bytes; rows come longest first."""
    hashed = seeds + _P5
    stripes = lengths // _STRIPE
    rounds = int(stripes[0]) if len(stripes) else 0
    if not rounds:
        return hashed
    count = int(np.count_nonzero(stripes))
    lanes = seeds[..., :count, None] + _LANES
    offsets = np.arange(0, _STRIPE, _WORD)
    # The number of rows with at least so many stripes.
    active = np.searchsorted(-stripes, -np.arange(1, rounds + 1), side="right")
    for number, rows in enumerate(active.tolist()):
        part = lanes[..., :rows, :]
        part += words[(starts[:rows] + number * _STRIPE)[:, None] + offsets] * _P2
        lanes[..., :rows, :] = _rotated(part, 31) * _P1
    merged = np.zeros_like(lanes[..., 0])
    for lane, bits in enumerate(_ROTATIONS):
        merged += _rotated(lanes[..., lane], bits)
    for lane in range(len(_ROTATIONS)):
        merged = (merged ^ (_rotated(lanes[..., lane] * _P2, 31) * _P1)) * _P1 + _P4
    hashed[..., :count] = merged
    return hashed


def _mix_word(hashed: Hashes, words: Any) -> None:
    mixed = words * _P2
    mixed = _rotated(mixed, 31)
    mixed *= _P1
    hashed ^= mixed
    hashed[...] = _rotated(hashed, 27)
    hashed *= _P1
    hashed += _P4


def _mix_half(hashed: Hashes, halves: Any) -> None:
    hashed ^= halves * _P1
    hashed[...] = _rotated(hashed, 23)
    hashed *= _P2
    hashed += _P3


def _avalanche(hashed: Hashes) -> Hashes:
    hashed ^= hashed >> np.uint64(33)
    hashed *= _P2
    hashed ^= hashed >> np.uint64(29)
    hashed *= _P3
    hashed ^= hashed >> np.uint64(32)
    return hashed


def _rotated(values: Hashes, bits: int | np.uint64) -> Hashes:
    left = values << np.uint64(bits)
    left |= values >> np.uint64(64 - int(bits))
    return left
