"""A user's own table by Spark: the same rows as without it, and those that only Spark reads."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from featurestore.config import Settings
from featurestore.definitions.source import Source
from featurestore.errors import StorageError
from featurestore.operations.context import named_files
from featurestore.stores.arrow import from_spark
from featurestore.stores.outside.rows import WantedColumn
from featurestore.stores.outside.table import OutsideTable

INSTANT = pa.timestamp("us", "UTC")
COLUMNS = {
    "user": WantedColumn("uid", pa.string()),
    "event": WantedColumn("at", INSTANT, rounded_up=True),
    "n": WantedColumn("n", pa.int64()),
}


def table(spark: SparkSession, folder: Path, **given: Any) -> OutsideTable:
    pinned = given.pop("pinned", None)
    source = Source(**{"path": str(folder), "tenant_column": "who"} | given)
    settings = Settings(warehouse=str(folder.parent / "warehouse"), timestamp_zone="America/New_York")
    return OutsideTable.of(settings, "events", source, "acme", named=lambda: named_files(spark), pinned=pinned)


def rows_of(rows: pa.Table) -> list[dict[str, Any]]:
    return sorted(rows.to_pylist(), key=lambda row: row["n"])


def test_tasks_read_the_same_rows_as_this_process(spark: SparkSession, tmp_path: Path) -> None:
    place = tmp_path / "t"
    for number in range(2):
        rows = pa.table(
            {
                "who": ["acme", "zeta", "acme"],
                "uid": pa.array(["a", "b", None]).dictionary_encode(),
                # Spark itself refuses nanoseconds.
                "at": pa.array([1_001 + number, 2_000, 3_000], pa.timestamp("ns")),
            }
        )
        folder = place / f"n={number}"
        folder.mkdir(parents=True)
        pq.write_table(rows, folder / "x.parquet")
    outside = table(spark, place, format="parquet")

    by_spark = from_spark(outside.frame(COLUMNS, required=["user"]))

    assert by_spark.num_rows == 2
    assert rows_of(by_spark) == rows_of(outside.read(COLUMNS, required=["user"]))


def test_spark_reads_what_has_an_obstacle(spark: SparkSession, tmp_path: Path) -> None:
    place = tmp_path / "d"
    moments = ("TIMESTAMP_NTZ '2026-11-01 01:30:00'", "TIMESTAMP_NTZ '2026-11-03 00:00:00'")
    rows = spark.sql(
        f"SELECT * FROM VALUES ('acme', 'a', {moments[0]}, 1), ('zeta', 'b', {moments[0]}, 2), ('acme', 'c', {moments[1]}, 3), "
        f"('acme', NULL, {moments[1]}, 4) AS t(who, uid, at, n)"
    )
    rows.coalesce(1).write.format("delta").option("delta.enableDeletionVectors", "true").save(str(place))
    pin = table(spark, place).pin
    spark.sql(f"DELETE FROM delta.`{place}` WHERE n = 1")
    outside, pinned = table(spark, place), table(spark, place, pinned=pin)

    assert "deletion vectors" in str(outside.obstacle)
    assert outside.schema.field("at").type == pa.timestamp("us")
    assert rows_of(from_spark(outside.frame(COLUMNS, required=["user"]))) == [
        {"user": "c", "event": datetime(2026, 11, 3, 5, tzinfo=UTC), "n": 3}
    ]
    assert (pin.version, outside.pin.version, outside.pin.table_id) == (0, 1, pin.table_id)
    assert [row["n"] for row in rows_of(from_spark(pinned.frame(COLUMNS, required=["user"])))] == [1, 3]


def test_a_table_of_a_catalog_is_read_by_name(spark: SparkSession, tmp_path: Path) -> None:
    for format in ("delta", "parquet"):
        rows = spark.sql("SELECT 'acme' AS who, 'a' AS uid, TIMESTAMP '2026-11-01 00:00:00Z' AS at, 1 AS n").coalesce(1)
        rows.write.format(format).option("path", str(tmp_path / format)).saveAsTable(f"outside_{format}")
    try:
        tables = [table(spark, tmp_path, path=None, table=f"outside_{format}") for format in ("delta", "parquet")]
        pins = [each.pin for each in tables]
        pinned = table(spark, tmp_path, path=None, table="outside_parquet", pinned=pins[1])

        # Nobody knows whether a table of Parquet is still the same.
        assert [(pin.kind, pin.version, pin.is_known) for pin in pins] == [("delta", 0, True), ("table", None, False)]
        for each in (*tables, pinned):
            assert each.obstacle == f"{each.place} is a table of a catalog"
            assert [row["n"] for row in rows_of(from_spark(each.frame(COLUMNS)))] == [1]
    finally:
        for format in ("delta", "parquet"):
            spark.sql(f"DROP TABLE outside_{format}")


def test_files_that_only_spark_lists_are_pinned(spark: SparkSession, tmp_path: Path) -> None:
    place = tmp_path / "c"
    place.mkdir()
    (place / "a.csv").write_text("who,uid,at,n\nacme,a,x,1\n")
    options = {"header": "true"}
    pin = table(spark, place, format="csv", options=options).pin
    (place / "b.csv").write_text("who,uid,at,n\nacme,b,x,2\n")

    assert (pin.kind, [file.bytes for file in pin.files]) == ("parquet", [24])
    with pytest.raises(StorageError, match=r"cannot be read again: new: .*b\.csv"):
        table(spark, place, format="csv", options=options, pinned=pin).frame({"u": WantedColumn("uid")})
