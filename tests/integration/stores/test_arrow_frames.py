"""Arrow tables become Spark DataFrames with all their rows."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from featurestore.stores.arrow import to_spark

CHUNKS = [[["a"], [], ["b"]], [[], ["a", "b"]], [["a", "b"], []], [["a"], ["b"], []], [[], []], []]


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_chunks_without_rows_change_nothing(spark: SparkSession, chunks: list[list[str]]) -> None:
    """Spark 4.2 by itself leaves out what follows a batch without rows."""
    code = pa.chunked_array(chunks, pa.string())
    number = pa.chunked_array([pa.array(range(len(code)), pa.int64())])
    table = pa.table({"code": code, "n": number, "at": number.cast(pa.timestamp("us", "UTC"))})

    frame = to_spark(spark, table)

    assert frame.toArrow().sort_by("n") == table
