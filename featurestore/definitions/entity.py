"""An entity: the thing that features describe, and the keys that identify it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import field_validator

from featurestore.definitions.base import Definition
from featurestore.definitions.names import RESERVED_COLUMNS, Name
from featurestore.definitions.values.types import KeyType


class Entity(Definition):
    """``Entity("user", join_keys={"user_id": "string"})``.

    ``join_keys`` maps one or more key columns to their types (string, long, int, boolean, date, timestamp). The table
    is sorted by them in this order. A join key is never null.
    """

    positional: ClassVar[tuple[str, ...]] = ("name", "join_keys")

    name: Name
    join_keys: dict[Name, KeyType]
    description: str = ""

    if TYPE_CHECKING:

        def __init__(self, name: str, join_keys: dict[str, KeyType], *, description: str = "") -> None: ...

    @field_validator("join_keys")
    @classmethod
    def _usable(cls, join_keys: dict[str, KeyType]) -> dict[str, KeyType]:
        if not join_keys:
            raise ValueError("an entity needs at least one join key")
        reserved = sorted(join_keys.keys() & RESERVED_COLUMNS)
        if reserved:
            raise ValueError(f"{reserved} are columns of the store; give the join key another name")
        return join_keys

    @property
    def keys(self) -> list[str]:
        return list(self.join_keys)
