"""How PostgreSQL stores an embedding for similarity search: its filter columns, its precision, its graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from featurestore.arguments import checked
from featurestore.definitions.base import Definition
from featurestore.definitions.names import Name

Storage = Literal["halfvec", "vector"]

FILTER_TYPES = ("string", "boolean", "long", "int", "double", "float", "date", "timestamp")
# The most dims that a page of an HNSW index holds (pgvector's documentation, "HNSW": supported types).
MOST_DIMS_IN_A_GRAPH: dict[Storage, int] = {"vector": 2000, "halfvec": 4000}


class VectorIndex(Definition):
    """``Feature("text", "embedding(384)", index={"filters": ["country"]})``.

    - ``filters``: scalar features of the same group by which searches can filter, besides the join keys.
    - ``storage``: ``vector``, single precision, or ``halfvec``, half precision in half the space. None: ``vector`` up
      to 2000 dims, the most that a graph of these can have, and ``halfvec`` above. Above 4000 dims there is no graph,
      and a search compares every vector.
    - ``m``: links per vector in the HNSW graph, from 2 to 100; ``ef_construction``: candidates considered for them,
      from 4 to 1000 and at least ``2 * m``. More of either takes longer to build and finds more.
    """

    positional: ClassVar[tuple[str, ...]] = ("filters",)

    filters: tuple[Name, ...] = ()
    storage: Storage | None = None
    m: int = Field(default=16, ge=2, le=100)
    ef_construction: int = Field(default=64, ge=4, le=1000)

    if TYPE_CHECKING:

        def __init__(
            self,
            filters: Sequence[str] = (),
            *,
            storage: Storage | None = None,
            m: int = 16,
            ef_construction: int = 64,
        ) -> None: ...

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.ef_construction < 2 * self.m:
            raise ValueError(f"ef_construction {self.ef_construction} is less than 2 * m, which is {2 * self.m}")
        doubled = sorted({name for name in self.filters if self.filters.count(name) > 1})
        if doubled:
            raise ValueError(f"filters {doubled} are named twice")
        return self

    @checked
    def storage_of(self, dims: int) -> Storage:
        """The storage that was set, or else the one for this many dims."""
        return self.storage or ("vector" if dims <= MOST_DIMS_IN_A_GRAPH["vector"] else "halfvec")


USUAL_INDEX = VectorIndex()
