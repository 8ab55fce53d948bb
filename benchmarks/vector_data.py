"""Vectors that lie as embeddings do: in clusters of unlike sizes, and in fewer directions than they have dims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

Vectors = np.ndarray[Any, Any]

LATENT, CLUSTERS = 48, 2000
# A row's bucket is any of so many; ``bucket < 10`` is one row in a hundred.
BUCKETS = 1000


@dataclass(frozen=True)
class VectorData:
    """Vectors of unit length in single precision, and a bucket each that has nothing to do with where they lie."""

    vectors: Vectors
    buckets: Vectors

    @classmethod
    def make(cls, rows: int, dims: int, seed: int) -> VectorData:
        rng = np.random.default_rng([seed, rows])
        return cls(clustered(rng, rows, dims, seed), rng.integers(0, BUCKETS, rows).astype(np.int32))

    def batches(self, size: int = 10_000) -> list[pa.RecordBatch]:
        """Columns ``id``, ``bucket``, ``text``."""
        dims = self.vectors.shape[1]
        return [
            pa.RecordBatch.from_pydict(
                {
                    "id": pa.array(np.arange(start, start + len(part)), pa.int64()),
                    "bucket": pa.array(self.buckets[start : start + size], pa.int32()),
                    "text": pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), dims).cast(
                        pa.list_(pa.float32())
                    ),
                }
            )
            for start in range(0, len(self.vectors), size)
            for part in [self.vectors[start : start + size]]
        ]

    def nearest(self, queries: Vectors, most_bucket: int, limit: int) -> list[set[int]]:
        """The ids of the nearest to each query, in double precision, among rows of a lesser bucket."""
        ids = np.flatnonzero(self.buckets < most_bucket)
        cosines = np.empty((len(queries), len(ids)))
        # Some at a time: all in double would be twice the vectors.
        for start in range(0, len(ids), 20_000):
            some = self.vectors[ids[start : start + 20_000]].astype(np.float64)
            cosines[:, start : start + 20_000] = queries.astype(np.float64) @ some.T
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :limit]
        return [set(ids[one].tolist()) for one in nearest]


def clustered(rng: np.random.Generator, rows: int, dims: int, seed: int) -> Vectors:
    """Rows around the seed's centres: whichever ``rng`` draws them, they are of one distribution."""
    fixed = np.random.default_rng(seed)
    plane = fixed.standard_normal((LATENT, dims)) / np.sqrt(LATENT)
    centres = fixed.standard_normal((CLUSTERS, LATENT))
    share = 1 / np.arange(1, CLUSTERS + 1) ** 0.7
    of_cluster = rng.choice(CLUSTERS, size=rows, p=share / share.sum())
    found = np.empty((rows, dims), np.float32)
    for start in range(0, rows, 20_000):
        some = of_cluster[start : start + 20_000]
        near = centres[some] + 0.5 * rng.standard_normal((len(some), LATENT))
        vectors = near @ plane + 0.1 * rng.standard_normal((len(some), dims))
        found[start : start + 20_000] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found
