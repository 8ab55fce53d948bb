"""Similarity search in PostgreSQL, for features with synced vectors that can answer the request."""

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

# The most rows with vectors that one statement returns, and the most queries in one statement.
_MOST_ROWS, _MOST_QUERIES = 50_000, 1000


def search_postgres(
    scope: Scope, search: SimilaritySearch, queries: Sequence[SearchQuery]
) -> list[SimilarEntities | None]:
    """The answer to each query; None if the synced vectors cannot answer it and the group's own table must.

    That is the case for a request that names an instant, for a model version that was not synced, for an entity without
    a synced vector, for filters on columns that the index lacks, and after a change of the definition until the next
    sync. Raises PostgresError if PostgreSQL still fails after a few attempts.
    """
    if not search.present or not scope.postgres.is_set_up():
        return [None] * len(queries)
    most = max(1, min(_MOST_QUERIES, _MOST_ROWS // search.limit))
    answers: list[SimilarEntities | None] = []
    for start in range(0, len(queries), most):
        chunk = queries[start : start + most]
        answers += retrying(lambda chunk=chunk: _answers(scope, search, chunk))  # type: ignore[misc]
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
            # The queried entity itself is among the nearest, too, if it passes the filters.
            own = any(queries[number].entity is not None for number in of_model)
            target = vector_search(usable[model], scope.tenant_id, search, limit=search.limit + own)
            nearest_rows = nearest(connection, target, list(of_model.values()))
            for number, matches in zip(of_model, nearest_rows, strict=True):
                answers[number] = _answer(usable[model], search, queries[number].entity, matches)
    return answers


def usable_tables(connection: Connection[Any], tenant_id: str, search: SimilaritySearch) -> dict[str, Searchable]:
    """The tables that were synced for the tenant and can answer the search, by model version."""
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
    """The oldest event timestamp within the TTL; None without a TTL. Raises OverflowError for one before the year 1."""
    return None if search.group.ttl is None else search.at - search.group.ttl


def _has_datetimes(search: SimilaritySearch) -> bool:
    """Whether the oldest event timestamp within the TTL fits a datetime, which begins with the year 1."""
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
    """The model version and direction of each query; None for a query that PostgreSQL has no vectors for."""
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
    target: Searchable, search: SimilaritySearch, itself: Mapping[str, Any] | None, matches: Found
) -> SimilarEntities:
    keys = target.table.key_names
    rows = [row for row in matches.rows if itself is None or any(row[key] != itself[key] for key in keys)]
    return SimilarEntities(
        matches=tuple(match_of(row, search, target.table.model) for row in rows[: search.limit]),
        feature=search.reference,
        model_version=target.table.model,
        at=search.at,
        join_keys=keys,
        filters=tuple(filter.name for filter in search.filters),
        exact=matches.exact,
        source="postgres",
        synced_at=target.synced_at,
        table_version=target.delta_version,
        storage=target.table.storage,
    )
