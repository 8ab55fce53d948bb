"""Where the values of a group in place are: a table of the user's, whose names of columns are the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field, model_validator

from featurestore.definitions.base import Definition
from featurestore.definitions.names import Name
from featurestore.definitions.source import Source

ColumnName = Annotated[str, Field(min_length=1)]


class InPlace(Definition):
    """``InPlace(Source(path="/lake/users", tenant_column="org"), event_timestamp="at", columns={"user_id": "uid"})``.

    The values of the group are the rows of this Delta or Parquet table, which the store reads and never writes.

    - ``source``: the table: a ``path`` to Delta or Parquet, or a ``table`` of a catalog;
    - ``event_timestamp``: its column of event timestamps; a row without one is no value;
    - ``created_timestamp``: its column of created timestamps. Without the column, or in a row where it is null, a value
      counts as created at its event timestamp, so that ``known_at`` never hides a value that is valid;
    - ``columns``: join keys, features, and ``<feature>__model_version`` of embeddings that have other names in the
      table.
    """

    positional: ClassVar[tuple[str, ...]] = ("source",)

    source: Source
    event_timestamp: ColumnName
    created_timestamp: ColumnName | None = None
    columns: dict[Name, ColumnName] = {}

    if TYPE_CHECKING:

        def __init__(
            self,
            source: Source,
            *,
            event_timestamp: str,
            created_timestamp: str | None = None,
            columns: Mapping[str, str] = {},
        ) -> None: ...

    @model_validator(mode="after")
    def _can_be_read_in_place(self) -> Self:
        if self.source.group is not None:
            raise ValueError(
                f"source is the group {self.source.group!r}, whose values are stored; name a path or table"
            )
        if self.source.format not in ("delta", "parquet"):
            raise ValueError(f"source has the format {self.source.format!r}; a table in place is delta or parquet")
        if self.source.options:
            raise ValueError(f"source has options {sorted(self.source.options)}; a table in place is read without any")
        return self

    def column(self, name: str) -> str:
        """The table's name for a join key, a feature, or the model version of an embedding."""
        return self.columns.get(name, name)
