"""JSON values as Spark's variants: their kinds, and a member of a JSON line's object."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.kinds import reasons
from featurestore.late_spark import Column, F

NUMBERS = ("BIGINT", "DOUBLE", "DECIMAL")
# Spark's names for the kinds of JSON values, and the Python classes of these values.
PYTHON_NAMES = {
    "BIGINT": "int",
    "DOUBLE": "float",
    "DECIMAL": "float",
    "BOOLEAN": "bool",
    "STRING": "str",
    "OBJECT": "dict",
    "ARRAY": "list",
}


@dataclass(frozen=True)
class JsonMember:
    """A member of a JSON line's object, by columns; null for null and for an absent member, except ``line``.

    ``text``: a string unchanged, any other value as JSON. ``kind``: Spark's name for the kind of the value.
    """

    name: str
    line: Column
    variant: Column
    text: Column
    kind: Column


def member_of(parsed: Column, name: str) -> tuple[Column, Column, Column]:
    """A member of the object that a line holds as a variant: its own variant, its text and its kind."""
    variant = F.try_variant_get(parsed, f"$.{name}", "variant")
    return variant, F.try_variant_get(parsed, f"$.{name}", "string"), json_kind(variant)


def json_kind(variant: Column) -> Column:
    """The kind of a JSON value, without the types of its elements."""
    return F.regexp_extract(F.schema_of_variant(variant), "^[A-Z]+", 0)


def wrong_json_kind(kind: Column, word: str) -> Column:
    """The reason for a JSON value of another kind than the type's."""
    python_class = F.coalesce(*(F.when(kind == spark, F.lit(python)) for spark, python in PYTHON_NAMES.items()))
    return F.concat(F.lit(reasons.wrong_type(word, "")), python_class)


def first_misfit(text: Column, kinds: tuple[str, ...], word: str) -> Column:
    """The reason for the first element of a JSON array that is of another kind; null if all fit."""
    elements = F.try_variant_get(F.try_parse_json(text), "$", "array<variant>")
    others = F.filter(elements, lambda item: ~json_kind(item).isin(*kinds, "VOID"))
    return wrong_json_kind(json_kind(F.get(others, F.lit(0))), word)
