"""Arrow tables as Spark DataFrames, and the other way, with each column's own type."""

from __future__ import annotations

import pyarrow as pa

from featurestore.late_spark import DataFrame, SparkSession, from_arrow_schema, to_arrow_schema

# A frame that takes at most about so many bytes of Arrow is fetched where its rows are few enough to go on with here. A
# driver takes eight times as much from its executors unless it was told otherwise.
MOST_FETCHED = 1 << 27
_SCALARS = (
    *("boolean", "tinyint", "smallint", "int", "bigint", "float", "double"),
    *("string", "binary", "date", "timestamp", "timestamp_ntz"),
)


def is_scalar(word: str) -> bool:
    """Whether Arrow holds the values of a Spark type, by its word (``simpleString``), as Spark does; lists are none."""
    return word in _SCALARS or word.startswith("decimal(")


def from_spark(rows: DataFrame) -> pa.Table:
    """Fetch the rows, with instants in UTC, whatever the session's time zone."""
    return rows.toArrow().cast(to_arrow_schema(rows.schema, timezone="UTC"))


def to_spark(spark: SparkSession, table: pa.Table) -> DataFrame:
    """Return the table as a DataFrame, in which timestamps without a time zone stay without one.

    By default, Spark would read such a column in the session's time zone and turn it into instants.
    """
    # Spark 4.2 leaves out all rows after a batch without rows.
    batches = [batch for batch in table.to_batches() if batch.num_rows]
    rows = pa.Table.from_batches(batches) if batches else table.schema.empty_table()
    return spark.createDataFrame(rows, schema=from_arrow_schema(table.schema, prefer_timestamp_ntz=True))
