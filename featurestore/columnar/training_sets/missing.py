"""Missing feature values of a table: kept, their rows dropped, or filled, as in ``frames/training_sets/missing.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.fixed_width import as_numpy
from featurestore.columnar.ranks import one_array
from featurestore.definitions.training_set import Missing


def with_missing(rows: pa.Table, features: Sequence[str], missing: Missing) -> pa.Table:
    """The rows as they are (``keep``), those in which no feature is null (``drop``), or with nulls filled by values.

    The values must fit the features' types.
    """
    if missing == "keep" or not features:
        return rows
    if missing == "drop":
        complete = np.logical_and.reduce([as_numpy(one_array(rows.column(name)).is_valid()) for name in features])
        return rows if complete.all() else rows.filter(pa.array(complete))
    fills = dict(missing) if isinstance(missing, Mapping) else dict.fromkeys(features, missing)
    for name, value in fills.items():
        column = rows.column(name)
        filled = pc.fill_null(column, pa.scalar(_in_kind(value, column.type), column.type))
        rows = rows.set_column(rows.column_names.index(name), name, filled)
    return rows


def _in_kind(value: Any, kind: pa.DataType) -> Any:
    if pa.types.is_integer(kind):
        return int(value)
    return float(value) if pa.types.is_floating(kind) else value
