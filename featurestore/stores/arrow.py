"""Arrow tables as Spark DataFrames, with each column's own type."""

from __future__ import annotations

import pyarrow as pa

from featurestore.late_spark import DataFrame, SparkSession, from_arrow_schema


def to_spark(spark: SparkSession, table: pa.Table) -> DataFrame:
    """Return the table as a DataFrame, in which timestamps without a time zone stay without one.

    By default, Spark would read such a column in the session's time zone and turn it into instants.
    """
    # Spark 4.2 leaves out all rows after a batch without rows.
    batches = [batch for batch in table.to_batches() if batch.num_rows]
    rows = pa.Table.from_batches(batches) if batches else table.schema.empty_table()
    return spark.createDataFrame(rows, schema=from_arrow_schema(table.schema, prefer_timestamp_ntz=True))
