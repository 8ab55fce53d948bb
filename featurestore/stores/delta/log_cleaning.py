"""Remove column statistics of deleted files from a Delta log.

Delta's log keeps the least and greatest values of each data file for as long as it keeps its commits: in commits,
compacted commits, checkpoints, their sidecars, and version checksums. Reads use them to skip files. Without the
statistics of files that are not in the newest version, only reads of old versions become slower. Invariants:

- Only statistics change, and only those of files that are not live and lie in the given partitions. The number of rows
  stays. Every action, version, batch and metric stays.
- Versions after ``until`` stay unchanged.
- A commit or checkpoint keeps its length in bytes, because a reader that has listed the log reads files by length. A
  commit is padded with spaces; a checkpoint, which is Parquet, is padded before its footer.
- A file is replaced only if it has not changed since it was read, so that values which another erasure removed do not
  come back. Otherwise it is read and cleaned again, a few times; then the error is raised.
- A file that no longer exists needs no cleaning, because a newer one replaced it.
- A checksum that lists statistics is removed; Delta works without it.
- Files that a failed commit left are removed once no commit can still be writing them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from featurestore.late_spark import Column, DataFrame, F, SparkSession, T, py4j_errors, spark_errors
from featurestore.stores.delta.log import COMMIT, DeltaLog, file_name
from featurestore.stores.file_system import Files, exact, replace_text

_COMPACTED = re.compile(r"\d{20}\.(\d{20}\.compacted|checkpoint\.[0-9a-f-]{36})\.json")
_CHECKSUM = re.compile(r"\d{20}\.crc")
_CHECKPOINT = re.compile(r"\d{20}\.checkpoint(\.[0-9a-f.-]+)?\.parquet")
_LEFT_BEHIND = re.compile(r"\..*\.tmp")
_DIGITS = 20
# The longest time that a commit may take, in milliseconds.
_LONGEST_COMMIT = 60_000
_ATTEMPTS = 5
# A Parquet file ends with 4 bytes for the length of its footer, and 4 bytes that name the format.
_PARQUET_END = 8
# The bytes at a checkpoint's end (its footer and the padding before it) that are compared to detect a change.
_COMPARED_END = 1 << 18


def _unreadable() -> tuple[type[Exception], ...]:
    """Errors of Spark and the file system for a file that others change or remove while it is read."""
    return (OSError, spark_errors.PySparkException, py4j_errors.Py4JJavaError)


@dataclass(frozen=True)
class LogCleaner:
    """Removes the statistics of files that are not ``live`` from a log, in the partitions with these values.

    ``until``: the version to which ``live`` belongs, or an older one; later commits stay unchanged. ``barrier``:
    milliseconds since 1970; files that failed commits left behind are removed only if they are older.
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
        """Clean the log, and return the number of its files that were changed or removed.

        It is safe to repeat this, and to run it while others read, write and clean. Re-raises the error of Spark or of
        the file system for a file that cannot be read, or that others keep changing.
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
        """Clean a file that another erasure may clean, or a writer may remove, at the same time."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

        again = Retrying(
            retry=retry_if_exception_type(_unreadable()),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            stop=stop_after_attempt(_ATTEMPTS),
            reraise=True,
        )
        return again(self._unless_gone, path, clean)

    def _unless_gone(self, path: str, clean: Callable[[str], int]) -> int:
        try:
            return clean(path)
        except _unreadable():
            if self.files.exists(path):
                raise
            return 0

    def _clean_text(self, path: str) -> int:
        text = self.files.read_text(path)
        cleaned = "\n".join(self._cleaned(line) for line in text.split("\n"))
        if cleaned == text:
            return 0
        replace_text(self.files, path, text, cleaned)
        return 1

    def _cleaned(self, line: str) -> str:
        """The action without statistics of values, padded to the same number of bytes."""
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
        """Remove a version's checksum if it lists statistics of files that are not live."""
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
        # This is in the log's folder, because readers of a log ignore unknown names.
        new = f"{self.log.folder}/.cleaned-{uuid4().hex}"
        try:
            # Delta writes checkpoints with snappy, so the new file is never longer than the old one.
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
        """Copy a Parquet file and pad it to a length, before the footer, where no offset points.

        The padding is random, so that no two copies are equal.
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
    """Reduce a file's statistics to its number of rows; return whether this removed any."""
    statistics = json.loads(file.get("stats") or "{}")
    if not statistics.keys() - {"numRecords"}:
        return False
    file["stats"] = json.dumps({"numRecords": statistics["numRecords"]} if "numRecords" in statistics else {})
    return True


def _value_fields(actions: DataFrame) -> list[T.StructField]:
    """The fields of the parsed statistics that contain values of columns."""
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
