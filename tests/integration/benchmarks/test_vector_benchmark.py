"""The benchmark of vectors: its searches on a small set. No Spark here."""

from pathlib import Path

import numpy as np
import pytest
import typer

from benchmarks.vector_data import VectorData, clustered
from benchmarks.vector_search import BATCH, OURS, PLAIN, SELECTIVITIES, SEQUENTIAL, SearchOptions, measure_search
from benchmarks.vectors import sizes_of


def test_vectors_are_reproducible_and_queries_are_not_among_them() -> None:
    first, again = VectorData.make(500, 16, seed=3), VectorData.make(500, 16, seed=3)
    queries = clustered(np.random.default_rng([3, 1]), 500, 16, seed=3)

    assert np.array_equal(first.vectors, again.vectors)
    assert np.allclose(np.linalg.norm(first.vectors, axis=1), 1, atol=1e-6)
    assert not np.array_equal(first.vectors, queries)
    assert [batch.num_rows for batch in first.batches(size=300)] == [300, 200]


def test_the_nearest_are_those_of_lesser_buckets() -> None:
    data = VectorData(np.float32([[1, 0], [0.9, 0.1], [0, 1], [0.8, 0.2]]), np.int32([7, 3, 3, 9]))

    assert data.nearest(np.float32([[1, 0]]), most_bucket=1000, limit=2) == [{0, 1}]
    assert data.nearest(np.float32([[1, 0]]), most_bucket=8, limit=3) == [{0, 1, 2}]


def test_every_search_is_measured_at_every_selectivity(tmp_path: Path) -> None:
    options = SearchOptions(rows=4000, dims=16, storage="vector", queries=20, sequential=5, limit=10, rounds=2, seed=0)
    result = measure_search(options, tmp_path, lambda line: None)
    summaries = {(summary.selectivity, summary.engine): summary for summary in result.summaries}

    assert set(summaries) == {(share, engine) for share in SELECTIVITIES for engine in (OURS, BATCH, PLAIN, SEQUENTIAL)}
    assert {summary.recall for (_, engine), summary in summaries.items() if engine == SEQUENTIAL} == {1.0}
    assert all(
        summary.recall >= 0.95 and summary.full == 1
        for (_, engine), summary in summaries.items()
        if engine in (OURS, BATCH)
    )
    assert (summaries[1.0, OURS].exact, summaries[0.001, OURS].exact) == (0.0, 1.0)
    assert summaries[1.0, SEQUENTIAL].speed.median == 1
    assert result.build_by_load > 0


def test_sizes() -> None:
    assert sizes_of("200kx384,2500x1536") == [(200_000, 384), (2500, 1536)]
    with pytest.raises(typer.BadParameter, match="write rows and dims"):
        sizes_of("200k")
