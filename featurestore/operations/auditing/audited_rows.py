"""The rows of a training set as the audit counts and samples them, by Spark or without it; the results are the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.columnar.ranks import one_array
from featurestore.columnar.rows.fingerprint import row_hashes
from featurestore.columnar.spine_checks import not_an_instant
from featurestore.columnar.training_sets import leakage
from featurestore.columnar.training_sets.saved_columns import read_instants, taken
from featurestore.frames.as_of.spine import instant_column, with_instants
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import row_hash
from featurestore.frames.training_sets.leakage import (
    ROWS_SEED,
    comparable_values,
    doubled,
    hashed,
    overview,
    sampled,
)
from featurestore.late_spark import DataFrame, F
from featurestore.operations.context import Scope
from featurestore.operations.reading.request import ResolvedLookup
from featurestore.operations.saved_sets.saved_rows import words_of
from featurestore.stores.training_sets.local_rows import LocalRows
from featurestore.stores.training_sets.manifests import PART, Manifest

# The column of the rows' instants in ``to_join_again``.
AT = "__at"
# Sets with more bytes of files are audited by Spark.
_MOST_BYTES = 1 << 30


class AuditedRows(ABC):
    """The rows of a set with its manifest's columns."""

    def __init__(self, manifest: Manifest, zone: str | None) -> None:
        self.manifest = manifest
        self.zone = zone

    @property
    @abstractmethod
    def words(self) -> Mapping[str, str]:
        """Every column with the word for its Spark type."""

    @abstractmethod
    def overview(self) -> Mapping[str, Any]:
        """The counts of ``frames.training_sets.leakage.overview``."""

    @abstractmethod
    def doubled(self, example: Sequence[str]) -> Mapping[str, int]:
        """The counts of ``frames.training_sets.leakage.doubled``."""

    @abstractmethod
    def compared(self, label: str, by_feature: Mapping[str, ResolvedLookup], size: int, total: int) -> pa.Table:
        """A sample as numbers, of rows with a label: each feature, the label, hashes of each lookup's keys and of rows.

        The columns are named by ``value_name`` and ``keys_name``, and ``rows``.
        """

    @abstractmethod
    def to_join_again(self, lookups: Sequence[ResolvedLookup], size: int, total: int) -> pa.Table:
        """About ``size`` rows of the newest part: its keys, its instants ``AT``, and a hash of each lookup's values.

        Only the newest part was built from the manifest's table versions. ``total``: the rows of all parts. The hashes
        are named by ``saved_name``.
        """

    @property
    def _newest_rows(self) -> int:
        return self.manifest.all_parts[-1].row_count


def value_name(name: str) -> str:
    return f"value {name}"


def keys_name(lookup: ResolvedLookup) -> str:
    return f"keys {list(lookup.keys.values())}"


def saved_name(index: int) -> str:
    return f"__saved_{index}"


def audited_rows(scope: Scope, manifest: Manifest) -> AuditedRows:
    """The rows of a version, published or not: without Spark if this process can read them and they are not many."""
    local = scope.training_sets.read_locally(manifest)
    zone = scope.settings.timestamp_zone
    words = None if local is None else words_of(local.schema)
    if local is not None and words is not None and sum(file.bytes for file in local.files) <= _MOST_BYTES:
        return LocalAuditedRows(manifest, zone, local, words)
    return SparkAuditedRows(manifest, zone, scope.training_sets.read_with_part(manifest))


class SparkAuditedRows(AuditedRows):
    """The rows by Spark. Without the column ``PART``, all rows are of the newest part."""

    def __init__(self, manifest: Manifest, zone: str | None, rows: DataFrame) -> None:
        super().__init__(manifest, zone)
        self._rows = rows

    @cached_property
    def words(self) -> Mapping[str, str]:
        return {field.name: field.dataType.simpleString() for field in self._rows.schema}

    def overview(self) -> Mapping[str, Any]:
        manifest, instants = self.manifest, instant_column(self._rows)
        timed = with_instants(self._rows, manifest.timestamp_column, self.zone, instants)
        counted = overview(
            timed, instants, manifest.event_timestamp_columns, manifest.feature_columns, manifest.label
        ).collect()
        return counted[0].asDict()

    def doubled(self, example: Sequence[str]) -> Mapping[str, int]:
        return doubled(self._rows, example, self.manifest.spine_columns).collect()[0].asDict()

    def compared(self, label: str, by_feature: Mapping[str, ResolvedLookup], size: int, total: int) -> pa.Table:
        spine = self.manifest.spine_columns
        labelled = comparable_values(self._rows, label).isNotNull()
        sample = sampled(self._rows, spine, size, total).where(labelled)
        entities = {keys_name(lookup): hashed(list(lookup.keys.values())) for lookup in by_feature.values()}
        return sample.select(
            *(comparable_values(sample, name).alias(value_name(name)) for name in dict.fromkeys((label, *by_feature))),
            *(keys.alias(name) for name, keys in entities.items()),
            hashed(spine).alias("rows"),
        ).toArrow()

    def to_join_again(self, lookups: Sequence[ResolvedLookup], size: int, total: int) -> pa.Table:
        manifest, newest = self.manifest, self._rows
        if PART in newest.columns:
            newest, total = newest.where(F.col(PART) == F.lit(len(manifest.all_parts) - 1)), self._newest_rows
        rows = sampled(newest, manifest.spine_columns, size, total)
        timed = with_instants(rows, manifest.timestamp_column, self.zone, AT)
        contents = (row_hash([column(lookup.outputs[name]) for name in lookup.features]) for lookup in lookups)
        saved = [content.alias(saved_name(index)) for index, content in enumerate(contents)]
        return timed.select(*(column(name) for name in manifest.key_columns), F.col(AT), *saved).toArrow()


class LocalAuditedRows(AuditedRows):
    """The rows without Spark, from the set's files, a few columns at a time."""

    def __init__(self, manifest: Manifest, zone: str | None, rows: LocalRows, words: Mapping[str, str]) -> None:
        super().__init__(manifest, zone)
        self._rows = rows
        self._words = words

    @property
    def words(self) -> Mapping[str, str]:
        return self._words

    def overview(self) -> Mapping[str, Any]:
        manifest, instants = self.manifest, self._instants
        label = None if manifest.label is None else self._column(manifest.label)
        counts: dict[str, Any] = {
            "rows": len(instants),
            "unlabelled": len(instants) if label is None else label.null_count,
            "one_label": None if label is None else leakage.is_one_value(label),
        }
        for index, name in enumerate(manifest.event_timestamp_columns):
            event = self._column(name)
            counts[f"unmatched_{index}"] = event.null_count
            counts[f"newer_{index}"], counts[f"seconds_{index}"] = leakage.ahead(event, instants)
        for index, name in enumerate(manifest.feature_columns):
            counts[f"missing_{index}"] = self._column(name).null_count
        return counts

    def doubled(self, example: Sequence[str]) -> Mapping[str, int]:
        return leakage.doubled(self._columns(example), self._columns(self.manifest.spine_columns))

    def compared(self, label: str, by_feature: Mapping[str, ResolvedLookup], size: int, total: int) -> pa.Table:
        chosen = leakage.sampled(self._columns(self.manifest.spine_columns), size, total)
        labels = leakage.comparable_values(taken(self._column(label), chosen))
        chosen = chosen[labels.is_valid().to_numpy(zero_copy_only=False)]
        spine = [taken(part, chosen) for part in self._columns(self.manifest.spine_columns)]
        entities = {keys_name(lookup): tuple(lookup.keys.values()) for lookup in by_feature.values()}
        columns = {
            value_name(name): leakage.comparable_values(taken(self._column(name), chosen))
            for name in dict.fromkeys((label, *by_feature))
        }
        columns |= {
            name: row_hashes([taken(part, chosen) for part in self._columns(keys)], ROWS_SEED)
            for name, keys in entities.items()
        }
        return pa.table(columns | {"rows": row_hashes(spine, ROWS_SEED)})

    def to_join_again(self, lookups: Sequence[ResolvedLookup], size: int, total: int) -> pa.Table:
        manifest, newest = self.manifest, self._newest
        spine = self._columns(manifest.spine_columns)
        if newest is not None:
            spine, total = [taken(part, newest) for part in spine], self._newest_rows
        chosen = leakage.sampled(spine, size, total)
        chosen = chosen if newest is None else newest[chosen]
        columns = {name: taken(self._column(name), chosen) for name in manifest.key_columns}
        columns[AT] = taken(self._instants, chosen)
        for index, lookup in enumerate(lookups):
            values = [taken(self._column(lookup.outputs[name]), chosen) for name in lookup.features]
            columns[saved_name(index)] = pa.array(row_hashes(values))
        return pa.table(columns)

    @cached_property
    def _instants(self) -> Any:
        name = self.manifest.timestamp_column
        instants = read_instants(self._column(name), self.zone)
        if instants is None:
            raise not_an_instant(name, self.words[name])
        return instants

    @property
    def _newest(self) -> NDArray[np.int64] | None:
        """The positions of the rows of the newest part; None if there is but one."""
        if not self.manifest.parts:
            return None
        number = pa.scalar(len(self.manifest.parts) - 1, pa.int32())
        return np.flatnonzero(one_array(pc.equal(self._column(PART), number)).to_numpy(zero_copy_only=False))

    def _column(self, name: str) -> Any:
        return self._rows.read_all([name]).column(0)

    def _columns(self, names: Sequence[str]) -> list[Any]:
        columns: list[Any] = self._rows.read_all(names).columns
        return columns
