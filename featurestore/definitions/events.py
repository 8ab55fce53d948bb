"""Where a group's events are: rows of a source, each of which happened to an entity at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from featurestore.definitions.base import Definition
from featurestore.definitions.source import Source


class Events(Definition):
    """``Events(Source(path="{landing}/{tenant_id}/payments", format="parquet"), event_timestamp="paid_at")``.

    Grain: one event per row of ``source``, which is a Delta or Parquet table, or another feature group.

    - ``event_timestamp``: the source's column with the moment at which the event happened;
    - ``created_timestamp``: its column with the moment at which the event was known; None, or null in a row: when it
      happened;
    - ``event_id``: its column that identifies an event: of rows with one id, the one created last replaces the others.
      None, or an id of null: each row counts;
    - ``columns``: by join key, or by another name that the features use, the source's column, where it is another.

    A row with a null event timestamp or a null join key is no event. For a source that is a feature group, timestamps
    are the group's own, and an event is a join key and an event timestamp, so that a correction replaces what it
    corrects.
    """

    positional: ClassVar[tuple[str, ...]] = ("source",)

    source: Source
    event_timestamp: str = Field(default="event_timestamp", min_length=1)
    created_timestamp: str | None = Field(default=None, min_length=1)
    event_id: str | None = Field(default=None, min_length=1)
    columns: dict[str, str] = {}

    if TYPE_CHECKING:

        def __init__(
            self,
            source: Source,
            *,
            event_timestamp: str = "event_timestamp",
            created_timestamp: str | None = None,
            event_id: str | None = None,
            columns: Mapping[str, str] = {},
        ) -> None: ...

    @model_validator(mode="after")
    def _source_has_columns(self) -> Self:
        if self.source.path is not None and self.source.format not in ("delta", "parquet"):
            raise ValueError(
                f"source: events are read from delta or parquet, and this source is {self.source.format}; "
                "materialize it into a group, and let the events be that group"
            )
        if self.source.group is not None:
            fixed = {"event_timestamp": "event_timestamp", "created_timestamp": None, "event_id": None}
            changed = sorted(name for name, value in fixed.items() if getattr(self, name) != value)
            if changed:
                raise ValueError(f"a group as the source has timestamps and identities of its own; remove {changed}")
        return self

    def column(self, name: str) -> str:
        """The source's column for a join key, or for a name that a feature uses."""
        return self.columns.get(name, name)
