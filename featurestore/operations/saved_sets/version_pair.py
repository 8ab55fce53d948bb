"""The rows of two versions of a training set, compared and summarised by Spark or without it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from featurestore.columnar.rows.fingerprint import row_hashes
from featurestore.columnar.training_sets.version_comparison import (
    ColumnSummary,
    Compared,
    ValuesOfRows,
    compared,
    summarised,
    value_hashes,
)
from featurestore.frames.training_sets import version_comparison as by_spark
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Context
from featurestore.operations.saved_sets.saved_rows import words_of
from featurestore.stores.training_sets.local_rows import LocalRows
from featurestore.stores.training_sets.manifests import Manifest

# Sets of more bytes are compared by Spark.
_MOST_BYTES = 1 << 30

Summaries = list[ColumnSummary]


class VersionPair(Protocol):
    """Two versions, a and b."""

    @property
    def words(self) -> tuple[dict[str, str], dict[str, str]]:
        """Of each version, its columns with the words for their Spark types."""

    def compared(self, spine: Sequence[str], values: Sequence[str]) -> Compared:
        """Compare the rows, which the columns ``spine`` identify, by their ``values``; both have these columns."""

    def summaries(self, values: Sequence[str], top: int) -> tuple[Summaries, Summaries]:
        """Of each version, a summary of each of these columns, with its ``top`` most frequent values."""


def version_pair(context: Context, a: Manifest, b: Manifest) -> VersionPair:
    """The versions without Spark if this process can read both and they are not very large, else by Spark."""
    sides = [_local(context, manifest) for manifest in (a, b)]
    if sides[0] is not None and sides[1] is not None:
        return LocalPair(sides[0], sides[1])
    return SparkPair(context.training_sets.read(a), context.training_sets.read(b))


def _local(context: Context, manifest: Manifest) -> LocalVersion | None:
    rows = context.training_sets.read_locally(manifest)
    words = None if rows is None else words_of(rows.schema)
    if rows is None or words is None or sum(file.bytes for file in rows.files) > _MOST_BYTES:
        return None
    return LocalVersion(rows, words)


@dataclass(frozen=True)
class LocalVersion:
    """A version's rows, whose columns are read one by one, and the words for their types."""

    rows: LocalRows
    words: dict[str, str]

    def hashed(self, spine: Sequence[str], values: Sequence[str], number: int) -> ValuesOfRows:
        """``number`` tells the versions apart if they have no column of the spine in common."""
        count = sum(file.rows for file in self.rows.files)
        columns = self.rows.read_all(spine).columns if spine else []
        seeds = (1, 2) if spine else (number, number)
        of_values = [value_hashes(self.rows.read_all([name]).column(name)) for name in values]
        return ValuesOfRows(
            np.stack([row_hashes(columns, seed, count) for seed in seeds]),
            np.stack(of_values) if of_values else np.zeros((0, count), np.int64),
        )

    def summaries(self, values: Sequence[str], top: int) -> Summaries:
        return [summarised(self.rows.read_all([name]).column(name), top) for name in values]


@dataclass(frozen=True)
class LocalPair:
    """Both versions without Spark."""

    a: LocalVersion
    b: LocalVersion

    @property
    def words(self) -> tuple[dict[str, str], dict[str, str]]:
        return self.a.words, self.b.words

    def compared(self, spine: Sequence[str], values: Sequence[str]) -> Compared:
        return compared(self.a.hashed(spine, values, 1), self.b.hashed(spine, values, 2))

    def summaries(self, values: Sequence[str], top: int) -> tuple[Summaries, Summaries]:
        return self.a.summaries(values, top), self.b.summaries(values, top)


@dataclass(frozen=True)
class SparkPair:
    """Both versions by Spark: one pass for the rows, and two over each version for its distributions."""

    a: DataFrame
    b: DataFrame

    @property
    def words(self) -> tuple[dict[str, str], dict[str, str]]:
        a, b = ({field.name: field.dataType.simpleString() for field in rows.schema} for rows in (self.a, self.b))
        return a, b

    def compared(self, spine: Sequence[str], values: Sequence[str]) -> Compared:
        counts = by_spark.compared(self.a, self.b, spine, values).collect()[0].asDict()
        changed = tuple(counts.pop(f"changed_{index}") for index in range(len(values)))
        return Compared(**counts, changed_values=changed)

    def summaries(self, values: Sequence[str], top: int) -> tuple[Summaries, Summaries]:
        return _summaries(self.a, values, top), _summaries(self.b, values, top)


def _summaries(rows: DataFrame, values: Sequence[str], top: int) -> Summaries:
    counts = by_spark.summarised(rows, values).collect()[0]
    categories = [name for name in values if by_spark.is_category(rows, name)]
    frequent: dict[str, list[tuple[str, int]]] = defaultdict(list)
    if categories:
        for row in by_spark.most_frequent(rows, categories, top).collect():
            frequent[categories[row["feature"]]].append((row["value"], row["n"]))
    return [
        ColumnSummary(
            missing=counts[f"missing_{index}"],
            mean=counts[f"mean_{index}"],
            stddev=counts[f"stddev_{index}"],
            top=tuple(frequent[name]),
        )
        for index, name in enumerate(values)
    ]
