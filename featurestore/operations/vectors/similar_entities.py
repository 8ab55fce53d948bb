"""The result of a similarity search."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, overload

from featurestore.definitions.vector_index import Storage
from featurestore.display.description import Amount, Display, Table, counted, utc_text
from featurestore.display.displayed import Displayed
from featurestore.frames.vectors.similarity import SIMILARITY
from featurestore.late_pandas import pd
from featurestore.operations.vectors.request import SimilaritySearch


@dataclass(frozen=True)
class SimilarEntity:
    """An entity with a similar vector: the vector's timestamps (UTC) and model, and values of the filters' columns."""

    entity: dict[str, Any]
    similarity: float
    event_timestamp: datetime
    created_timestamp: datetime
    model_version: str
    filters: dict[str, Any]


@dataclass(frozen=True)
class SimilarEntities(Displayed, Sequence[SimilarEntity]):
    """The matches, most similar first, ties by key, among the vectors of one model that were valid at ``at``.

    - ``exact``: every vector was compared, so no close one is missing.
    - ``source``: ``delta``, the group's table, or ``postgres``, its vectors as of the last sync: at ``synced_at``, from
      ``table_version`` of the table.
    - ``storage``: ``vector``, single precision as written, or ``halfvec``, compared in half precision.
    """

    matches: tuple[SimilarEntity, ...]
    feature: str
    model_version: str
    at: datetime
    join_keys: tuple[str, ...]
    filters: tuple[str, ...] = ()
    exact: bool = True
    source: Literal["delta", "postgres"] = "delta"
    synced_at: datetime | None = None
    table_version: int | None = None
    storage: Storage = "vector"

    def __len__(self) -> int:
        return len(self.matches)

    @overload
    def __getitem__(self, index: int) -> SimilarEntity: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[SimilarEntity, ...]: ...

    def __getitem__(self, index: int | slice) -> SimilarEntity | tuple[SimilarEntity, ...]:
        return self.matches[index]

    def __repr__(self) -> str:
        return f"SimilarEntities({self.feature!r}, {counted(len(self), 'match', 'matches')}, at={utc_text(self.at)!r})"

    def display(self) -> Display:
        """One row per match, and the facts of the search."""
        others = [name for name in self.filters if name not in self.join_keys]
        rows = [
            (
                *(match.entity[key] for key in self.join_keys),
                Amount(f"{match.similarity:.4f}"),
                utc_text(match.event_timestamp),
                *(match.filters[name] for name in others),
            )
            for match in self.matches
        ]
        searched = "every vector was compared" if self.exact else "by index: a close one may be missing"
        facts = [
            ("model", self.model_version),
            ("valid at", utc_text(self.at)),
            ("searched", f"{self.source}, {searched}"),
        ]
        if self.synced_at is not None:
            facts.append(("synced at", f"{utc_text(self.synced_at)}, table version {self.table_version}"))
        return Display(
            f"{self.feature}: {counted(len(self), 'similar entity', 'similar entities')}",
            facts=tuple(facts),
            tables=(Table((*self.join_keys, "similarity", "event timestamp", *others), tuple(rows)),),
        )

    def to_pandas(self) -> pd.DataFrame:
        """One row per match: join keys, similarity, event_timestamp, created_timestamp, model_version, and filters."""
        others = [name for name in self.filters if name not in self.join_keys]
        columns = [
            *((key, [match.entity[key] for match in self.matches]) for key in self.join_keys),
            ("similarity", [match.similarity for match in self.matches]),
            ("event_timestamp", _instants(match.event_timestamp for match in self.matches)),
            ("created_timestamp", _instants(match.created_timestamp for match in self.matches)),
            ("model_version", [match.model_version for match in self.matches]),
            *((name, [match.filters[name] for match in self.matches]) for name in others),
        ]
        # Columns are keyed by position, because a join key or a filter may have the name of another column.
        frame = pd.DataFrame({position: values for position, (_, values) in enumerate(columns)})
        return frame.set_axis([name for name, _ in columns], axis=1)


def _instants(moments: Iterable[datetime]) -> pd.Series[Any]:
    # pandas' default, nanoseconds, ends in the year 2262.
    return pd.Series(list(moments), dtype="datetime64[us, UTC]")


def match_of(row: dict[str, Any], search: SimilaritySearch, model: str) -> SimilarEntity:
    """The match in a row of join keys, similarity, both timestamps, and the filters' values."""
    values: dict[str, Any] = {
        name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in row.items()
    }
    return SimilarEntity(
        entity={key: values[key] for key in search.group.join_keys},
        similarity=values[SIMILARITY],
        event_timestamp=values["event_timestamp"],
        created_timestamp=values["created_timestamp"],
        model_version=model,
        filters={filter.name: values[filter.name] for filter in search.filters},
    )
