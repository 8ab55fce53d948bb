"""Missing feature values in a training set: kept, their rows dropped, or filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.definitions.training_set import Missing
from featurestore.errors import InvalidArgumentError, nearest
from featurestore.frames.columns import column

_WHOLE = (T.IntegerType, T.LongType)
_NUMBERS = (*_WHOLE, T.FloatType, T.DoubleType)


def check_missing(missing: Missing, features: Mapping[str, T.DataType]) -> None:
    """Raise InvalidArgumentError where ``missing`` names no feature, or a value that a feature's type cannot hold."""
    if isinstance(missing, str) and missing in ("keep", "drop"):
        return
    if isinstance(missing, Mapping):
        unknown = [name for name in missing if name not in features]
        if unknown:
            raise InvalidArgumentError(f"missing= names {unknown}, not asked for. {nearest(str(unknown[0]), features)}")
    for name, value in _fills(missing, features).items():
        if not _fits(value, features[name]):
            raise InvalidArgumentError(
                f"missing={value!r} does not fit feature {name!r} ({features[name].simpleString()}); give 'keep', 'drop', or a "
                f"mapping of features to values, as in {{{name!r}: ...}}"
            )


def _fits(value: Any, kind: T.DataType) -> bool:
    if isinstance(kind, T.BooleanType):
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if isinstance(kind, _WHOLE):
        return isinstance(value, int | float) and float(value).is_integer()
    if isinstance(kind, _NUMBERS):
        return isinstance(value, int | float)
    return isinstance(kind, T.StringType) and isinstance(value, str)


def _fills(missing: Missing, features: Mapping[str, T.DataType]) -> dict[str, Any]:
    return dict(missing) if isinstance(missing, Mapping) else dict.fromkeys(features, missing)


def with_missing(rows: DataFrame, features: Sequence[str], missing: Missing) -> DataFrame:
    """The rows as they are (``keep``), those in which no feature is null (``drop``), or with nulls filled by values."""
    if missing == "keep" or not features:
        return rows
    if missing == "drop":
        return rows.where(reduce(lambda one, other: one & other, (column(name).isNotNull() for name in features)))
    fills = _fills(missing, {name: rows.schema[name].dataType for name in features})
    return rows.withColumns(
        {name: F.coalesce(column(name), F.lit(value).cast(rows.schema[name].dataType)) for name, value in fills.items()}
    )
