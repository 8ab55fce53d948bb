"""Load a saved training set into this process's memory, as pandas or as one numeric matrix, within a memory limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from featurestore.definitions.values.time_window import from_micros
from featurestore.definitions.values.types import FeatureType
from featurestore.display.description import size
from featurestore.errors import InvalidArgumentError, ResultTooLargeError
from featurestore.frames.as_of.spine import instant_column, with_instants
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import row_hash
from featurestore.frames.training_sets.encodings import Encoding, encode_column, fit
from featurestore.frames.training_sets.memory_size import (
    bytes_in_numpy,
    bytes_in_pandas,
    length_columns,
    lengths,
    longest,
)
from featurestore.frames.training_sets.pandas_columns import pandas_column, spread_out, vector_columns
from featurestore.late_pandas import pd
from featurestore.late_spark import Column, DataFrame, F, T
from featurestore.stores.training_sets.manifests import Manifest

_GIB = 1024**3
# A laptop can hold this much beside Spark; during loading, memory holds the data about twice.
DEFAULT_MAX_BYTES = 2 * _GIB


@dataclass(frozen=True)
class TrainingFrame:
    """A training set in memory; all parts have the same rows in the same order (time, then a hash of the row).

    - ``X``: the features; missing values stay missing. ``feature_names``: its columns. docs/encodings.md has the types.
    - ``y``: the label, or None.
    - ``entity_ids``: the spine's key columns.
    - ``timestamps``: UTC.
    - ``spine``: the spine's other columns.
    - ``metadata``: see ``TrainingSet.metadata``.
    """

    X: pd.DataFrame
    y: pd.Series[Any] | None
    feature_names: list[str]
    entity_ids: pd.DataFrame
    timestamps: pd.Series[Any]
    spine: pd.DataFrame
    metadata: dict[str, Any]


@dataclass(frozen=True)
class TrainingMatrix:
    """A TrainingFrame with features and label as float64: missing is NaN, and ``encoding`` decodes the values.

    ``unseen``: by feature (or label), the number of rows with a value that ``encoding``, fitted on other rows, does not
    know: these values are NaN, and a vector that is too long loses its end.
    """

    X: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64] | None
    columns: list[str]
    encoding: Encoding
    unseen: dict[str, int]
    entity_ids: pd.DataFrame
    timestamps: pd.Series[Any]
    spine: pd.DataFrame
    metadata: dict[str, Any]


@dataclass(frozen=True)
class SavedRows:
    """The rows of a version.

    ``inside`` is the condition that selects the requested rows, ``zone`` the time zone of naive timestamps.
    """

    rows: DataFrame
    manifest: Manifest
    inside: Column
    zone: str | None

    @property
    def instants(self) -> str:
        return instant_column(self.rows)

    @property
    def timed(self) -> DataFrame:
        return with_instants(self.rows, self.manifest.timestamp_column, self.zone, self.instants)

    @property
    def types(self) -> dict[str, T.DataType]:
        """The columns to load, with their types: keys, timestamp, label, features, the spine's other columns."""
        manifest = self.manifest
        label = [] if manifest.label is None else [manifest.label]
        names = dict.fromkeys((*manifest.spine_columns, *label, *manifest.feature_columns))
        return {name: self.rows.schema[name].dataType for name in names}

    @property
    def words(self) -> dict[str, str]:
        return {name: kind.simpleString() for name, kind in self.types.items()}

    @property
    def features(self) -> dict[str, str]:
        return {name: self.words[name] for name in self.manifest.feature_columns}

    @property
    def other_columns(self) -> list[str]:
        manifest = self.manifest
        apart = {manifest.timestamp_column, manifest.label, *manifest.key_columns}
        return [name for name in manifest.spine_columns if name not in apart]


@dataclass(frozen=True)
class Measured:
    """The results of one pass over the rows: their metadata, the bytes of texts, the lengths of vectors."""

    metadata: dict[str, Any]
    texts: dict[str, int]
    widths: dict[str, int]

    @property
    def rows(self) -> int:
        return int(self.metadata["total_samples"])


def measure(saved: SavedRows) -> Measured:
    """Measure the requested rows in one Spark job."""
    manifest, inside = saved.manifest, saved.inside
    time = F.when(inside, F.unix_micros(column(saved.instants)))
    missing = [
        F.count_if(inside & column(name).isNull()).alias(f"missing_{index}")
        for index, name in enumerate(manifest.feature_columns)
    ]
    dims = {name: kind.dims for name, kind in feature_types(manifest) if kind.dims is not None}
    unknown = {name: kind for name, kind in saved.types.items() if name not in dims}
    figures = [F.count_if(inside).alias("rows"), F.min(time).alias("low"), F.max(time).alias("high")]
    counts = saved.timed.agg(*figures, *missing, *length_columns(unknown, inside)).collect()[0].asDict()
    return Measured(_metadata(manifest, counts), lengths(counts), longest(counts) | dims)


def _metadata(manifest: Manifest, counts: dict[str, Any]) -> dict[str, Any]:
    time_range: tuple[datetime, datetime] | None = None
    if counts["low"] is not None:
        time_range = (from_micros(counts["low"]), from_micros(counts["high"]))
    return {
        "total_samples": counts["rows"],
        "feature_count": len(manifest.feature_columns),
        "time_range": time_range,
        "missing_values": {name: counts[f"missing_{index}"] for index, name in enumerate(manifest.feature_columns)},
    }


def feature_types(manifest: Manifest) -> Iterator[tuple[str, FeatureType]]:
    """Each feature column with its type, as defined when the set was built."""
    groups = {snapshot.name: snapshot.group for snapshot in manifest.groups}
    columns = iter(manifest.feature_columns)
    for lookup in manifest.features:
        for feature in lookup.features:
            yield next(columns), groups[lookup.group].feature(feature).feature_type


def load_frame(saved: SavedRows, expand_vectors: bool, max_bytes: int | None) -> TrainingFrame:
    """Load the rows as pandas.

    Raises ResultTooLargeError before anything is loaded, and InvalidArgumentError if names of expanded vectors collide.
    """
    measured = measure(saved)
    spread = vector_columns(saved.features, measured.widths) if expand_vectors else {}
    needed = bytes_in_pandas(saved.types, measured.rows, measured.texts, measured.widths, spread)
    _check_size(saved.manifest, "to_pandas()", measured.rows, needed, max_bytes)
    loaded = _load(saved, measured)
    parts: dict[str, pd.Series[Any]] = {}
    for name in saved.manifest.feature_columns:
        values = loaded[name]
        parts |= spread_out(values, saved.features[name], spread[name]) if name in spread else {name: values}
    return TrainingFrame(
        X=_frame(parts, measured.rows),
        y=_label(saved, loaded),
        feature_names=list(parts),
        entity_ids=loaded[list(saved.manifest.key_columns)],
        timestamps=loaded[saved.instants].rename(saved.manifest.timestamp_column),
        spine=loaded[saved.other_columns],
        metadata=measured.metadata,
    )


def load_matrix(saved: SavedRows, encoding: Encoding | None, max_bytes: int | None) -> TrainingMatrix:
    """Load the features as one matrix, by ``encoding`` or, if it is None, by one fitted on these rows.

    Raises ResultTooLargeError before anything is loaded.
    """
    measured = measure(saved)
    spread = vector_columns(saved.features, measured.widths)
    columns = sum(len(spread.get(name, [name])) for name in saved.features) + 1
    needed = bytes_in_pandas(saved.types, measured.rows, measured.texts, measured.widths)
    needed += bytes_in_numpy(columns, measured.rows)
    _check_size(saved.manifest, "to_numpy()", measured.rows, needed, max_bytes)
    loaded = _load(saved, measured)
    features, label = loaded[list(saved.features)], _label(saved, loaded)
    if encoding is None:
        encoding = fit(features, saved.words, measured.widths, label)
    encoded = encoding.encode(features)
    y, unknown = None, 0
    if label is not None and encoding.label is not None:
        block, unknown = encode_column(encoding.label, label)
        y = block[:, 0]
    return TrainingMatrix(
        X=encoded.X,
        y=y,
        columns=encoding.columns,
        encoding=encoding,
        unseen=encoded.unseen | ({str(saved.manifest.label): unknown} if unknown else {}),
        entity_ids=loaded[list(saved.manifest.key_columns)],
        timestamps=loaded[saved.instants].rename(saved.manifest.timestamp_column),
        spine=loaded[saved.other_columns],
        metadata=measured.metadata,
    )


def _load(saved: SavedRows, measured: Measured) -> pd.DataFrame:
    """The rows with their instants, ordered by time, then by a hash of the whole row."""
    every = [column(name) for name in saved.rows.columns]
    in_order = saved.timed.where(saved.inside).orderBy(column(saved.instants), row_hash(every))
    table = in_order.select(*(column(name) for name in (*saved.types, saved.instants))).toArrow()
    words = saved.words | {saved.instants: "timestamp"}
    columns = {
        name: pandas_column(table.column(name), words[name], measured.widths.get(name, 0))
        for name in table.column_names
    }
    return _frame(columns, measured.rows)


def _frame(columns: dict[str, pd.Series[Any]], rows: int) -> pd.DataFrame:
    return pd.DataFrame(columns, index=pd.RangeIndex(rows), columns=pd.Index(list(columns), dtype=object))


def _label(saved: SavedRows, loaded: pd.DataFrame) -> pd.Series[Any] | None:
    return None if saved.manifest.label is None else loaded[saved.manifest.label]


def _check_size(manifest: Manifest, call: str, rows: int, needed: int, max_bytes: int | None) -> None:
    if max_bytes is not None and max_bytes < 0:
        raise InvalidArgumentError(f"max_bytes is {max_bytes}; give a number of bytes, or None for no limit")
    if max_bytes is not None and needed > max_bytes:
        raise ResultTooLargeError(
            f"training set {manifest.name!r} v{manifest.version}: {call} would take about {size(needed)} for {rows:,} "
            f"rows, more than max_bytes={max_bytes} ({size(max_bytes)}); give a larger max_bytes (None: no limit) "
            "if there is enough memory, load one part (split=), build it with sample_size=, or export() it and read "
            "the files in pieces"
        )
