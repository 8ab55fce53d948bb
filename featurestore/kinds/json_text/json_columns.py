"""Spark columns as JSON text, by the rules of ``json_values``: nulls stay, moments are ISO 8601, JSON text must be JSON."""

from __future__ import annotations

from collections.abc import Iterator

from featurestore.kinds import reasons
from featurestore.kinds.json_text.iso_text import with_iso_times
from featurestore.kinds.late_spark import Column, F, T
from featurestore.kinds.number_columns import is_not_finite

_EVERY_FIELD = {"ignoreNullFields": "false"}


def is_json(text: Column) -> Column:
    """Whether a text is one JSON value and nothing else; null for null.

    Spark's reader stops at the end of the first value. So the text is read as the first of two elements, whose second
    cannot stand in the text: it is the text's hash.
    """
    mark = F.md5(text)
    array = F.concat(F.lit("["), text, F.lit(',"'), mark, F.lit('"]'))
    second = F.try_variant_get(F.try_parse_json(array), "$[1]", "string")
    return F.when(text.isNotNull(), F.coalesce(second == mark, F.lit(False)))


def read_json(value: Column, found: T.DataType) -> tuple[Column, Column] | None:
    """The column as JSON text and the reason why a value has none; None for a type that JSON does not have."""
    nothing = F.lit(None).cast("string")
    if isinstance(found, T.StringType):
        return value, F.when(~is_json(value), F.lit(reasons.not_readable("json")))
    if not _has_json(found):
        return None
    text, infinite = json_of(value, found), _not_finite(value, found)
    fault = nothing if infinite is None else F.when(_or_false(infinite), F.lit(reasons.JSON_NOT_FINITE))
    if any(isinstance(part, T.MapType) for part in _parts(found)):
        # A map from Arrow may hold a key twice.
        fault = F.coalesce(fault, F.when(~is_json(text), F.lit(reasons.not_readable("json"))))
    return text, fault


def json_of(value: Column, kind: T.DataType) -> Column:
    """The value as JSON: every field, moments in ISO 8601; null for null."""
    within = with_iso_times(value, kind)
    if not _is_scalar(kind):
        return F.to_json(within, _EVERY_FIELD)
    # Spark writes arrays and objects, so that a number or truth value is one of an array.
    return F.when(value.isNotNull(), F.regexp_replace(F.to_json(F.array(within)), r"^\[|\]$", ""))


def _is_scalar(kind: T.DataType) -> bool:
    return isinstance(kind, T.NumericType | T.BooleanType)


def _parts(kind: T.DataType) -> Iterator[T.DataType]:
    """The type and all that it is made of."""
    yield kind
    if isinstance(kind, T.ArrayType):
        yield from _parts(kind.elementType)
    if isinstance(kind, T.MapType):
        yield from _parts(kind.keyType)
        yield from _parts(kind.valueType)
    if isinstance(kind, T.StructType):
        for field in kind:
            yield from _parts(field.dataType)


def _has_json(kind: T.DataType) -> bool:
    if not (_is_scalar(kind) or isinstance(kind, T.StructType | T.MapType | T.ArrayType)):
        return False
    return all(_is_known(part) for part in _parts(kind))


def _is_known(part: T.DataType) -> bool:
    if isinstance(part, T.MapType):
        return isinstance(part.keyType, T.StringType)
    if isinstance(part, T.StructType):
        # Spark finds a field by its name, ignoring case.
        return len({name.lower() for name in part.names}) == len(part.names)
    is_time = isinstance(part, T.DateType | T.TimestampType | T.TimestampNTZType)
    return is_time or _is_scalar(part) or isinstance(part, T.ArrayType | T.StringType | T.NullType)


def _not_finite(value: Column, kind: T.DataType) -> Column | None:
    """Whether a number within is not finite; None where none can be."""
    if isinstance(kind, T.FloatType | T.DoubleType):
        return is_not_finite(value)
    if not any(isinstance(part, T.FloatType | T.DoubleType) for part in _parts(kind)):
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
