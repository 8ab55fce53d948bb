"""Hadoop's checksum beside a commit of a local table's log, which delta-rs does not write.

Spark verifies a commit by it, and whoever loses the newest commit still finds its checksum (see ``log_remains``).
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from uuid import uuid4

_MAGIC = b"crc\0"
_BYTES_PER_SUM = 512
# More commits than one without a checksum are those of other threads, which are about to write it.
_MOST_BACK = 20


def complete_checksums(log: Path, newest: int) -> None:
    """Write the checksums that the newest commits lack; the caller holds the lock of the table. Raises OSError."""
    # The checkpoint that it names may be one by delta-rs, and Spark's checksum of an earlier one.
    hint = log / "_last_checkpoint"
    stale = log / f".{hint.name}.crc"
    if stale.exists() and stale.read_bytes() != checksum_of(hint.read_bytes()):
        stale.unlink(missing_ok=True)
    for version in range(newest, max(-1, newest - _MOST_BACK), -1):
        commit = log / f"{version:020}.json"
        checksum = log / f".{commit.name}.crc"
        if checksum.exists():
            return
        try:
            _write(checksum, checksum_of(commit.read_bytes()))
        except FileNotFoundError:
            # A checkpoint made the commit needless.
            return


def checksum_of(content: bytes) -> bytes:
    """A file's checksum file: CRC-32 (ISO 3309) of every 512 bytes, as Hadoop's ChecksumFileSystem writes it."""
    sums = [zlib.crc32(content[first : first + _BYTES_PER_SUM]) for first in range(0, len(content), _BYTES_PER_SUM)]
    return _MAGIC + struct.pack(f">i{len(sums)}I", _BYTES_PER_SUM, *sums)


def _write(file: Path, content: bytes) -> None:
    """In one step, because Spark refuses a commit with half a checksum; threads share the lock."""
    temporary = file.with_name(f"{file.name}.{uuid4().hex}.tmp")
    temporary.write_bytes(content)
    temporary.replace(file)
