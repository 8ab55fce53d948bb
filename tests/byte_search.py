"""A search of every byte that a store left on disk."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow.parquet as pq


def found_in(root: Path, marker: bytes) -> list[str]:
    """Every file below the folder that holds the marker: raw, unpacked, or as a value or statistic of a Parquet file."""
    return [str(file.relative_to(root)) for file in sorted(root.rglob("*")) if file.is_file() and holds(file, marker)]


def holds(file: Path, marker: bytes) -> bool:
    raw = file.read_bytes()
    if marker in raw:
        return True
    if raw[:2] == b"\x1f\x8b":
        return marker in gzip.decompress(raw)
    if raw[:4] != b"PAR1":
        return False
    parquet = pq.ParquetFile(file)
    told = [repr(parquet.metadata.to_dict()), *(repr(batch.to_pydict()) for batch in parquet.iter_batches())]
    return any(marker.decode() in text for text in told)
