"""Which columns of a spine can go through Spark's tasks of Python and come back unchanged."""

from __future__ import annotations

from featurestore.errors import SpineError
from featurestore.kinds.nested_types import types_within
from featurestore.late_spark import StructType, T


def tasks_obstacle(schema: StructType) -> str | None:
    """Why a spine of this schema cannot go through Spark's tasks of Python; None if it can."""
    for field in schema:
        if not all(isinstance(kind, _carried()) for kind in types_within(field.dataType)):
            return f"the spine's column {field.name!r} is {field.dataType.simpleString()}, which Python's tasks lack"
    return None


def _carried() -> tuple[type[T.DataType], ...]:
    """The types that go to Python's tasks and back unchanged, if those within them do."""
    return (
        *(T.NumericType, T.BooleanType, T.StringType, T.BinaryType, T.DateType, T.TimestampType, T.TimestampNTZType),
        *(T.DayTimeIntervalType, T.NullType, T.ArrayType, T.MapType, T.StructType),
    )


def check_tasks(schema: StructType, computed: str) -> None:
    """Raise SpineError if a spine of this schema cannot go through them; ``computed`` says what is computed there."""
    obstacle = tasks_obstacle(schema)
    if obstacle is not None:
        raise SpineError(f"{obstacle}, and {computed} are computed there; cast it, or leave it out")
