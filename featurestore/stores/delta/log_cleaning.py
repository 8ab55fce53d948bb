"""Remove column statistics of deleted files from a Delta log.

Delta's log keeps the least and greatest values of each file that ever was, for as long as it keeps its commits: in commits,
compacted commits, checkpoints, their sidecars, and version checksums. Reads use them to skip files. Of a file that is not
in the newest version, only reads of old versions lose by it: they become slower. Invariants:

- Only statistics are rewritten, and only those of files that are not live and lie in the given partitions. The number of
  rows stays. Every action, version, batch and metric stays.
- Versions after ``until`` are left alone.
- A commit or checkpoint keeps its length in bytes: a reader that has listed the log reads the file by that length. A
  commit is filled up with spaces; a checkpoint, which is Parquet, gets its filling before the footer.
- A file is replaced only if it is as it was when it was read, so that what another erasure took out does not come back.
  If not, it is read and cleaned again, a few times; then the error is raised.
- A file that is gone needs no cleaning: a newer one took its place.
- A checksum that lists statistics is removed: Delta does without it.
- Files that a failed commit left are removed once no commit can still be writing them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from featurestore.stores.delta.log import COMMIT, DeltaLog, file_name
from featurestore.stores.file_system import Files, exact

_COMPACTED = re.compile(r"\d{20}\.(\d{20}\.compacted|checkpoint\.[0-9a-f-]{36})\.json")
_CHECKSUM = re.compile(r"\d{20}\.crc")
_CHECKPOINT = re.compile(r"\d{20}\.checkpoint(\.[0-9a-f.-]+)?\.parquet")
_LEFT_BEHIND = re.compile(r"\..*\.tmp")
_DIGITS = 20
# Milliseconds that a commit may take at most.
_LONGEST_COMMIT = 60_000
# How Spark and the file system report a file that others change or remove while it is read.
_UNREADABLE = (OSError, PySparkException, Py4JJavaError)
_ATTEMPTS = 5
# A Parquet file ends with the length of its footer in 4 bytes, and 4 bytes that name the format.
_PARQUET_END = 8
# So many bytes of a checkpoint's end, its footer and the filling before it, tell whether it changed.
_COMPARED_END = 1 << 18


@dataclass(frozen=True)
class LogCleaner:
    """Removes the statistics of files that are not ``live`` from a log, in the partitions with these values.

    ``until``: the version that ``live`` is of, or an older one; what was committed since is left alone. ``barrier``:
    milliseconds since 1970; of what commits left behind when they failed, only what is older is removed.
    """

    spark: SparkSession
    log: DeltaLog
    live: Set[str]
    partition: Mapping[str, str]
    until: int
    barrier: int

    @property
    def files(self) -> Files:
        return self.log.files

    def clean(self) -> int:
        """Return how many files of the log were changed or removed.

        Safe to repeat, and while others read, write and clean. Re-raises the error of Spark or of the file system for a
        file that cannot be read, or that others keep changing.
        """
        changed = 0
        checkpoints = []
        for name, modified in self.files.files_in(self.log.folder):
            path = f"{self.log.folder}/{name}"
            if name[:_DIGITS].isdigit() and int(name[:_DIGITS]) > self.until:
                continue
            if COMMIT.fullmatch(name) or _COMPACTED.fullmatch(name):
                changed += self._retried(path, self._clean_text)
            elif _CHECKSUM.fullmatch(name):
                changed += self._retried(path, self._remove_checksum)
            elif _CHECKPOINT.fullmatch(name):
                checkpoints.append(path)
            elif _LEFT_BEHIND.fullmatch(name) and modified < self.barrier - _LONGEST_COMMIT:
                self.files.delete(path)
                changed += 1
        sidecars = f"{self.log.folder}/_sidecars"
        checkpoints += [f"{sidecars}/{name}" for name, _ in self.files.files_in(sidecars) if name.endswith(".parquet")]
        return changed + sum(self._retried(path, self._clean_checkpoint) for path in checkpoints)

    def _retried(self, path: str, clean: Callable[[str], int]) -> int:
        """Clean a file that another erasure may clean, or a writer remove, at the same time."""
        again = Retrying(
            retry=retry_if_exception_type(_UNREADABLE),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            stop=stop_after_attempt(_ATTEMPTS),
            reraise=True,
        )
        return again(self._unless_gone, path, clean)

    def _unless_gone(self, path: str, clean: Callable[[str], int]) -> int:
        try:
            return clean(path)
        except _UNREADABLE:
            if self.files.exists(path):
                raise
            return 0

    def _clean_text(self, path: str) -> int:
        text = self.files.read_text(path)
        cleaned = "\n".join(self._cleaned(line) for line in text.split("\n"))
        if cleaned == text:
            return 0
        self.files.replace_text(path, text, cleaned)
        return 1

    def _cleaned(self, line: str) -> str:
        """The action without statistics of values, in as many bytes as before."""
        if '"stats"' not in line:
            return line
        action = json.loads(line)
        gone = [action[kind] for kind in ("add", "remove") if kind in action and self._is_gone(action[kind])]
        if not [file for file in gone if _strip(file)]:
            return line
        short = json.dumps(action, ensure_ascii=False, separators=(",", ":"))
        return short + " " * (len(line.encode()) - len(short.encode()))

    def _is_gone(self, file: dict[str, Any]) -> bool:
        values = file.get("partitionValues") or {}
        in_partition = all(values.get(name) == value for name, value in self.partition.items())
        return in_partition and file_name(file["path"]) not in self.live

    def _remove_checksum(self, path: str) -> int:
        """Remove a version's checksum if it lists statistics of files that are gone."""
        checksum = json.loads(self.files.read_text(path))
        if not any(self._is_gone(file) and _strip(file) for file in checksum.get("allFiles") or []):
            return 0
        self.files.delete(path)
        return 1

    def _clean_checkpoint(self, path: str) -> int:
        as_read = self.files.read_end(path, _COMPARED_END)
        actions = self.spark.read.parquet(exact(path))
        if "add" not in actions.columns:
            return 0
        gone = self._gone_with_values(actions)
        if actions.where(gone).isEmpty():
            return 0
        cleaned = actions.withColumn("add", F.when(gone, _without_values(actions)).otherwise(F.col("add")))
        # In the log's folder: readers of a log ignore names that they do not know.
        new = f"{self.log.folder}/.cleaned-{uuid4().hex}"
        try:
            # As Delta writes it, so that it is never longer than it was.
            cleaned.coalesce(1).write.option("compression", "snappy").parquet(new)
            [written] = [name for name, _ in self.files.files_in(new) if name.endswith(".parquet") and name[0] != "."]
            self._lengthen(f"{new}/{written}", f"{new}/lengthened", self.files.length(path))
            if self.files.read_end(path, _COMPARED_END) != as_read:
                raise OSError(f"{path} was changed meanwhile")
            self.files.replace(f"{new}/lengthened", path)
        finally:
            self.files.delete(new)
        return 1

    def _lengthen(self, source: str, target: str, length: int) -> None:
        """Copy a Parquet file and fill it up to a length, before the footer, where nothing points to.

        The filling is random, so that no two copies are the same.
        """
        end, now = self.files.read_end(source, _PARQUET_END), self.files.length(source)
        before_footer = now - _PARQUET_END - int.from_bytes(end[:4], "little")
        filling = max(0, length - now)
        self.files.copy_with(source, target, before_footer, uuid4().hex.encode().ljust(filling)[:filling])

    def _gone_with_values(self, actions: DataFrame) -> Column:
        name = F.element_at(F.split("add.path", "/"), -1)
        gone = F.col("add").isNotNull() & ~name.isin([*self.live])
        for column, value in self.partition.items():
            gone = gone & F.coalesce(F.col("add.partitionValues")[column] == F.lit(value), F.lit(False))
        fields = actions.select("add.*").columns
        has_values = F.lit(False)
        if "stats" in fields:
            has_values = has_values | F.coalesce(F.col("add.stats").contains("minValues"), F.lit(False))
        for field in _value_fields(actions):
            has_values = has_values | F.col(f"add.stats_parsed.{field.name}").isNotNull()
        return gone & has_values


def _strip(file: dict[str, Any]) -> bool:
    """Reduce a file's statistics to its number of rows; return whether there was more."""
    statistics = json.loads(file.get("stats") or "{}")
    if not statistics.keys() - {"numRecords"}:
        return False
    file["stats"] = json.dumps({"numRecords": statistics["numRecords"]} if "numRecords" in statistics else {})
    return True


def _value_fields(actions: DataFrame) -> list[T.StructField]:
    """The fields of the parsed statistics that hold values of columns."""
    add = actions.schema["add"].dataType
    assert isinstance(add, T.StructType)
    if "stats_parsed" not in add.names:
        return []
    parsed = add["stats_parsed"].dataType
    assert isinstance(parsed, T.StructType)
    return [field for field in parsed if field.name in ("minValues", "maxValues", "nullCount")]


def _without_values(actions: DataFrame) -> Column:
    add = F.col("add")
    if "stats" in actions.select("add.*").columns:
        rows = F.get_json_object("add.stats", "$.numRecords").cast("long").alias("numRecords")
        add = add.withField("stats", F.to_json(F.struct(rows)))
    for field in _value_fields(actions):
        add = add.withField(f"stats_parsed.{field.name}", F.lit(None).cast(field.dataType))
    return add
