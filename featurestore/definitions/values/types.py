"""Feature types and join key types, by the words that users write."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

KeyType = Literal["string", "long", "int", "boolean", "date", "timestamp"]

SCALAR_TYPES = ("double", "float", "long", "int", "boolean", "string", "timestamp", "date", "json")
ARRAY_TYPES = ("array<double>", "array<string>")
NUMERIC_TYPES = frozenset({"double", "float", "long", "int"})
# The least and greatest value of each type of whole numbers.
WHOLE_RANGES: dict[str, tuple[int, int]] = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
_EMBEDDING = re.compile(r"embedding\((\d{1,5})\)")

# Storage types that differ from the word, as Spark SQL spells them. JSON is stored as its original text.
_STORAGE = {"long": "bigint", "json": "string"}


@dataclass(frozen=True)
class FeatureType:
    """A parsed feature type: its word, and the dimensions if it is an embedding."""

    word: str
    dims: int | None = None

    @property
    def is_embedding(self) -> bool:
        return self.dims is not None

    @property
    def is_array(self) -> bool:
        return self.is_embedding or self.word in ARRAY_TYPES

    @property
    def is_numeric(self) -> bool:
        return self.word in NUMERIC_TYPES

    @property
    def storage(self) -> str:
        """The Spark SQL type of its column."""
        return "array<float>" if self.is_embedding else _STORAGE.get(self.word, self.word)


def parse_type(word: str) -> FeatureType:
    """Parse ``double``, ``array<string>``, ``embedding(1536)`` and so on; raises ValueError with the possible types."""
    match = _EMBEDDING.fullmatch(word)
    if match:
        dims = int(match.group(1))
        if not 1 <= dims <= 16_000:
            raise ValueError(f"type {word!r}: an embedding has 1 to 16000 dims")
        return FeatureType("embedding", dims)
    if word in SCALAR_TYPES or word in ARRAY_TYPES:
        return FeatureType(word)
    possible = ", ".join((*SCALAR_TYPES, *ARRAY_TYPES, "embedding(dims)"))
    raise ValueError(f"type {word!r} is not known; possible: {possible}")


def _known_type(word: str) -> str:
    parse_type(word)
    return word


TypeWord = Annotated[str, AfterValidator(_known_type)]

# Stored type -> the types to which a column can be widened without losing a value.
LOSSLESS_WIDENING: dict[str, frozenset[str]] = {
    "int": frozenset({"long", "double"}),
    "float": frozenset({"double"}),
}


def is_wider(stored: str, declared: str) -> bool:
    """Whether ``stored`` is a storage type to which ``declared`` can be widened, so that some values may not fit it."""
    return any(
        parse_type(narrow).storage == declared and stored in {parse_type(word).storage for word in wide}
        for narrow, wide in LOSSLESS_WIDENING.items()
    )


def storage_of_key(key_type: str) -> str:
    """The Spark SQL type of a join key column."""
    return _STORAGE.get(key_type, key_type)
