"""HMAC-SHA256 (RFC 2104) as a column: a hash of a text that only those who know the secret can compute."""

from __future__ import annotations

from featurestore.late_spark import Column, F

# The block of SHA-256, in bytes.
_BLOCK = 64


def key_pads(secret: bytes, digest_of_long: bytes) -> tuple[bytes, bytes]:
    """The inner and outer key: the secret, or its digest if it is longer than a block, padded and masked."""
    key = (secret if len(secret) <= _BLOCK else digest_of_long).ljust(_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in key), bytes(byte ^ 0x5C for byte in key)


def keyed_hash(text: Column, inner: Column, outer: Column) -> Column:
    """64 hexadecimal digits: H(outer || H(inner || text)), the text as UTF-8; null for a null."""
    message = F.unhex(F.sha2(F.concat(inner, F.encode(text, "UTF-8")), 256))
    return F.sha2(F.concat(outer, message), 256)
