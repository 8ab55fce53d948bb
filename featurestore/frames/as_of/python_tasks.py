"""Which columns of a spine can go through Spark's tasks of Python and come back unchanged."""

from __future__ import annotations

from collections.abc import Iterator

from featurestore.errors import SpineError
from featurestore.late_spark import StructType, T


def tasks_obstacle(schema: StructType) -> str | None:
    """Why a spine of this schema cannot go through Spark's tasks of Python; None if it can."""
    for field in schema:
        if not all(isinstance(kind, _carried()) for kind in _parts(field.dataType)):
            return f"the spine's column {field.name!r} is {field.dataType.simpleString()}, which Python's tasks lack"
    return None


def _carried() -> tuple[type[T.DataType], ...]:
    """The types that go to Python's tasks and back unchanged, besides those that are made of them."""
    return (
        *(T.NumericType, T.BooleanType, T.StringType, T.BinaryType, T.DateType, T.TimestampType, T.TimestampNTZType),
        *(T.DayTimeIntervalType, T.NullType),
    )


def _parts(kind: T.DataType) -> Iterator[T.DataType]:
    if isinstance(kind, T.ArrayType):
        yield from _parts(kind.elementType)
    elif isinstance(kind, T.MapType):
        yield from _parts(kind.keyType)
        yield from _parts(kind.valueType)
    elif isinstance(kind, T.StructType):
        for field in kind:
            yield from _parts(field.dataType)
    else:
        yield kind


def check_tasks(schema: StructType, computed: str) -> None:
    """Raise SpineError if a spine of this schema cannot go through them; ``computed`` says what is computed there."""
    obstacle = tasks_obstacle(schema)
    if obstacle is not None:
        raise SpineError(f"{obstacle}, and {computed} are computed there; cast it, or leave it out")
