"""The rows of a saved training set as loading needs them, by Spark or without it; the results are the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.columnar.spark_names import spark_name
from featurestore.columnar.spine_checks import not_an_instant
from featurestore.columnar.training_sets.saved_columns import Counts, Mask, in_order, is_equal, read_instants, taken
from featurestore.columnar.training_sets.set_profile import CountedRows, SetProfile
from featurestore.columnar.training_sets.splits import PARTS, SPLIT
from featurestore.errors import NotFoundError
from featurestore.frames.as_of.spine import instant_name, with_instants
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import row_hash
from featurestore.frames.training_sets.memory_size import length_columns, lengths, longest
from featurestore.frames.training_sets.profile import profile_rows
from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.late_spark import Column, DataFrame, F, StructType, T
from featurestore.operations.context import Context
from featurestore.stores.arrow import is_scalar
from featurestore.stores.delta.delta_log import LogFile
from featurestore.stores.training_sets.local_rows import LocalRows, RowFiles
from featurestore.stores.training_sets.manifests import Manifest

# Columns of a file that are counted together.
_COLUMNS_AT_ONCE = 16
# Lists of other elements become whatever Spark and pandas make of them.
_LISTS = ("array<float>", "array<double>", "array<string>")


class SavedRows(ABC):
    """The rows of a version, or those of one part of its split. ``zone``: the time zone of naive timestamps."""

    def __init__(self, manifest: Manifest, split: str | None, zone: str | None) -> None:
        self.manifest = manifest
        self.split = split
        self.zone = zone

    @property
    @abstractmethod
    def all_words(self) -> dict[str, str]:
        """Every column of the rows, with the word for its Spark type, in the order of the table."""

    @abstractmethod
    def counted(self, measured: Sequence[str]) -> Counts:
        """What one pass over the rows finds: ``missing`` of the features, ``texts`` and ``longest`` of ``measured``."""

    @abstractmethod
    def in_order(self) -> Iterator[tuple[str, pa.ChunkedArray]]:
        """The columns to load and ``instants``, ordered by time, then by a hash of the whole row."""

    @abstractmethod
    def profile(self) -> SetProfile:
        """What a report shows of the rows; without an event timestamp column (``events``) its features have no ages."""

    @property
    def part_column(self) -> str | None:
        """The column of the parts; None for a set that is not split."""
        return SPLIT if SPLIT in self.manifest.columns else None

    @property
    def events(self) -> list[str]:
        """The event timestamp columns that the rows have: none if ``with_timestamps`` was off."""
        return [name for name in self.manifest.event_timestamp_columns if name in self.all_words]

    @property
    def words(self) -> dict[str, str]:
        """The columns to load, with their types: keys, timestamp, label, features, the spine's other columns."""
        manifest = self.manifest
        label = [] if manifest.label is None else [manifest.label]
        names = dict.fromkeys((*manifest.spine_columns, *label, *manifest.feature_columns))
        return {name: self.all_words[name] for name in names}

    @property
    def features(self) -> dict[str, str]:
        return {name: self.all_words[name] for name in self.manifest.feature_columns}

    @property
    def instants(self) -> str:
        """The name of the column of the rows' times as instants."""
        return instant_name(self.all_words)

    @property
    def other_columns(self) -> list[str]:
        manifest = self.manifest
        apart = {manifest.timestamp_column, manifest.label, *manifest.key_columns}
        return [name for name in manifest.spine_columns if name not in apart]


def saved_rows(context: Context, manifest: Manifest, split: str | None) -> SavedRows:
    """The rows without Spark if this process reaches the files and knows their types, else by Spark.

    Raises NotFoundError for a part that the set does not have.
    """
    check_part(manifest, split)
    zone = context.settings.timestamp_zone
    local = context.training_sets.read_locally(manifest)
    words = None if local is None else words_of(local.schema)
    if local is not None and words is not None:
        return LocalSavedRows(manifest, split, zone, local, words)
    return SparkSavedRows(manifest, split, zone, context.training_sets.read(manifest))


def check_part(manifest: Manifest, split: str | None) -> None:
    """Raise NotFoundError unless the set has this part; None stands for all rows."""
    if split is not None and (SPLIT not in manifest.columns or split not in PARTS):
        parts = [*PARTS] if manifest.split else []
        raise NotFoundError(
            f"training set {manifest.name!r} has no part {split!r}; possible: "
            f"{parts or 'none, because it is not split'}"
        )


def is_inside(split: str | None) -> Column:
    """The condition of the rows of a part."""
    return F.lit(True) if split is None else F.col(SPLIT) == F.lit(split)


def words_of(schema: pa.Schema) -> dict[str, str] | None:
    """The word for each column's Spark type; None if a type is not known well enough to read it without Spark."""
    try:
        words = {field.name: spark_name(field.type) for field in schema}
    except UndecidedError:
        return None
    return words if all(map(_is_known, words.values())) else None


def known_words(schema: StructType) -> dict[str, str] | None:
    """The same for a schema of Spark; None also if a column has metadata, which Arrow would lose."""
    words = {field.name: field.dataType.simpleString() for field in schema}
    is_plain = not any(field.metadata or isinstance(field.dataType, T.UserDefinedType) for field in schema)
    return words if is_plain and all(map(_is_known, words.values())) else None


def _is_known(word: str) -> bool:
    # Columns of other types are read by Spark.
    return is_scalar(word) or word in _LISTS


class SparkSavedRows(SavedRows):
    """The rows by Spark."""

    def __init__(self, manifest: Manifest, split: str | None, zone: str | None, rows: DataFrame) -> None:
        super().__init__(manifest, split, zone)
        self._rows = rows

    @cached_property
    def all_words(self) -> dict[str, str]:
        return {field.name: field.dataType.simpleString() for field in self._rows.schema}

    @property
    def _timed(self) -> DataFrame:
        return with_instants(self._rows, self.manifest.timestamp_column, self.zone, self.instants)

    def counted(self, measured: Sequence[str]) -> Counts:
        inside, features = is_inside(self.split), self.manifest.feature_columns
        time = F.when(inside, F.unix_micros(column(self.instants)))
        missing = [
            F.count_if(inside & column(name).isNull()).alias(f"missing_{index}") for index, name in enumerate(features)
        ]
        figures = [F.count_if(inside).alias("rows"), F.min(time).alias("low"), F.max(time).alias("high")]
        aggregates = length_columns({name: self.all_words[name] for name in measured}, inside)
        row = self._timed.agg(*figures, *missing, *aggregates).collect()[0].asDict()
        nulls = {name: row[f"missing_{index}"] for index, name in enumerate(features)}
        return Counts(row["rows"], row["low"], row["high"], nulls, lengths(row), longest(row))

    def profile(self) -> SetProfile:
        manifest, rows = self.manifest, self._timed.where(is_inside(self.split))
        return profile_rows(
            rows, self.instants, manifest.feature_columns, self.events, manifest.label, self.part_column
        )

    def in_order(self) -> Iterator[tuple[str, pa.ChunkedArray]]:
        every = [column(name) for name in self._rows.columns]
        ordered = self._timed.where(is_inside(self.split)).orderBy(column(self.instants), row_hash(every))
        table = ordered.select(*(column(name) for name in (*self.words, self.instants))).toArrow()
        return zip(table.column_names, table.columns, strict=True)


class LocalSavedRows(SavedRows):
    """The rows without Spark, from the set's files."""

    def __init__(
        self, manifest: Manifest, split: str | None, zone: str | None, rows: LocalRows, words: dict[str, str]
    ) -> None:
        super().__init__(manifest, split, zone)
        self._rows = rows
        self._words = words

    @property
    def all_words(self) -> dict[str, str]:
        return self._words

    def counted(self, measured: Sequence[str]) -> Counts:
        counts = Counts()
        names = list(dict.fromkeys((*self.manifest.feature_columns, *measured)))
        for name in names:
            counts.begin(name, self._rows.schema.field(name).type)
        for file in self._rows.files:
            piece = self._rows.read(file, self._deciding)
            inside = self._inside(piece)
            counts.add_times(self._instants(piece), inside)
            for name, values in self._columns(file, names):
                counts.add_column(name, values, inside)
        return counts

    def profile(self) -> SetProfile:
        manifest, features = self.manifest, self.manifest.feature_columns
        counted = CountedRows(features, self.events)
        part, label = self.part_column, manifest.label
        names = dict.fromkeys(name for name in (*self._deciding, part, label, *self.events) if name is not None)
        for file in self._rows.files:
            piece = self._rows.read(file, list(names))
            inside = pa.array(self._inside(piece))
            piece = piece.filter(inside)
            counted.add(
                self._instants(piece),
                None if part is None else piece.column(part),
                None if label is None else piece.column(label),
                {name: piece.column(name) for name in self.events},
            )
            for name, values in self._columns(file, features):
                counted.add_feature(name, values.filter(inside))
        return counted.profile()

    def in_order(self) -> Iterator[tuple[str, pa.ChunkedArray]]:
        rows = self._rows.read_all(list(self.all_words))
        instants = self._instants(rows)
        positions = in_order(rows.columns, instants, self._inside(rows))
        for name in self.words:
            yield name, taken(rows.column(name), positions)
        yield self.instants, pa.chunked_array([taken(instants, positions)])

    def row_files(self, names: Sequence[str]) -> RowFiles:
        """The files of all rows with these columns."""
        return self._rows.row_files(names)

    def _columns(self, file: LogFile, names: Sequence[str]) -> Iterator[tuple[str, pa.ChunkedArray]]:
        """A file's columns, of which a few are in memory at once."""
        for first in range(0, len(names), _COLUMNS_AT_ONCE):
            columns = self._rows.read(file, names[first : first + _COLUMNS_AT_ONCE])
            yield from zip(columns.column_names, columns.columns, strict=True)

    @property
    def _deciding(self) -> list[str]:
        """The columns that say which rows are requested, and their times."""
        return [self.manifest.timestamp_column, *([] if self.split is None else [SPLIT])]

    def _inside(self, rows: pa.Table) -> Mask:
        return np.ones(len(rows), bool) if self.split is None else is_equal(rows.column(SPLIT), self.split)

    def _instants(self, rows: pa.Table) -> Any:
        name = self.manifest.timestamp_column
        instants = read_instants(rows.column(name), self.zone)
        if instants is None:
            raise not_an_instant(name, self.all_words[name])
        return instants
