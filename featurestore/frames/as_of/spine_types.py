"""Which types of a user's columns a result can carry along, and which types of a spine a saved set can hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from featurestore.columnar.names import same_to_spark
from featurestore.errors import FeatureStoreError, SpineError
from featurestore.late_spark import T


@cache
def _not_carried() -> tuple[type[T.DataType], ...]:
    # Spark cannot plan a query over the first, and cannot return the others to Python.
    return (T.TimeType, T.CalendarIntervalType, T.YearMonthIntervalType)


@cache
def _saved() -> tuple[type[T.DataType], ...]:
    return (
        *(T.BooleanType, T.NumericType, T.CharType, T.VarcharType, T.BinaryType),
        *(T.DateType, T.TimestampType, T.TimestampNTZType, T.ArrayType, T.UserDefinedType),
    )


def check_carried(
    schema: Iterable[T.StructField], what: str = "spine", error: type[FeatureStoreError] = SpineError
) -> None:
    """Raise ``error`` for columns that cannot be carried along; ``what`` names their frame in the message."""
    for field in schema:
        for kind, _ in _parts(field.dataType):
            if isinstance(kind, _not_carried()):
                raise error(
                    f"{what}: column {field.name!r} is {field.dataType.simpleString()}, which cannot be carried along; "
                    "cast it to text or to a number, or drop it"
                )


def check_saved(schema: T.StructType) -> None:
    """Raise SpineError for columns that a saved set cannot hold, or cannot compare."""
    for field in schema:
        for kind, is_within in _parts(field.dataType):
            advice = _why_not_saved(kind, is_within)
            if advice is not None:
                raise SpineError(
                    f"spine: column {field.name!r} is {field.dataType.simpleString()}, which a saved set cannot hold; "
                    f"{advice}, or drop it"
                )


def _parts(kind: T.DataType, is_within: bool = False) -> Iterator[tuple[T.DataType, bool]]:
    """The type and all types nested in it, each with whether it is nested."""
    yield kind, is_within
    if isinstance(kind, T.UserDefinedType):
        yield from _parts(kind.sqlType(), is_within)
    elif isinstance(kind, T.ArrayType):
        yield from _parts(kind.elementType, True)
    elif isinstance(kind, T.MapType):
        yield from _parts(kind.keyType, True)
        yield from _parts(kind.valueType, True)
    elif isinstance(kind, T.StructType):
        for field in kind:
            yield from _parts(field.dataType, True)


def _why_not_saved(kind: T.DataType, is_within: bool) -> str | None:
    """What to do about a type that a saved set cannot hold; None if it can."""
    if isinstance(kind, T.StringType):
        return None if kind.collation == T.StringType().collation else "cast it to a string without a collation"
    if isinstance(kind, T.StructType):
        if not kind.fields:
            return "give it fields"
        doubled = same_to_spark(kind.names)
        return f"rename its fields {doubled[0]}, which are the same to Spark" if doubled else None
    if isinstance(kind, T.NullType):
        return "give its parts a type with a cast" if is_within else None
    if isinstance(kind, T.MapType):
        return "make it an array of structs with map_entries(), or JSON text with to_json()"
    if isinstance(kind, T.VariantType):
        return "make it JSON text with to_json()"
    return None if isinstance(kind, _saved()) else "cast it to text or to a number"
