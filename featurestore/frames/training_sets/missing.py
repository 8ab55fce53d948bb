"""Missing feature values in a training set of Spark: kept, their rows dropped, or filled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_
from typing import Any

from featurestore.columnar.training_sets.missing import filling, fills
from featurestore.definitions.training_set import Missing
from featurestore.frames.columns import column
from featurestore.late_spark import Column, DataFrame, F, T


def with_missing(rows: DataFrame, features: Sequence[str], missing: Missing) -> DataFrame:
    """The rows as they are (``keep``), those in which no feature is null (``drop``), or with nulls filled by values."""
    if missing == "keep" or not features:
        return rows
    if missing == "drop":
        return rows.where(reduce(and_, (column(name).isNotNull() for name in features)))
    kinds = {name: rows.schema[name].dataType for name in features}
    values = fills(missing, {name: kind.simpleString() for name, kind in kinds.items()})
    return rows.withColumns({name: _filled(name, value, kinds[name]) for name, value in values.items()})


def _filled(name: str, value: Any, kind: T.DataType) -> Column:
    return F.coalesce(column(name), F.lit(filling(name, value, kind.simpleString())).cast(kind))
