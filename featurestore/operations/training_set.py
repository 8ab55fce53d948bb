"""A saved training set in the hand: its rows, as pandas, as files."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from featurestore.definitions.time_window import from_micros
from featurestore.errors import NotFoundError
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import row_hash
from featurestore.frames.splits import SPLIT
from featurestore.operations.context import Context
from featurestore.stores.exports import write_files
from featurestore.stores.training_sets import Manifest


@dataclass(frozen=True)
class TrainingFrame:
    """A training set in memory; all parts have the same rows in the same order (time, then a hash of the row).

    ``X``: the features, missing as missing. ``y``: the label, or none. ``entity_ids``: the spine's key columns.
    ``timestamps``: UTC. ``spine``: the spine's other columns. ``metadata``: as ``TrainingSet.metadata`` says.
    """

    X: pd.DataFrame
    y: pd.Series[Any] | None
    feature_names: list[str]
    entity_ids: pd.DataFrame
    timestamps: pd.Series[Any]
    spine: pd.DataFrame
    metadata: dict[str, Any]


@dataclass(frozen=True)
class TrainingSet:
    """One published version of a training set."""

    context: Context = field(repr=False)
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> int:
        return self.manifest.version

    @property
    def rows(self) -> DataFrame:
        """The spine's columns, the features, ``<group>__event_timestamp`` a lookup, and ``split`` where one was made."""
        return self.context.training_sets.read(self.context.spark, self.manifest)

    def part(self, split: str | None) -> DataFrame:
        """The rows of one part (train, validation, test), or all; raises NotFoundError where there is no such part."""
        if split is None:
            return self.rows
        if SPLIT not in self.manifest.columns or split not in ("train", "validation", "test"):
            parts = ["train", "validation", "test"] if self.manifest.split else []
            raise NotFoundError(
                f"training set {self.name!r} has no part {split!r}; possible: {parts or 'none, it is not split'}"
            )
        return self.rows.where(F.col(SPLIT) == split)

    def metadata(self, split: str | None = None) -> dict[str, Any]:
        """Counted over the rows that there are, so after sampling.

        ``total_samples``, ``feature_count``, ``time_range`` (earliest and latest timestamp, UTC; none without rows),
        ``missing_values`` (feature -> rows in which it is null).
        """
        features = self.manifest.feature_columns
        time = F.unix_micros(column(self.manifest.timestamp_column).cast("timestamp"))
        counts = [F.count_if(column(name).isNull()).alias(f"missing_{index}") for index, name in enumerate(features)]
        row = (
            self.part(split)
            .agg(F.count(F.lit(1)).alias("n"), F.min(time).alias("low"), F.max(time).alias("high"), *counts)
            .collect()[0]
        )
        time_range: tuple[datetime, datetime] | None = None
        if row["low"] is not None:
            time_range = (from_micros(row["low"]), from_micros(row["high"]))
        return {
            "total_samples": row["n"],
            "feature_count": len(features),
            "time_range": time_range,
            "missing_values": {name: row[f"missing_{index}"] for index, name in enumerate(features)},
        }

    def to_pandas(self, split: str | None = None) -> TrainingFrame:
        """Load the rows, or one part of them, into this process's memory."""
        manifest = self.manifest
        rows = self.part(split)
        order = [column(manifest.timestamp_column), row_hash([column(name) for name in rows.columns])]
        frame = rows.orderBy(*order).toArrow().to_pandas(timestamp_as_object=False)
        for name in frame.columns:
            if isinstance(frame[name].dtype, pd.DatetimeTZDtype):
                frame[name] = frame[name].dt.tz_convert("UTC")
        apart = {manifest.timestamp_column, manifest.label, *manifest.key_columns}
        return TrainingFrame(
            X=frame[list(manifest.feature_columns)],
            y=None if manifest.label is None else frame[manifest.label],
            feature_names=list(manifest.feature_columns),
            entity_ids=frame[list(manifest.key_columns)],
            timestamps=frame[manifest.timestamp_column],
            spine=frame[[name for name in manifest.spine_columns if name not in apart]],
            metadata=self.metadata(split),
        )

    def export(self, path: str, format: str = "parquet") -> str:
        """Write all rows as Parquet files, and the manifest, to a new folder; visible only when whole. Raises ExportError."""
        return write_files(self.rows, path, format, self.manifest.model_dump_json(indent=2))
