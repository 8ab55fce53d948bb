"""A vacuum without Spark leaves what Spark's vacuum of the same table leaves, and Spark goes on with the table."""

from __future__ import annotations

import json
import os
import shutil
import time
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.delta.which_rows import equal
from featurestore.stores.vacuuming import by_spark, local
from featurestore.stores.vacuuming.history import Commit, commits
from featurestore.stores.vacuuming.tables import unneeded_files, vacuum_table
from featurestore.stores.writer_lock import WriterLock

DAY = 86_400
HORIZON = timedelta(days=5)
SCHEMA = pa.schema([("part", pa.string()), ("n", pa.int64())])
# Of partitions, whose folders' names and paths in the log are encoded in different ways. Letters beyond ASCII are not
# among them: Spark's vacuum does not recognise their encoding by delta-rs, and removes files of the newest version.
PARTS = ("plain", "a b", "50%", "a/b", "x=1:2")


def located(spark: SparkSession, folder: Path) -> DeltaTable:
    lock = WriterLock(folder.parent / "locks" / f"{folder.name}.lock", 30.0)
    native = NativeTable(str(folder), lock)
    return DeltaTable(lambda: spark, str(folder), native=native, log=native, lock=lock)


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def left(folder: Path) -> list[str]:
    """All files and folders but the log."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(path for path in found if not path.startswith("_delta_log"))


def redate_removals(folder: Path, days_of_version: dict[int, float | None]) -> None:
    """Let the removals of a version be so many days ago, or have no date."""
    for version, days in days_of_version.items():
        entry = folder / "_delta_log" / f"{version:020}.json"
        actions = [json.loads(line) for line in entry.read_text(encoding="utf-8").splitlines()]
        removals = [action["remove"] for action in actions if "remove" in action]
        assert removals
        for removal in removals:
            if days is None:
                del removal["deletionTimestamp"]
            else:
                removal["deletionTimestamp"] = int((time.time() - days * DAY) * 1000)
        entry.write_text("\n".join(map(json.dumps, actions)), encoding="utf-8")
        entry.with_name(f".{entry.name}.crc").unlink()


@pytest.fixture(scope="module")
def original(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with rows by Spark and by delta-rs, removed before and after the horizon, and with much beside them."""
    folder = tmp_path_factory.mktemp("vacuum") / "table"
    table = located(spark, folder)
    assert table.native is not None
    table.native.create(SCHEMA, ["part"], {"delta.enableChangeDataFeed": "true"})
    rows = [(part, n) for part in PARTS for n in (1, 2)]
    table.append(spark.createDataFrame(rows, "part string, n long").coalesce(1))  # version 1
    for n in (3, 4):
        by_part = [pa.table({"part": [part], "n": [n]}, schema=SCHEMA) for part in sorted(PARTS)]
        table.native.append(pa.concat_tables(by_part))  # versions 2 and 3
    for part in ("a b", "50%"):
        table.native.compact(equal(part=part))  # versions 4 and 5
    spark.sql(f"DELETE FROM {table.sql} WHERE n = 1")  # version 6
    spark.sql(f"DELETE FROM {table.sql} WHERE n = 2 AND part = 'plain'")  # version 7
    redate_removals(folder, {4: 9, 5: 1, 6: None})
    # The removals until here are in a checkpoint, the others in commits.
    table.native.open().create_checkpoint()
    table.native.delete(equal(part="50%", n=3))  # version 9, after one of a time of no removals
    changes = sorted((folder / "_change_data").rglob("*.parquet"))
    assert len(changes) >= 2
    for name in (
        "part=plain/left by a killed writer.parquet",
        "part=plain/part-50%25.parquet",
        "_notes/of people.txt",
        ".hidden/file.parquet",
        "part=plain/_temporary/0.parquet",
        "_delta_index/index.parquet",
        "deletion_vector_61d16c75-6994-46b7-a15b-8b538852e50e.bin",
        "no partition/ü.parquet",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"rows")
    (folder / "part=nothing" / "inner").mkdir(parents=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if "_delta_log" not in path.parts:
            age(path, 9)
    age(changes[0], 1)
    (folder / "part=plain" / "fresh.parquet").write_bytes(b"rows")
    return folder


def copied(original: Path, tmp_path: Path, name: str) -> Path:
    return Path(shutil.copytree(original, tmp_path / name))


def test_both_leave_the_same_files(spark: SparkSession, original: Path, tmp_path: Path) -> None:
    ours, theirs = copied(original, tmp_path, "ours"), copied(original, tmp_path, "theirs")
    table, other = located(spark, ours), located(spark, theirs)
    rows = sorted(map(tuple, table.read().collect()))
    planned, planned_by_spark = unneeded_files(table, HORIZON), by_spark.unneeded_files(other, HORIZON)
    assert (left(ours), left(theirs)) == (left(original), left(original))

    removed = vacuum_table(table, HORIZON)
    by_spark.vacuum(other, HORIZON)

    assert left(ours) == left(theirs)
    gone = {path for path in left(original) if path not in left(ours)}
    assert {"part=plain/left by a killed writer.parquet", "no partition/ü.parquet", "part=nothing/inner"} <= gone
    assert {"part=plain/fresh.parquet", "_notes/of people.txt", "part=plain/_temporary/0.parquet"} <= set(left(ours))
    assert removed == planned == planned_by_spark
    # Neither checksums nor the empty folder are counted.
    assert removed[0] == sum(Path(original, path).is_file() and not path.endswith(".crc") for path in gone)
    assert sorted(map(tuple, located(spark, ours).read().collect())) == rows
    # Versions since the horizon are still there.
    assert table.read(8).count() == other.read(8).count()


def test_with_no_horizon_too_they_leave_the_same(spark: SparkSession, original: Path, tmp_path: Path) -> None:
    ours, theirs = copied(original, tmp_path, "ours"), copied(original, tmp_path, "theirs")
    local.vacuum(located(spark, ours).native, timedelta(0))
    by_spark.vacuum(located(spark, theirs), timedelta(0))

    assert [path for path in left(ours) if Path(ours, path).is_file()] == [
        path for path in left(theirs) if Path(theirs, path).is_file()
    ]
    assert located(spark, ours).read().count() == located(spark, theirs).read().count()


def test_spark_reads_what_a_vacuum_without_it_says_and_goes_on_with_the_table(
    spark: SparkSession, original: Path, tmp_path: Path
) -> None:
    ours, theirs = copied(original, tmp_path, "ours"), copied(original, tmp_path, "theirs")
    table, other = located(spark, ours), located(spark, theirs)
    vacuum_table(table, HORIZON)
    by_spark.vacuum(other, HORIZON)

    def said(of: DeltaTable) -> list[tuple[str, object]]:
        rows = spark.sql(f"DESCRIBE HISTORY {of.sql} LIMIT 2").collect()
        kept = ("specifiedRetentionMillis", "retentionCheckEnabled", "status")
        return [
            (row["operation"], {key: value for key, value in row["operationParameters"].items() if key in kept})
            for row in rows
        ]

    assert said(table) == said(other)

    def age_of_files(of: DeltaTable) -> list[timedelta]:
        return [commit.at - commit.vacuumed_before for commit in commits(of) if commit.vacuumed_before is not None]

    assert age_of_files(table) == age_of_files(other) == [HORIZON]
    assert Commit.of(table._history(2)[1]).vacuumed_before is not None
    table.append(spark.createDataFrame([("plain", 99)], "part string, n long"))
    assert table.read().where("n = 99").count() == 1


def test_a_table_with_deletion_vectors_is_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    """delta-rs would take the files of vectors for leftovers; without them deleted rows would come back, or nobody read."""
    folder = tmp_path / "vectors"
    spark.sql(
        f"CREATE TABLE delta.`{folder}` (part string, n long) USING DELTA "
        "TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"
    )
    table = located(spark, folder)
    table.append(spark.range(10).selectExpr("'p' AS part", "id AS n").coalesce(1))
    spark.sql(f"DELETE FROM {table.sql} WHERE n = 3")
    vectors = sorted(folder.glob("deletion_vector_*.bin"))
    assert vectors
    left_behind = folder / "left.parquet"
    left_behind.write_bytes(b"rows")
    for path in [*vectors, left_behind]:
        age(path, 9)

    vacuum_table(table, HORIZON)

    assert sorted(folder.glob("deletion_vector_*.bin")) == vectors
    assert not left_behind.exists()
    assert located(spark, folder).read().count() == 9


def test_spark_keeps_files_for_no_less_time_than_the_horizon(spark: SparkSession, tmp_path: Path) -> None:
    """It knows whole hours only, and rounds them."""
    table = located(spark, tmp_path / "hours")
    assert table.native is not None
    table.native.create(SCHEMA)
    file = tmp_path / "hours" / "left.parquet"
    file.write_bytes(b"rows")
    age(file, 30.2 / 24)

    assert by_spark.unneeded_files(table, timedelta(hours=30, minutes=20)) == (0, 0)
    assert by_spark.unneeded_files(table, timedelta(hours=30)) == (1, 4)
