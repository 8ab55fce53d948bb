"""Similarity search in PostgreSQL, where the feature's vectors were synced; elsewhere it is not what answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from featurestore.frames.vectors.similarity import Query
from featurestore.operations.context import Scope
from featurestore.operations.vectors.request import SearchQuery, SimilaritySearch
from featurestore.operations.vectors.similar_entities import SimilarEntities, match_of
from featurestore.stores.postgres.connections import retrying
from featurestore.stores.postgres.search import Found, VectorSearch, nearest
from featurestore.stores.postgres.searchable import Searchable, own_vectors, searchable
from featurestore.stores.postgres.tables import VectorTable

if TYPE_CHECKING:
    from psycopg import Connection

# Rows with vectors that one statement gives at the most, and queries that it has.
_MOST_ROWS, _MOST_QUERIES = 50_000, 1000


def search_postgres(
    scope: Scope, search: SimilaritySearch, queries: Sequence[SearchQuery]
) -> list[SimilarEntities | None]:
    """The answer to each query; None where the synced vectors cannot answer it and the group's own table can.

    That is so for a request that names a moment, a model version that was not synced, an entity without a vector there,
    filters on columns that the index does not have, and after a change of the definition until the next sync. Raises
    PostgresError after a few tries where PostgreSQL fails.
    """
    if not search.present or not scope.postgres.is_set_up():
        return [None] * len(queries)
    most = max(1, min(_MOST_QUERIES, _MOST_ROWS // search.limit))
    answers: list[SimilarEntities | None] = []
    for start in range(0, len(queries), most):
        some = queries[start : start + most]
        answers += retrying(lambda some=some: _answers(scope, search, some))  # type: ignore[misc]
    return answers


def _answers(scope: Scope, search: SimilaritySearch, queries: Sequence[SearchQuery]) -> list[SimilarEntities | None]:
    with scope.postgres.tenant(scope.tenant_id) as connection:
        usable = usable_tables(connection, scope.tenant_id, search)
        directions = _directions(connection, usable, scope.tenant_id, search, queries)
        answers: list[SimilarEntities | None] = [None] * len(queries)
        for model in sorted({direction[0] for direction in directions if direction is not None}):
            of_model = {
                number: direction[1]
                for number, direction in enumerate(directions)
                if direction is not None and direction[0] == model
            }
            # The queried entity itself is among the nearest, too, where it passes the filters.
            own = any(queries[number].entity is not None for number in of_model)
            target = vector_search(usable[model], scope.tenant_id, search, limit=search.limit + own)
            nearest_rows = nearest(connection, target, list(of_model.values()))
            for number, found in zip(of_model, nearest_rows, strict=True):
                answers[number] = _answer(usable[model], search, queries[number].entity, found)
    return answers


def usable_tables(connection: Connection[Any], tenant_id: str, search: SimilaritySearch) -> dict[str, Searchable]:
    """By model version, the tables that were synced for the tenant and can answer the search."""
    group, feature = search.group, search.feature
    synced = searchable(connection, tenant_id, group.name, group.version, feature.name)
    return {
        model: target
        for model, target in synced.items()
        if target.table.same_rows(VectorTable.of(group, feature, model))
        and {filter.name for filter in search.filters} <= {*target.table.key_names, *target.table.filter_names}
        and target.synced_at <= search.at
        and _has_datetimes(search)
    }


def vector_search(target: Searchable, tenant_id: str, search: SimilaritySearch, limit: int) -> VectorSearch:
    return VectorSearch(
        searchable=target,
        tenant_id=tenant_id,
        limit=limit,
        threshold=search.threshold,
        filters=search.filters,
        oldest=since(search),
        exact=search.exact is True,
    )


def since(search: SimilaritySearch) -> datetime | None:
    """The first event timestamp that still counts; None without a TTL. Raises OverflowError before the year 1."""
    return None if search.group.ttl is None else search.at - search.group.ttl


def _has_datetimes(search: SimilaritySearch) -> bool:
    """Whether the first event timestamp that still counts has a datetime: none before the year 1 has."""
    try:
        since(search)
    except OverflowError:
        return False
    return True


def _directions(
    connection: Connection[Any],
    usable: Mapping[str, Searchable],
    tenant_id: str,
    search: SimilaritySearch,
    queries: Sequence[SearchQuery],
) -> list[tuple[str, Query] | None]:
    """Model version and direction of each query; None where PostgreSQL does not hold them."""
    model = search.model_version or search.feature.default_model_version
    directions: list[tuple[str, Query] | None] = [
        (model, Query.of(query.vector)) if query.vector is not None and model in usable else None for query in queries
    ]
    entities = {number: query.entity for number, query in enumerate(queries) if query.entity is not None}
    if not entities:
        return directions
    newest: dict[int, tuple[datetime, datetime, str]] = {}
    for name, target in usable.items():
        if search.model_version not in (None, name):
            continue
        vectors = own_vectors(connection, target.table, tenant_id, list(entities.values()), since(search))
        for number, own in zip(entities, vectors, strict=True):
            if own is not None and (number not in newest or (*own[:2], name) > newest[number]):
                newest[number] = (*own[:2], name)
                directions[number] = (name, Query.of(own[2]))
    return directions


def _answer(
    target: Searchable, search: SimilaritySearch, itself: Mapping[str, Any] | None, found: Found
) -> SimilarEntities:
    keys = target.table.key_names
    rows = [row for row in found.rows if itself is None or any(row[key] != itself[key] for key in keys)]
    return SimilarEntities(
        matches=tuple(match_of(row, search, target.table.model) for row in rows[: search.limit]),
        feature=search.reference,
        model_version=target.table.model,
        at=search.at,
        join_keys=keys,
        filters=tuple(filter.name for filter in search.filters),
        exact=found.exact,
        source="postgres",
        synced_at=target.synced_at,
        table_version=target.delta_version,
        storage=target.table.storage,
    )
