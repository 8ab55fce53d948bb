"""A feature: one typed column of a feature group, with the rules that its values must satisfy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from featurestore.definitions.base import Definition
from featurestore.definitions.names import RESERVED_COLUMNS, Name, is_unicode
from featurestore.definitions.values.bounds import Bound, check_bounds, in_type, number_text
from featurestore.definitions.values.types import NUMERIC_TYPES, WHOLE_RANGES, FeatureType, TypeWord, parse_type
from featurestore.definitions.vector_index import MOST_DIMS_IN_A_GRAPH, VectorIndex

DEFAULT_MODEL_VERSION = "text-embedding-3-small"


class Feature(Definition):
    """``Feature("score", "double", min=0, max=1)``.

    Every written value must satisfy these rules (a null satisfies all but ``not_null``):

    - ``not_null``: the value is not null;
    - ``min``, ``max``: bounds, both included, of a numeric type; whole numbers are exact, however large;
    - ``allowed_values``: the only values of a string, long, int or boolean;
    - ``pattern``: a regular expression (RE2-like subset of Java's) that the whole string matches;
    - ``min_length``, ``max_length``: bounds, both included, on the length of a string or an array.

    Numbers are always finite. An embedding always has exactly its ``dims``; ``model_version`` names the model of values
    that are written without one; ``index`` says how to store it for similarity search (``VectorIndex``).
    """

    positional: ClassVar[tuple[str, ...]] = ("name", "type")

    name: Name
    type: TypeWord
    description: str = ""
    not_null: bool = False
    min: Bound | None = None
    max: Bound | None = None
    allowed_values: tuple[bool | int | str, ...] | None = None
    pattern: str | None = None
    min_length: int | None = Field(default=None, ge=0)
    max_length: int | None = Field(default=None, ge=0)
    model_version: str | None = None
    index: VectorIndex | None = None
    tags: tuple[str, ...] = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            name: str,
            type: str,
            *,
            description: str = "",
            not_null: bool = False,
            min: int | float | None = None,
            max: int | float | None = None,
            allowed_values: Sequence[bool | int | str] | None = None,
            pattern: str | None = None,
            min_length: int | None = None,
            max_length: int | None = None,
            model_version: str | None = None,
            index: VectorIndex | Mapping[str, Any] | None = None,
            tags: Sequence[str] = (),
        ) -> None: ...

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name in RESERVED_COLUMNS:
            raise ValueError(f"{name!r} is a column of the store; give the feature another name")
        if name.endswith(("__model_version", "__event_timestamp")):
            raise ValueError(f"{name!r} ends like a column that the store makes; give the feature another name")
        return name

    @field_validator("min", "max")
    @classmethod
    def _in_the_type(cls, bound: int | float | None, info: ValidationInfo) -> int | float | None:
        word = info.data.get("type")
        return in_type(bound, word) if bound is not None and word in NUMERIC_TYPES else bound

    @model_validator(mode="after")
    def _rules_fit_the_type(self) -> Self:
        kind = self.feature_type
        text_or_array = kind.word == "string" or kind.is_array
        self._only("min", kind.is_numeric, "a numeric type")
        self._only("max", kind.is_numeric, "a numeric type")
        self._only("allowed_values", kind.word in ("string", "long", "int", "boolean"), "string, long, int or boolean")
        self._only("pattern", kind.word == "string", "string")
        self._only("min_length", text_or_array and not kind.is_embedding, "string or an array")
        self._only("max_length", text_or_array and not kind.is_embedding, "string or an array")
        self._only("model_version", kind.is_embedding, "embedding(dims)")
        self._only("index", kind.is_embedding, "embedding(dims)")
        self._storage_has_the_dims()
        self._ordered("min", "max")
        if kind.is_numeric:
            check_bounds(kind.word, self.min, self.max)
        self._ordered("min_length", "max_length")
        self._allowed_values_have_the_type()
        if self.pattern is not None:
            _check_pattern(self.pattern)
        return self

    def _only(self, rule: str, fits: bool, types: str) -> None:
        if getattr(self, rule) is not None and not fits:
            raise ValueError(f"rule {rule!r} is for {types}, and this feature is {self.type}")

    def _ordered(self, low: str, high: str) -> None:
        lower, upper = getattr(self, low), getattr(self, high)
        if lower is not None and upper is not None and lower > upper:
            raise ValueError(f"{low} {lower} is greater than {high} {upper}")

    def _allowed_values_have_the_type(self) -> None:
        classes: dict[str, type] = {"string": str, "boolean": bool, "long": int, "int": int}
        for value in self.allowed_values or ():
            if type(value) is not classes[self.type]:
                raise ValueError(f"allowed value {value!r} is not of type {self.type}")
            least, greatest = WHOLE_RANGES["long"]
            if type(value) is int and not least <= value <= greatest:
                raise ValueError(f"allowed value {value} is beyond the range of {self.type}")
            if isinstance(value, str) and not is_unicode(value):
                raise ValueError(f"allowed value {value!r} is not valid Unicode text")

    def _storage_has_the_dims(self) -> None:
        most = MOST_DIMS_IN_A_GRAPH["vector"]
        if self.index is not None and self.index.storage == "vector" and (self.feature_type.dims or 0) > most:
            raise ValueError(
                f"index.storage 'vector' is for up to {most} dims, and this feature is {self.type}; use 'halfvec', or "
                "leave it out"
            )

    @property
    def feature_type(self) -> FeatureType:
        return parse_type(self.type)

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that its values must satisfy, each as one line, such as ``min 0``."""
        names = ("min", "max", "pattern", "min_length", "max_length")
        lines = ["not_null"] if self.not_null else []
        lines += [
            f"{name} {value if isinstance(value, str) else number_text(value)}"
            for name in names
            if (value := getattr(self, name)) is not None
        ]
        if self.allowed_values is not None:
            lines.append(f"one of {', '.join(map(str, self.allowed_values))}")
        return tuple(lines)

    @property
    def model_version_column(self) -> str | None:
        """The column beside an embedding that holds the model version of each of its values."""
        return f"{self.name}__model_version" if self.feature_type.is_embedding else None

    @property
    def default_model_version(self) -> str:
        return self.model_version or DEFAULT_MODEL_VERSION


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from error
