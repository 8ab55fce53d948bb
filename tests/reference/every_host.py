"""One question to every host of the as-of join: all must find the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from pyspark.sql import SparkSession

from featurestore import OfflineStore
from tests.reference.written_tables import Examples, WrittenTable, assert_table


@dataclass(frozen=True)
class Way:
    """A host, and the kind of spine that it gets."""

    host: Literal["in_process", "in_tasks", "by_shuffle"]
    kind: Literal["arrow", "pandas", "spark"]

    def __str__(self) -> str:
        return f"{self.host} of {self.kind}"

    def spine(self, rows: pa.Table, spark: SparkSession) -> Any:
        if self.kind == "spark":
            return spark.createDataFrame(rows)
        # Whole numbers with nulls would become floats.
        return rows if self.kind == "arrow" else rows.to_pandas(types_mapper=_EXACT.get)


_EXACT = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}
WAYS = [Way("in_process", "arrow"), Way("in_process", "pandas"), Way("in_tasks", "spark"), Way("by_shuffle", "spark")]


@dataclass(frozen=True)
class EveryHost:
    """Asks each host in turn; rows of a spine in this process must come back in their order."""

    spark: SparkSession

    def assert_finds(self, store: OfflineStore, rows: Examples, features: Any, **options: Any) -> None:
        self.assert_finds_step_by_step(store, rows, [{"features": features} | options])

    def assert_finds_step_by_step(self, store: OfflineStore, rows: Examples, steps: list[dict[str, Any]]) -> None:
        """The result of each step is the spine of the next."""
        for way in WAYS:
            found = way.spine(rows.spine, self.spark)
            for step in steps:
                found = store.get_point_in_time(found, host=way.host, **step)
            assert_found(found, rows.expected, way)


def assert_found(found: Any, expected: WrittenTable, way: Way) -> None:
    if way.kind == "pandas":
        assert list(found.columns) == expected.schema.names, way
        found = pa.Table.from_pandas(found, expected.schema, preserve_index=False)
    table: pa.Table = found.toArrow() if way.kind == "spark" else found
    assert_table(table, expected, str(way), in_order=way.kind != "spark")
