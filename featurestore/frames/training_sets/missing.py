"""Missing feature values in a training set: kept, their rows dropped, or filled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from operator import and_
from typing import Any

from featurestore.definitions.names import is_unicode
from featurestore.definitions.training_set import Missing
from featurestore.definitions.values.bounds import in_type, nearest_float
from featurestore.definitions.values.types import WHOLE_RANGES
from featurestore.errors import InvalidArgumentError, nearest
from featurestore.frames.columns import column
from featurestore.late_spark import Column, DataFrame, F, T


@cache
def _whole_types() -> dict[type[T.DataType], str]:
    return {T.IntegerType: "int", T.LongType: "long"}


@cache
def _fraction_types() -> dict[type[T.DataType], str]:
    return {T.FloatType: "float", T.DoubleType: "double"}


def check_missing(missing: Missing, features: Mapping[str, T.DataType]) -> None:
    """Raise InvalidArgumentError if ``missing`` names an unknown feature, or a value that its type cannot hold."""
    if isinstance(missing, str) and missing in ("keep", "drop"):
        return
    if isinstance(missing, Mapping):
        unknown = [name for name in missing if name not in features]
        if unknown:
            raise InvalidArgumentError(
                f"missing= names {unknown}, which are not features of the set. {nearest(str(unknown[0]), features)}"
            )
    for name, value in _fills(missing, features).items():
        _filling(name, value, features[name])


def _filling(name: str, value: Any, kind: T.DataType) -> bool | int | float | str:
    try:
        return _in_type(value, kind)
    except ValueError as error:
        raise InvalidArgumentError(
            f"missing={value!r} does not fit feature {name!r} ({kind.simpleString()}): {error}; give 'keep', "
            f"'drop', or a mapping of features to values, as in {{{name!r}: ...}}"
        ) from error


def _in_type(value: Any, kind: T.DataType) -> bool | int | float | str:
    """The value as the type holds it: a whole number exactly, a fraction to the nearest; raises ValueError."""
    if isinstance(kind, T.BooleanType):
        return _boolean(value)
    if isinstance(kind, T.StringType):
        return _text(value)
    word = _whole_types().get(type(kind)) or _fraction_types().get(type(kind))
    if word is None:
        raise ValueError("values of this type cannot be filled")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number is needed")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("it is not a finite number")
    return _whole(value, word) if word in WHOLE_RANGES else _fraction(value, word)


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


def _fills(missing: Missing, features: Mapping[str, T.DataType]) -> dict[str, Any]:
    return dict(missing) if isinstance(missing, Mapping) else dict.fromkeys(features, missing)


def with_missing(rows: DataFrame, features: Sequence[str], missing: Missing) -> DataFrame:
    """The rows as they are (``keep``), those in which no feature is null (``drop``), or with nulls filled by values."""
    if missing == "keep" or not features:
        return rows
    if missing == "drop":
        return rows.where(reduce(and_, (column(name).isNotNull() for name in features)))
    fills = _fills(missing, {name: rows.schema[name].dataType for name in features})
    return rows.withColumns({name: _filled(name, value, rows.schema[name].dataType) for name, value in fills.items()})


def _filled(name: str, value: Any, kind: T.DataType) -> Column:
    return F.coalesce(column(name), F.lit(_filling(name, value, kind)).cast(kind))
