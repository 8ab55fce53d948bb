"""What a Delta table's log tells of values: the least and greatest of each file, taken out where the file is gone.

Delta's log keeps these for every file that ever was, for as long as it keeps its commits, and in checkpoints and version
checksums beside. They are there for reads to skip files; of a file that is not in the newest version nothing needs them
but faster reads of old versions. The commits themselves stay: versions, batches and metrics are told as before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from featurestore.stores.file_system import Files, exact

_COMMIT = re.compile(r"(\d{20})\.json")
_COMMITS = re.compile(r"\d{20}\.(\d{20}\.compacted|checkpoint\.[0-9a-f-]{36})\.json")
_CHECKSUM = re.compile(r"\d{20}\.crc")
_CHECKPOINT = re.compile(r"\d{20}\.checkpoint(\.[0-9a-f.-]+)?\.parquet")
_LEFT_BEHIND = re.compile(r"\..*\.tmp")
_DIGITS = 20
_LONGEST_COMMIT = 60_000
_TELLING = ("add", "remove")
# Of a file that others change or remove while it is read, Spark tells in either of its ways.
_UNREADABLE = (OSError, PySparkException, Py4JJavaError)
_ATTEMPTS = 5
# A Parquet file ends with the length of its footer, in 4 bytes, and 4 of its name. Of a checkpoint's end, the footer and
# what is put in before it, so much is compared.
_PARQUET_END, _FOOTER = 8, 1 << 18


@dataclass(frozen=True)
class LogCommit:
    """A commit as its file tells it: its version, when the file was written (milliseconds since 1970), and its facts."""

    version: int
    written: int
    info: Mapping[str, Any]

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the writer gave as user metadata, where that is a JSON object."""
        try:
            told = json.loads(self.info.get("userMetadata") or "null")
        except json.JSONDecodeError:
            return {}
        return told if isinstance(told, dict) else {}

    def metric(self, name: str) -> int:
        return int((self.info.get("operationMetrics") or {}).get(name, 0))


@dataclass(frozen=True)
class DeltaLog:
    """The files of a table's log, read without a query."""

    files: Files
    folder: str

    def newest_version(self) -> int:
        """The version of the newest commit."""
        return max(version for version, _ in self._commits())

    def commits(self) -> Iterator[LogCommit]:
        """All that are there, newest first."""
        for version, written in sorted(self._commits(), reverse=True):
            text = self.files.read_text(f"{self.folder}/{version:020}.json")
            infos = (json.loads(line) for line in text.split("\n") if '"commitInfo"' in line)
            info: Mapping[str, Any] = next((action["commitInfo"] for action in infos if "commitInfo" in action), {})
            yield LogCommit(version, written, info)

    def _commits(self) -> list[tuple[int, int]]:
        found = ((_COMMIT.fullmatch(name), written) for name, written in self.files.files_in(self.folder))
        return [(int(match[1]), written) for match, written in found if match]


@dataclass(frozen=True)
class LogCleaner:
    """Takes the statistics of files that are not ``live`` out of a log, in the partitions with these values.

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
        """Gives how many files of the log were changed or removed.

        Safe to repeat, and while others read, write and clean. Raises what Spark or the file system says of a file that
        cannot be read, or that is changed again and again."""
        changed = 0
        checkpoints = []
        for name, modified in self.files.files_in(self.log.folder):
            path = f"{self.log.folder}/{name}"
            if name[:_DIGITS].isdigit() and int(name[:_DIGITS]) > self.until:
                continue
            if _COMMIT.fullmatch(name) or _COMMITS.fullmatch(name):
                changed += self._among_others(path, self._clean_text)
            elif _CHECKSUM.fullmatch(name):
                changed += self._among_others(path, self._remove_telling)
            elif _CHECKPOINT.fullmatch(name):
                checkpoints.append(path)
            elif _LEFT_BEHIND.fullmatch(name) and modified < self.barrier - _LONGEST_COMMIT:
                self.files.delete(path)
                changed += 1
        sidecars = f"{self.log.folder}/_sidecars"
        checkpoints += [f"{sidecars}/{name}" for name, _ in self.files.files_in(sidecars) if name.endswith(".parquet")]
        return changed + sum(self._among_others(path, self._clean_checkpoint) for path in checkpoints)

    def _among_others(self, path: str, clean: Callable[[str], int]) -> int:
        """Clean a file which another erasure may clean meanwhile, or a writer remove, since a newer one took its place."""
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
        """An action without what it tells of values, and as long as before: who has listed the log knows the length."""
        if '"stats"' not in line:
            return line
        action = json.loads(line)
        gone = [action[kind] for kind in _TELLING if kind in action and self._is_gone(action[kind])]
        if not [file for file in gone if _counted(file)]:
            return line
        short = json.dumps(action, ensure_ascii=False, separators=(",", ":"))
        return short + " " * (len(line.encode()) - len(short.encode()))

    def _is_gone(self, file: dict[str, Any]) -> bool:
        values = file.get("partitionValues") or {}
        in_partition = all(values.get(name) == value for name, value in self.partition.items())
        return in_partition and file_name(file["path"]) not in self.live

    def _remove_telling(self, path: str) -> int:
        """A version's checksum may list all of its files with their statistics; Delta does without it."""
        told = json.loads(self.files.read_text(path))
        if not any(self._is_gone(file) and _counted(file) for file in told.get("allFiles") or []):
            return 0
        self.files.delete(path)
        return 1

    def _clean_checkpoint(self, path: str) -> int:
        as_read = self.files.read_end(path, _FOOTER)
        actions = self.spark.read.parquet(exact(path))
        if "add" not in actions.columns:
            return 0
        gone = self._gone_and_telling(actions)
        if actions.where(gone).isEmpty():
            return 0
        cleaned = actions.withColumn("add", F.when(gone, _without_values(actions)).otherwise(F.col("add")))
        # Beside the log, whose readers pass over names that they do not know.
        new = f"{self.log.folder}/.cleaned-{uuid4().hex}"
        try:
            # As Delta writes it, so that it is never longer than it was.
            cleaned.coalesce(1).write.option("compression", "snappy").parquet(new)
            [written] = [name for name, _ in self.files.files_in(new) if name.endswith(".parquet") and name[0] != "."]
            self._lengthen(f"{new}/{written}", f"{new}/lengthened", self.files.length(path))
            # What another erasure cleaned since must not come back.
            if self.files.read_end(path, _FOOTER) != as_read:
                raise OSError(f"{path} was changed meanwhile")
            self.files.replace(f"{new}/lengthened", path)
        finally:
            self.files.delete(new)
        return 1

    def _lengthen(self, source: str, target: str, length: int) -> None:
        """Copy a Parquet file so that it is as long as another: who has listed the log reads its footer by the length.

        What is put in before the footer, where nothing points to, is of this copy alone, and tells it from others.
        """
        end, now = self.files.read_end(source, _PARQUET_END), self.files.length(source)
        before_footer = now - _PARQUET_END - int.from_bytes(end[:4], "little")
        filling = max(0, length - now)
        self.files.copy_with(source, target, before_footer, uuid4().hex.encode().ljust(filling)[:filling])

    def _gone_and_telling(self, actions: DataFrame) -> Column:
        name = F.element_at(F.split("add.path", "/"), -1)
        gone = F.col("add").isNotNull() & ~name.isin([*self.live])
        for column, value in self.partition.items():
            gone = gone & F.coalesce(F.col("add.partitionValues")[column] == F.lit(value), F.lit(False))
        fields = actions.select("add.*").columns
        telling = F.lit(False)
        if "stats" in fields:
            telling = telling | F.coalesce(F.col("add.stats").contains("minValues"), F.lit(False))
        for field in _value_fields(actions):
            telling = telling | F.col(f"add.stats_parsed.{field.name}").isNotNull()
        return gone & telling


def file_name(path: str) -> str:
    return path.rpartition("/")[2]


def _counted(file: dict[str, Any]) -> bool:
    """Leave of a file's statistics the number of its rows; whether there was more."""
    told = json.loads(file.get("stats") or "{}")
    if not told.keys() - {"numRecords"}:
        return False
    file["stats"] = json.dumps({"numRecords": told["numRecords"]} if "numRecords" in told else {})
    return True


def _value_fields(actions: DataFrame) -> list[T.StructField]:
    """The parsed statistics that are of values, not of the file."""
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
