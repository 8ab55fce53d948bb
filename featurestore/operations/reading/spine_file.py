"""Read a spine from Parquet: without Spark if it is small and on this machine, else by Spark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from featurestore.errors import NotFoundError, SpineError, nearest
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Context
from featurestore.operations.reading.request import Features
from featurestore.operations.reading.resolved_features import resolve_features
from featurestore.stores.files.rows import read_parquet
from featurestore.stores.files.small_files import parquet_names, read_small_parquet
from featurestore.stores.layout import local_folder


def spine_of_file(
    context: Context, path: str, features: Features = (), columns: Sequence[str | None] = ()
) -> pa.Table | DataFrame:
    """The rows of a Parquet file or folder, unchanged: an Arrow table if Spark is not needed to read them.

    ``columns``: columns that the spine must have, or references of features, or None. A mistake in ``features``, a path
    at which nothing is, and a lacking column are found before Spark starts. Raises NotFoundError, InvalidNameError,
    SchemaError, SpineError.
    """
    if features:
        resolve_features(context, features)
    place = local_folder(path)
    if context.is_native and place is not None:
        if not place.exists():
            raise NotFoundError(f"{path}: there is no such file or folder")
        rows = read_small_parquet(place, context.settings.local_batch_rows)
        if rows is not None:
            return rows
        _check_columns(place, columns)
    return read_parquet(context.named_files, path)


def _check_columns(place: Path, columns: Sequence[str | None]) -> None:
    names = parquet_names(place)
    for name in columns:
        if names is not None and name is not None and ":" not in name and name not in names:
            raise SpineError(f"spine {place}: {name!r} is not one of its columns. {nearest(name, names)}")
