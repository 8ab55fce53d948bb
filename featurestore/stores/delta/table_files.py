"""The Parquet files of a Delta table on disk, whether or not its newest version has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from featurestore.errors import ConfigurationError
from featurestore.frames.rows.rows_of_entity import files_met
from featurestore.late_spark import Column, DataFrame, F, SparkSession, StructType
from featurestore.stores.delta.log import DeltaLog, file_name
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.file_system import Files, exact


@dataclass(frozen=True)
class StoredFile:
    """A data file of the table or of its Change Data Feed; ``modified`` is in milliseconds since 1970.

    Delta's file names are unique, even across folders.
    """

    path: str
    bytes: int
    modified: int

    @property
    def name(self) -> str:
        return file_name(self.path)


def inside(rows: DataFrame, partition: Mapping[str, str]) -> DataFrame:
    """The rows of the partitions with these values."""
    for name, value in partition.items():
        rows = rows.where(F.col(name) == F.lit(value))
    return rows


@dataclass(frozen=True)
class TableFiles:
    """The files of a table, or of its partitions with these values.

    The values are those of the first partition columns, in order, so that the files are in one folder.
    """

    spark: SparkSession
    files: Files
    table: DeltaTable
    partition: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _detail(self) -> Mapping[str, Any]:
        return self.table.detail().asDict()

    @property
    def location(self) -> str:
        """The table's folder, as a URI with ``://``."""
        return re.sub(r"^(\w[\w+.-]*):/(?!/)", r"\1:///", str(self._detail["location"]).rstrip("/"))

    @property
    def log(self) -> DeltaLog:
        return DeltaLog(self.files, f"{self.location}/_delta_log")

    @property
    def deletes_by_vector(self) -> bool:
        return bool(self._detail["properties"].get("delta.enableDeletionVectors") == "true")

    def check_names(self) -> None:
        """Raise ConfigurationError if columns have other names in the files than in the table."""
        if self._detail["properties"].get("delta.columnMapping.mode", "none") != "none":
            raise ConfigurationError(
                f"table {self.table} maps column names (delta.columnMapping.mode), so that its files cannot be "
                "searched for a person; write it anew without, then erase"
            )

    def live(self) -> set[str]:
        """The names of the files of the newest version."""
        rows = inside(self.table.read(), self.partition)
        return {file_name(path) for path in rows.inputFiles()}

    def stored(self) -> list[StoredFile]:
        """All files on disk, including those of old versions, of the Change Data Feed, and of unfinished writes."""
        part = "".join(f"/{name}={value}" for name, value in self.partition.items())
        # Spark skips folders that begin with _, unless their path is passed explicitly.
        folders = [f"{self.location}{part}", f"{self.location}/_change_data{part}"]
        existing = [folder for folder in folders if self.files.exists(folder)]
        if not existing:
            return []
        # Writers and other erasures may remove files at the same time.
        reader = self.spark.read.option("ignoreMissingFiles", "true")
        reader = reader.format("binaryFile").option("recursiveFileLookup", "true")
        listed = reader.option("pathGlobFilter", "*.parquet").load([exact(folder) for folder in existing])
        rows = (
            listed.select("path", "length", F.unix_millis("modificationTime").alias("modified")).toArrow().to_pylist()
        )
        return [StoredFile(row["path"], row["length"], row["modified"]) for row in rows]

    def holding(
        self,
        stored: Sequence[StoredFile],
        schema: StructType,
        sources: Callable[[DataFrame], DataFrame],
        condition: Column,
    ) -> tuple[list[StoredFile], list[StoredFile]]:
        """The files with a row for which the condition is true, and the files with no readable row (damaged, empty).

        The condition compares rows with their ``sources``.
        """
        if not stored:
            return [], []
        reader = (
            self.spark.read.schema(schema).option("ignoreCorruptFiles", "true").option("ignoreMissingFiles", "true")
        )
        rows = reader.parquet(*(exact(file.path) for file in stored))
        files = files_met(rows, sources(rows), condition, F.col("_metadata.file_name")).toArrow().to_pylist()
        met = {row["file"]: row["met"] for row in files}
        return [file for file in stored if met.get(file.name)], [file for file in stored if file.name not in met]

    def remove(self, stored: Sequence[StoredFile]) -> None:
        for file in stored:
            self.files.delete(re.sub(r"^(\w[\w+.-]*):/(?!/)", r"\1:///", file.path))
