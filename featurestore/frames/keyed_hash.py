"""HMAC-SHA256 (RFC 2104) as a column: a hash of a text that only those who know the secret can compute."""

from __future__ import annotations

from featurestore.columnar.erased.identities import key_pads as key_pads
from featurestore.late_spark import Column, F


def keyed_hash(text: Column, inner: Column, outer: Column) -> Column:
    """64 hexadecimal digits: H(outer || H(inner || text)), the text as UTF-8; null for a null."""
    message = F.unhex(F.sha2(F.concat(inner, F.encode(text, "UTF-8")), 256))
    return F.sha2(F.concat(outer, message), 256)
