"""Parquet files of other writers are read in the table's own types."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurestore.stores.delta.data_files import read_file

# Beyond what nanoseconds in 64 bits can hold.
INSTANTS = [datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, 12, 0, 0, 7, UTC), datetime(9999, 12, 31, tzinfo=UTC)]
SCHEMA = pa.schema([("at", pa.timestamp("us", "UTC")), ("n", pa.int64())])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [(None, [1, 2, 3]), (pc.field("at") > pa.scalar(INSTANTS[0], SCHEMA.field("at").type), [2, 3])],
)
def test_timestamps_of_sparks_older_type(tmp_path: Path, condition: Any, expected: list[int]) -> None:
    rows = pa.table({"at": pa.array(INSTANTS, SCHEMA.field("at").type), "n": pa.array([1, 2, 3], pa.int32())})
    pq.write_table(rows, tmp_path / "old.parquet", use_deprecated_int96_timestamps=True)

    read = read_file(str(tmp_path), "old.parquet", {}, SCHEMA, condition)

    assert read.schema == SCHEMA
    assert read.column("n").to_pylist() == expected
    assert read.column("at").to_pylist() == [INSTANTS[number - 1] for number in expected]
