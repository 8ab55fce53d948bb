"""Two erasures clean the log of one table at the same time: neither puts back what the other took out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore.spark_internals.hadoop_files import HadoopFiles
from featurestore.stores.delta.log import DeltaLog
from featurestore.stores.delta.log_cleaning import LogCleaner
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.sessions import separate_session

TENANTS = ("acme", "other")
COMMITS, CHECKPOINTS, CHECKSUMS = "*.json", "*.checkpoint*.parquet", "[0-9]*.crc"


class Interrupted(HadoopFiles):
    """Files that another process changes once, after a file was read and before it is replaced."""

    def __init__(self, spark: SparkSession, somebody_else: Callable[[], object]) -> None:
        super().__init__(spark)
        self.waiting = [somebody_else]

    def _interrupt(self) -> None:
        if self.waiting:
            self.waiting.pop()()

    def read_end(self, path: str, number: int) -> bytes:
        tail = super().read_end(path, number)
        self._interrupt()
        return tail

    def write_text(self, path: str, text: str) -> None:
        super().write_text(path, text)
        self._interrupt()


@pytest.fixture(scope="module")
def emptied(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that had a row of each tenant and is now empty; a checkpoint of its log still mentions both."""
    table = tmp_path_factory.mktemp("emptied") / "table"
    rows = spark.createDataFrame(
        [(tenant, f"secret of {tenant}") for tenant in TENANTS], "tenant_id string, told string"
    )
    rows.write.format("delta").partitionBy("tenant_id").option("delta.checkpointInterval", "1").save(str(table))
    spark.sql(f"ALTER TABLE delta.`{table}` SET TBLPROPERTIES ('written' = 'a checkpoint with both')")
    for tenant in TENANTS:
        spark.sql(f"DELETE FROM delta.`{table}` WHERE tenant_id = '{tenant}'")
    return table


@pytest.fixture
def log(emptied: Path, tmp_path: Path) -> Path:
    """The log of a copy of that table."""
    shutil.copytree(emptied, tmp_path / "table")
    return tmp_path / "table/_delta_log"


def cleaner(spark: SparkSession, files: HadoopFiles, log: Path, tenant: str) -> LogCleaner:
    return LogCleaner(spark, DeltaLog(files, str(log)), frozenset(), {"tenant_id": tenant}, until=99, barrier=0)


def text_of(log: Path, kind: str) -> str:
    if kind == "checkpoints":
        return "".join(str(pq.read_table(file).to_pylist()) for file in sorted(log.glob(CHECKPOINTS)))
    return "".join(file.read_text() for file in sorted(log.glob(COMMITS)))


@contextmanager
def without(log: Path, *patterns: str) -> Iterator[None]:
    """Leave these files out, so that others are the first to be cleaned."""
    files = {file: file.read_bytes() for pattern in patterns for file in log.glob(pattern)}
    for file in files:
        file.unlink()
    yield
    for file, content in files.items():
        file.write_bytes(content)


@pytest.mark.parametrize(("kind", "others"), [("commits", CHECKPOINTS), ("checkpoints", COMMITS)])
def test_rows_that_a_concurrent_erasure_removed_stay_removed(
    spark: SparkSession, log: Path, kind: str, others: str
) -> None:
    session = separate_session(spark)
    assert all(f"secret of {tenant}" in text_of(log, kind) for tenant in TENANTS)
    theirs = cleaner(session, HadoopFiles(spark), log, "other")

    with without(log, others, CHECKSUMS):
        files = Interrupted(spark, theirs.clean)
        changed = cleaner(session, files, log, "acme").clean()

    assert changed > 0
    assert files.waiting == []
    assert "secret" not in text_of(log, kind)


def test_a_checkpoint_deleted_during_reading_needs_no_cleaning(spark: SparkSession, log: Path) -> None:
    def gone() -> None:
        for file in log.glob(CHECKPOINTS):
            file.unlink()

    with without(log, COMMITS, CHECKSUMS):
        files = Interrupted(spark, gone)
        assert cleaner(separate_session(spark), files, log, "acme").clean() == 0


def test_a_file_that_keeps_changing_raises_an_error(spark: SparkSession, log: Path) -> None:
    class Busy(HadoopFiles):
        def write_text(self, path: str, text: str) -> None:
            super().write_text(path, text)
            commit = f"{log}/00000000000000000000.json"
            content = self.read_text(commit)
            self.delete(commit)
            super().write_text(commit, content + json.dumps({"txn": {"appId": "x", "version": 1}}) + "\n")

    with pytest.raises(OSError, match="changed meanwhile"):
        cleaner(separate_session(spark), Busy(spark), log, "acme").clean()


def test_a_reader_that_listed_the_log_before_cleaning_can_read_it_after(spark: SparkSession, log: Path) -> None:
    """By the lengths that the files had: Delta does not look again."""
    table = DeltaTable(lambda: spark, str(log.parent))
    lengths = {file.name: file.stat().st_size for file in log.iterdir() if file.suffix in (".json", ".parquet")}
    listed = spark.read.parquet(*(str(file) for file in sorted(log.glob(CHECKPOINTS))))
    for tenant in TENANTS:
        assert cleaner(separate_session(spark), HadoopFiles(spark), log, tenant).clean() > 0

    assert {name: (log / name).stat().st_size for name in lengths} == lengths
    assert listed.where("add.stats LIKE '%secret%'").count() == 0
    names: list[Any] = [row[0] for row in table.read(0).select(F.col("tenant_id")).collect()]
    assert sorted(names) == sorted(TENANTS)
