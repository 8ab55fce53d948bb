"""Missing feature values in a training set: kept, their rows dropped, or filled.

Rows of Spark are in ``frames/training_sets/missing.py``; types are in Spark's words, such as ``bigint``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.fixed_width import as_numpy
from featurestore.columnar.ranks import one_array
from featurestore.columnar.spark_names import spark_name
from featurestore.definitions.names import is_unicode
from featurestore.definitions.training_set import Missing
from featurestore.definitions.values.bounds import in_type, nearest_float
from featurestore.definitions.values.types import WHOLE_RANGES
from featurestore.errors import InvalidArgumentError, nearest

_WHOLE = {"int": "int", "bigint": "long"}
_FRACTIONS = ("float", "double")


def check_missing(missing: Missing, features: Mapping[str, str]) -> None:
    """Raise InvalidArgumentError if ``missing`` names an unknown feature, or a value that its type cannot hold.

    ``features``: each feature with its type.
    """
    if isinstance(missing, str) and missing in ("keep", "drop"):
        return
    if isinstance(missing, Mapping):
        unknown = [name for name in missing if name not in features]
        if unknown:
            raise InvalidArgumentError(
                f"missing= names {unknown}, which are not features of the set. {nearest(str(unknown[0]), features)}"
            )
    for name, value in fills(missing, features).items():
        filling(name, value, features[name])


def fills(missing: Missing, features: Mapping[str, str]) -> dict[str, Any]:
    """By feature, the value that fills it, as the user gave it; the features whose nulls stay are not there."""
    return dict(missing) if isinstance(missing, Mapping) else dict.fromkeys(features, missing)


def filling(name: str, value: Any, word: str) -> bool | int | float | str:
    """The value as the feature's type holds it: a whole number exactly, a fraction to the nearest.

    Raises InvalidArgumentError.
    """
    try:
        return _in_type(value, word)
    except ValueError as error:
        raise InvalidArgumentError(
            f"missing={value!r} does not fit feature {name!r} ({word}): {error}; give 'keep', "
            f"'drop', or a mapping of features to values, as in {{{name!r}: ...}}"
        ) from error


def _in_type(value: Any, word: str) -> bool | int | float | str:
    if word == "boolean":
        return _boolean(value)
    if word == "string":
        return _text(value)
    if word not in _WHOLE and word not in _FRACTIONS:
        raise ValueError("values of this type cannot be filled")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number is needed")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("it is not a finite number")
    return _whole(value, _WHOLE[word]) if word in _WHOLE else _fraction(value, word)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("a boolean is needed")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text is needed")
    if not is_unicode(value):
        raise ValueError("it holds half a surrogate pair, which is not text")
    return value


def _whole(value: int | float, word: str) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("a whole number is needed")
    least, greatest = WHOLE_RANGES[word]
    if not least <= value <= greatest:
        raise ValueError(f"the type holds {least} to {greatest}")
    return int(value)


def _fraction(value: int | float, word: str) -> float:
    """A float is rounded to the type, as its literal is; if that gives infinity, it is beyond the type's range."""
    if isinstance(value, float):
        try:
            return value if word == "double" else nearest_float(value)
        except OverflowError as error:
            raise ValueError(f"it is beyond the range of {word}") from error
    return float(in_type(value, word))


def with_missing(rows: pa.Table, features: Sequence[str], missing: Missing) -> pa.Table:
    """The rows as they are (``keep``), those in which no feature is null (``drop``), or with nulls filled by values."""
    if missing == "keep" or not features:
        return rows
    if missing == "drop":
        complete = np.logical_and.reduce([as_numpy(one_array(rows.column(name)).is_valid()) for name in features])
        return rows if complete.all() else rows.filter(pa.array(complete))
    words = {name: spark_name(rows.schema.field(name).type) for name in features}
    for name, value in fills(missing, words).items():
        column = rows.column(name)
        filled = pc.fill_null(column, pa.scalar(filling(name, value, words[name]), column.type))
        rows = rows.set_column(rows.column_names.index(name), name, filled)
    return rows
