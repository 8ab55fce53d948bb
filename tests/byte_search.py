"""A search of every byte that a store left on disk."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow.parquet as pq


def found_in(root: Path, *markers: bytes) -> list[str]:
    """Every file below the folder that holds a marker: raw, unpacked, or as a value or statistic of a Parquet file."""
    return [str(file.relative_to(root)) for file in sorted(root.rglob("*")) if file.is_file() and holds(file, *markers)]


def holds(file: Path, *markers: bytes) -> bool:
    raw = file.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    if any(marker in raw for marker in markers):
        return True
    if raw[:4] != b"PAR1":
        return False
    parquet = pq.ParquetFile(file)
    texts = [repr(parquet.metadata.to_dict())]
    for batch in parquet.iter_batches():
        # A text within a text has its quotes escaped by repr; as a value of its own it has not.
        texts += [repr(batch.to_pydict()), *(str(value) for part in batch.to_pydict().values() for value in part)]
    return any(marker.decode() in text for text in texts for marker in markers)
