"""Make vectors that are distributed like embeddings: in clusters of unequal sizes, in fewer directions than dims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

Vectors = np.ndarray[Any, Any]

LATENT, CLUSTERS = 48, 2000
# The number of buckets; ``bucket < 10`` selects one row in a hundred.
BUCKETS = 1000


@dataclass(frozen=True)
class VectorData:
    """Vectors of unit length in single precision, each with a random bucket that is independent of the vector."""

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
        """The ids of the rows nearest to each query, in double precision, among buckets below ``most_bucket``."""
        ids = np.flatnonzero(self.buckets < most_bucket)
        cosines = np.empty((len(queries), len(ids)))
        # In chunks, because all vectors in double precision would need twice their memory.
        for start in range(0, len(ids), 20_000):
            chunk = self.vectors[ids[start : start + 20_000]].astype(np.float64)
            cosines[:, start : start + 20_000] = queries.astype(np.float64) @ chunk.T
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :limit]
        return [set(ids[positions].tolist()) for positions in nearest]


def clustered(rng: np.random.Generator, rows: int, dims: int, seed: int) -> Vectors:
    """Rows around the seed's centres; every ``rng`` draws them from the same distribution."""
    fixed = np.random.default_rng(seed)
    plane = fixed.standard_normal((LATENT, dims)) / np.sqrt(LATENT)
    centres = fixed.standard_normal((CLUSTERS, LATENT))
    share = 1 / np.arange(1, CLUSTERS + 1) ** 0.7
    clusters = rng.choice(CLUSTERS, size=rows, p=share / share.sum())
    unit_vectors = np.empty((rows, dims), np.float32)
    for start in range(0, rows, 20_000):
        chunk = clusters[start : start + 20_000]
        near = centres[chunk] + 0.5 * rng.standard_normal((len(chunk), LATENT))
        vectors = near @ plane + 0.1 * rng.standard_normal((len(chunk), dims))
        unit_vectors[start : start + 20_000] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit_vectors
