"""The lines of a fine-tuning set, made but not yet written: by Spark or in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pickle import PicklingError
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.errors import TransformationError
from featurestore.frames.text.chat import LINES, ChatFormat, chat_lines, local_chat_lines, missing_inputs
from featurestore.late_spark import DataFrame, F
from featurestore.operations.context import Scope
from featurestore.stores.files.exports import Staging
from featurestore.stores.training_sets.fine_tuning_sets import FineTuningFile, write_local_shards, write_shards

_SAMPLES = 5


class MadeLines(Protocol):
    """A line, or the reason why there is none, of each row; see ``chat_lines``."""

    def counts(self) -> Mapping[tuple[str | None, str | None], int]:
        """The number of rows by part and reason; the reason is None for lines."""

    def missing(self) -> dict[str, int]:
        """By column, the number of lines whose prompt uses it where it is null, the most frequent first."""

    def samples(self) -> tuple[str, ...]:
        """What was found in a few of the rows without messages, in the order of their hashes."""

    def write(self, staging: Staging, shards: int, parts: Mapping[str, int]) -> tuple[FineTuningFile, ...]:
        """Write the shards; see ``write_shards``."""


@dataclass(frozen=True)
class SparkLines:
    """Lines that tasks made, persisted: a user's function may return another text the next time."""

    lines: DataFrame

    @classmethod
    def of(cls, rows: DataFrame, format: ChatFormat, seed: int, split: str | None, stack: ExitStack) -> SparkLines:
        """Raises TransformationError if the executors cannot have the format's function."""
        try:
            lines = chat_lines(rows, format, seed, split).persist()
        except PicklingError as error:
            raise TransformationError(
                f"format_fn cannot be sent to the executors: {error}; let it use its argument and importable names "
                "alone"
            ) from error
        stack.callback(lines.unpersist)
        return cls(lines)

    def counts(self) -> Mapping[tuple[str | None, str | None], int]:
        counted = self.lines.groupBy("part", "reason").count().collect()
        return {(row["part"], row["reason"]): row["count"] for row in counted}

    def missing(self) -> dict[str, int]:
        return {row["name"]: row["count"] for row in missing_inputs(self.lines).collect()}

    def samples(self) -> tuple[str, ...]:
        faulty = self.lines.where(F.col("detail").isNotNull()).orderBy("hash_1", "hash_2", "detail").limit(_SAMPLES)
        return tuple(row["detail"] for row in faulty.select("detail").collect())

    def write(self, staging: Staging, shards: int, parts: Mapping[str, int]) -> tuple[FineTuningFile, ...]:
        return write_shards(staging, self.lines, shards, parts)


@dataclass(frozen=True)
class LocalLines:
    """Lines that this process made."""

    lines: pa.Table

    @classmethod
    def of(cls, scope: Scope, rows: pa.Table, format: ChatFormat, seed: int, split: str | None) -> LocalLines:
        """Raises UndecidedError, before any line is made, for rows of which only Spark knows what a prompt shows."""
        batches, done = [], 0
        for batch in local_chat_lines(rows, format, seed, split):
            batches.append(batch)
            done += batch.num_rows
            scope.progress.rows(done)
        return cls(pa.Table.from_batches(batches, LINES))

    def counts(self) -> Mapping[tuple[str | None, str | None], int]:
        columns = (self.lines.column(name).to_pylist() for name in ("part", "reason"))
        return Counter(zip(*columns, strict=True))

    def missing(self) -> dict[str, int]:
        missing = self.lines.filter(self.lines.column("line").is_valid()).column("missing")
        counts = Counter(pc.list_flatten(missing).to_pylist())
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def samples(self) -> tuple[str, ...]:
        faulty = self.lines.filter(self.lines.column("detail").is_valid())
        order = [(name, "ascending") for name in ("hash_1", "hash_2", "detail")]
        return tuple(faulty.sort_by(order).column("detail").slice(0, _SAMPLES).to_pylist())

    def write(self, staging: Staging, shards: int, parts: Mapping[str, int]) -> tuple[FineTuningFile, ...]:
        return write_local_shards(staging, self.lines, shards, parts)
