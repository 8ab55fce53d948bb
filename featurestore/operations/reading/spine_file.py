"""Read a spine from Parquet: without Spark if it is small and on this machine, else by Spark."""

from __future__ import annotations

import pyarrow as pa

from featurestore.errors import NotFoundError
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Context
from featurestore.operations.reading.request import Features, resolve
from featurestore.stores.files.rows import read_parquet
from featurestore.stores.files.small_files import read_small_parquet
from featurestore.stores.layout import local_folder


def spine_of_file(
    context: Context, path: str, features: Features = (), *, by_spark: bool = False
) -> pa.Table | DataFrame:
    """The rows of a Parquet file or folder, unchanged: an Arrow table if Spark is not needed to read them.

    ``by_spark``: a DataFrame in any case, for what Spark writes afterwards. A mistake in ``features``, or a path at
    which nothing is, is found before Spark starts. Raises NotFoundError, InvalidNameError, SchemaError.
    """
    if features:
        resolve(context, features)
    place = local_folder(path)
    if context.is_native and place is not None:
        if not place.exists():
            raise NotFoundError(f"{path}: there is no such file or folder")
        rows = None if by_spark else read_small_parquet(place, context.settings.local_batch_rows)
        if rows is not None:
            return rows
    return read_parquet(context.named_files, path)
