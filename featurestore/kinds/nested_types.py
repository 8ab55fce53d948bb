"""The types that a type of Spark is made of."""

from __future__ import annotations

from collections.abc import Iterator

from featurestore.late_spark import T


def types_within(kind: T.DataType) -> Iterator[T.DataType]:
    """The type, and all types within it: of elements, of keys and values, and of fields."""
    yield kind
    if isinstance(kind, T.ArrayType):
        yield from types_within(kind.elementType)
    elif isinstance(kind, T.MapType):
        yield from types_within(kind.keyType)
        yield from types_within(kind.valueType)
    elif isinstance(kind, T.StructType):
        for field in kind:
            yield from types_within(field.dataType)
