"""Load a saved training set into this process's memory, as pandas or as one numeric matrix, within a memory limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from featurestore.columnar.training_sets.saved_columns import Counts
from featurestore.definitions.values.time_window import from_micros
from featurestore.definitions.values.types import FeatureType, parse_type
from featurestore.display.description import size
from featurestore.errors import InvalidArgumentError, ResultTooLargeError
from featurestore.frames.training_sets.encodings import Encoding, encode_column, fit
from featurestore.frames.training_sets.memory_size import bytes_in_numpy, bytes_in_pandas
from featurestore.frames.training_sets.pandas_columns import pandas_column, spread_out, vector_columns
from featurestore.late_pandas import pd
from featurestore.operations.saved_sets.saved_rows import SavedRows
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
class Measured:
    """The requested rows: their metadata, the bytes of their texts, the lengths of the vectors of all rows."""

    metadata: dict[str, Any]
    texts: dict[str, int]
    widths: dict[str, int]

    @property
    def rows(self) -> int:
        return int(self.metadata["total_samples"])


def measure(saved: SavedRows) -> Measured:
    """Measure the requested rows in one pass over the set."""
    dims = {name: kind.dims for name, kind in _feature_types(saved.manifest) if kind.dims is not None}
    counted = saved.counted([name for name in saved.words if name not in dims])
    return Measured(_metadata(saved.manifest, counted), counted.texts, counted.longest | dims)


def _metadata(manifest: Manifest, counted: Counts) -> dict[str, Any]:
    time_range: tuple[datetime, datetime] | None = None
    if counted.low is not None and counted.high is not None:
        time_range = (from_micros(counted.low), from_micros(counted.high))
    return {
        "total_samples": counted.rows,
        "feature_count": len(manifest.feature_columns),
        "time_range": time_range,
        "missing_values": {name: counted.missing[name] for name in manifest.feature_columns},
    }


def _feature_types(manifest: Manifest) -> Iterator[tuple[str, FeatureType]]:
    """Each feature column with its type, as defined when the set was built."""
    groups = {snapshot.name: snapshot.group for snapshot in manifest.groups}
    for name, lookup, feature in manifest.looked_up:
        yield name, groups[lookup.group].feature(feature).feature_type
    for name, derived in manifest.derived_columns.items():
        yield name, parse_type(derived.type)


def load_frame(saved: SavedRows, expand_vectors: bool, max_bytes: int | None) -> TrainingFrame:
    """Load the rows as pandas.

    Raises ResultTooLargeError before anything is loaded, and InvalidArgumentError if names of expanded vectors collide.
    """
    measured, features = measure(saved), saved.features
    spread = vector_columns(features, measured.widths) if expand_vectors else {}
    needed = bytes_in_pandas(saved.words, measured.rows, measured.texts, measured.widths, spread)
    _check_size(saved.manifest, "to_pandas()", measured.rows, needed, max_bytes)
    loaded = _load(saved, measured)
    parts: dict[str, pd.Series[Any]] = {}
    for name in saved.manifest.feature_columns:
        values = loaded[name]
        parts |= spread_out(values, features[name], spread[name]) if name in spread else {name: values}
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
    measured, features = measure(saved), saved.features
    spread = vector_columns(features, measured.widths)
    columns = sum(len(spread.get(name, [name])) for name in features) + 1
    needed = bytes_in_pandas(saved.words, measured.rows, measured.texts, measured.widths)
    needed += bytes_in_numpy(columns, measured.rows)
    _check_size(saved.manifest, "to_numpy()", measured.rows, needed, max_bytes)
    loaded = _load(saved, measured)
    values, label = loaded[list(features)], _label(saved, loaded)
    if encoding is None:
        encoding = fit(values, saved.words, measured.widths, label)
    encoded = encoding.encode(values)
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
    words = saved.words | {saved.instants: "timestamp"}
    columns = {
        name: pandas_column(values, words[name], measured.widths.get(name, 0)) for name, values in saved.in_order()
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
            "if there is enough memory, load one part (split=), build it with sample_size=, or read it in pieces, with "
            "to_batches() or from the files of export()"
        )
