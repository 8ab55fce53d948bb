"""Similarity search in PostgreSQL, where the feature's vectors were synced; elsewhere it is not what answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from featurestore.frames.vectors.similarity import Query
from featurestore.operations.context import Scope
from featurestore.operations.vectors.request import Asked, SimilaritySearch
from featurestore.operations.vectors.similar_entities import SimilarEntities, match_of
from featurestore.stores.postgres.connections import retrying
from featurestore.stores.postgres.search import Found, VectorSearch, nearest
from featurestore.stores.postgres.searchable import Searchable, own_vectors, searchable
from featurestore.stores.postgres.tables import VectorTable

if TYPE_CHECKING:
    from psycopg import Connection

# Rows with vectors that one statement gives at the most, and queries that it has.
_MOST_ROWS, _MOST_QUERIES = 50_000, 1000


def search_postgres(scope: Scope, search: SimilaritySearch, asked: Sequence[Asked]) -> list[SimilarEntities | None]:
    """The answer to each; None where the vectors that were synced cannot tell it, which the group's own table can.

    That is so of a moment that was named, of a model version that was not synced, of an entity without a vector there,
    of filters by other columns than the index has, and after a change of the definition until the next sync. Raises
    PostgresError, when it has tried a few times, where PostgreSQL fails.
    """
    if not search.present or not scope.postgres.is_set_up():
        return [None] * len(asked)
    most = max(1, min(_MOST_QUERIES, _MOST_ROWS // search.limit))
    found: list[SimilarEntities | None] = []
    for start in range(0, len(asked), most):
        some = asked[start : start + most]
        found += retrying(lambda some=some: _searched(scope, search, some))  # type: ignore[misc]
    return found


def _searched(scope: Scope, search: SimilaritySearch, asked: Sequence[Asked]) -> list[SimilarEntities | None]:
    with scope.postgres.tenant(scope.tenant_id) as connection:
        usable = usable_tables(connection, scope.tenant_id, search)
        queries = _queries(connection, usable, scope.tenant_id, search, asked)
        answers: list[SimilarEntities | None] = [None] * len(asked)
        for model in sorted({query[0] for query in queries if query is not None}):
            numbers = [number for number, query in enumerate(queries) if query is not None and query[0] == model]
            # The queried entity itself is found, too, where it passes.
            own = any(asked[number].entity is not None for number in numbers)
            wanted = vector_search(usable[model], scope.tenant_id, search, limit=search.limit + own)
            directions = [query[1] for query in (queries[number] for number in numbers) if query is not None]
            for number, found in zip(numbers, nearest(connection, wanted, directions), strict=True):
                answers[number] = _answer(usable[model], search, asked[number].entity, found)
    return answers


def usable_tables(connection: Connection[Any], tenant_id: str, search: SimilaritySearch) -> dict[str, Searchable]:
    """By model version, the tables that were synced for the tenant and can tell what is asked."""
    group, feature = search.group, search.feature
    found = searchable(connection, tenant_id, group.name, group.version, feature.name)
    return {
        model: one
        for model, one in found.items()
        if one.table.same_rows(VectorTable.of(group, feature, model))
        and {asked.name for asked in search.filters} <= {*one.table.key_names, *one.table.filter_names}
        and one.synced_at <= search.at
        and _has_datetimes(search)
    }


def vector_search(one: Searchable, tenant_id: str, search: SimilaritySearch, limit: int) -> VectorSearch:
    return VectorSearch(
        searchable=one,
        tenant_id=tenant_id,
        limit=limit,
        threshold=search.threshold,
        filters=search.filters,
        oldest=since(search),
        exact=search.exact is True,
    )


def since(search: SimilaritySearch) -> datetime | None:
    """The first event timestamp that still counts; none without a TTL. OverflowError: before the year 1."""
    return None if search.group.ttl is None else search.at - search.group.ttl


def _has_datetimes(search: SimilaritySearch) -> bool:
    """Whether the first event timestamp that still counts has a datetime: none before the year 1 has."""
    try:
        since(search)
    except OverflowError:
        return False
    return True


def _queries(
    connection: Connection[Any],
    usable: Mapping[str, Searchable],
    tenant_id: str,
    search: SimilaritySearch,
    asked: Sequence[Asked],
) -> list[tuple[str, Query] | None]:
    """Model version and direction of each; None where it cannot be told here."""
    model = search.model_version or search.feature.default_model_version
    queries: list[tuple[str, Query] | None] = [
        (model, Query.of(one.vector)) if one.vector is not None and model in usable else None for one in asked
    ]
    entities = {number: one.entity for number, one in enumerate(asked) if one.entity is not None}
    if not entities:
        return queries
    newest: dict[int, tuple[datetime, datetime, str]] = {}
    for name, one in usable.items():
        if search.model_version not in (None, name):
            continue
        vectors = own_vectors(connection, one.table, tenant_id, list(entities.values()), since(search))
        for number, own in zip(entities, vectors, strict=True):
            if own is not None and (number not in newest or (*own[:2], name) > newest[number]):
                newest[number] = (*own[:2], name)
                queries[number] = (name, Query.of(own[2]))
    return queries


def _answer(
    one: Searchable, search: SimilaritySearch, itself: Mapping[str, Any] | None, found: Found
) -> SimilarEntities:
    keys = one.table.key_names
    rows = [row for row in found.rows if itself is None or any(row[key] != itself[key] for key in keys)]
    return SimilarEntities(
        matches=tuple(match_of(row, search, one.table.model) for row in rows[: search.limit]),
        feature=search.reference,
        model_version=one.table.model,
        at=search.at,
        join_keys=keys,
        filters=tuple(asked.name for asked in search.filters),
        exact=found.exact,
        source="postgres",
        synced_at=one.synced_at,
        table_version=one.delta_version,
        storage=one.table.storage,
    )
