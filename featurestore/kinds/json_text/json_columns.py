"""Spark columns as JSON text, as in ``json_values``: nulls stay, timestamps are ISO 8601, text must be valid JSON."""

from __future__ import annotations

from featurestore.kinds import reasons
from featurestore.kinds.json_text.iso_text import with_iso_times
from featurestore.kinds.nested_types import types_within
from featurestore.kinds.number_columns import is_not_finite
from featurestore.late_spark import Column, F, T

_EVERY_FIELD = {"ignoreNullFields": "false"}


def is_json(text: Column) -> Column:
    """Whether a text is one JSON value and nothing else; null for null.

    Spark's parser stops at the end of the first value. So the text is parsed as the first of two elements; the second
    is the text's hash, which the text cannot contain.
    """
    mark = F.md5(text)
    array = F.concat(F.lit("["), text, F.lit(',"'), mark, F.lit('"]'))
    second = F.try_variant_get(F.try_parse_json(array), "$[1]", "string")
    return F.when(text.isNotNull(), F.coalesce(second == mark, F.lit(False)))


def read_json(value: Column, stored: T.DataType) -> tuple[Column, Column] | None:
    """The column as JSON text, and the reason for each value that has none; None for a type that JSON cannot hold."""
    nothing = F.lit(None).cast("string")
    if isinstance(stored, T.StringType):
        return value, F.when(~is_json(value), F.lit(reasons.not_readable("json")))
    if not _has_json(stored):
        return None
    text, infinite = json_of(value, stored), _not_finite(value, stored)
    fault = nothing if infinite is None else F.when(_or_false(infinite), F.lit(reasons.JSON_NOT_FINITE))
    if any(isinstance(part, T.MapType) for part in types_within(stored)):
        # A map from Arrow may contain a key twice.
        fault = F.coalesce(fault, F.when(~is_json(text), F.lit(reasons.not_readable("json"))))
    return text, fault


def json_of(value: Column, kind: T.DataType) -> Column:
    """The value as JSON, with every field, and timestamps in ISO 8601; null for null."""
    within = with_iso_times(value, kind)
    if not _is_scalar(kind):
        return F.to_json(within, _EVERY_FIELD)
    # ``to_json`` accepts only arrays and objects, so a number or boolean is written in an array.
    return F.when(value.isNotNull(), F.regexp_replace(F.to_json(F.array(within)), r"^\[|\]$", ""))


def _is_scalar(kind: T.DataType) -> bool:
    return isinstance(kind, T.NumericType | T.BooleanType)


def _has_json(kind: T.DataType) -> bool:
    if not (_is_scalar(kind) or isinstance(kind, T.StructType | T.MapType | T.ArrayType)):
        return False
    return all(_is_known(part) for part in types_within(kind))


def _is_known(part: T.DataType) -> bool:
    if isinstance(part, T.MapType):
        return isinstance(part.keyType, T.StringType)
    if isinstance(part, T.StructType):
        # Spark ignores case when it looks up a field.
        return len({name.lower() for name in part.names}) == len(part.names)
    is_time = isinstance(part, T.DateType | T.TimestampType | T.TimestampNTZType)
    return is_time or _is_scalar(part) or isinstance(part, T.ArrayType | T.StringType | T.NullType)


def _not_finite(value: Column, kind: T.DataType) -> Column | None:
    """Whether the value contains a number that is not finite; None if its type contains no floating-point number."""
    if isinstance(kind, T.FloatType | T.DoubleType):
        return is_not_finite(value)
    if not any(isinstance(part, T.FloatType | T.DoubleType) for part in types_within(kind)):
        return None
    if isinstance(kind, T.ArrayType):
        return F.exists(value, lambda item: _or_false(_not_finite(item, kind.elementType)))
    if isinstance(kind, T.MapType):
        return F.exists(F.map_values(value), lambda item: _or_false(_not_finite(item, kind.valueType)))
    assert isinstance(kind, T.StructType)
    parts = [_not_finite(value.getField(field.name), field.dataType) for field in kind]
    return F.greatest(*(_or_false(part) for part in parts), F.lit(False), F.lit(False))


def _or_false(condition: Column | None) -> Column:
    return F.lit(False) if condition is None else F.coalesce(condition, F.lit(False))
