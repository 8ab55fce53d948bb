"""Find the entities with embeddings most similar to a vector, or to an entity's own, as valid at an instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np

from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.definitions.values.durations import microseconds
from featurestore.errors import InvalidArgumentError, NotFoundError
from featurestore.frames.columns import column
from featurestore.frames.corrections import sort_value
from featurestore.frames.timestamps import first_of_partition, instant
from featurestore.frames.vectors.filters import same_key
from featurestore.frames.vectors.similarity import SIMILARITY, Query, closest, latest_similarities
from featurestore.late_pandas import pd
from featurestore.late_spark import Column, DataFrame, F
from featurestore.operations.context import Context, Scope
from featurestore.operations.entities import EntityKey, of_entities
from featurestore.operations.vectors.request import (
    SearchQuery,
    SearchRequest,
    SimilaritySearch,
    check_search,
    read_query,
)
from featurestore.operations.vectors.search_postgres import search_postgres
from featurestore.operations.vectors.similar_entities import SimilarEntities, SimilarEntity, match_of

VectorOrEntity: TypeAlias = "Sequence[float] | np.ndarray[Any, Any] | pd.Series[Any] | EntityKey"

# Candidates beyond the limit: single precision cannot rank entities with nearly the same similarity.
_BESIDE = 50


def search_similar_embeddings(
    scope: Scope, vector_or_entity: VectorOrEntity, request: SearchRequest
) -> SimilarEntities:
    """The entities with the greatest cosine similarity among vectors valid at ``at``; see ``OfflineStore``.

    Raises NotFoundError (no such feature; an entity without a valid vector; vectors of other model versions but not of
    this one), PostgresError, and InvalidArgumentError for an invalid query or option.
    """
    search = check_search(scope.context, request)
    query = read_query(scope.context, vector_or_entity, search)
    [answer] = search_postgres(scope, search, [query])
    return _search_delta(scope, search, query) if answer is None else answer


def search_similar_embeddings_batch(
    scope: Scope, vectors_or_entities: Sequence[VectorOrEntity] | np.ndarray[Any, Any], request: SearchRequest
) -> list[SimilarEntities]:
    """One answer per vector or entity, in their order; queries that an index can answer go to it together."""
    search = check_search(scope.context, request)
    several = vectors_or_entities
    is_number = isinstance(several, np.ndarray) and several.ndim == 0
    if is_number or isinstance(several, str | Mapping) or not isinstance(several, Sequence | np.ndarray):
        raise InvalidArgumentError(f"queries are {type(several).__name__}; give a list of vectors or entities")
    queries = [read_query(scope.context, each, search) for each in several]
    return [
        _search_delta(scope, search, query) if answer is None else answer
        for query, answer in zip(queries, search_postgres(scope, search, queries), strict=True)
    ]


def _search_delta(scope: Scope, search: SimilaritySearch, query: SearchQuery) -> SimilarEntities:
    values = valid_vectors(scope, search)
    among = values.where(search.passes(of_keys=True))
    if query.vector is not None:
        vector, model = query.vector, search.model_version or search.feature.default_model_version
    else:
        key = cast(dict[str, Any], query.entity)
        vector, model = _own_vector(scope.context, values, search, key)
        among = among.where(~same_key(key, search.group.entity.join_keys))
    matches = _exact_matches(scope.context, among, search, Query.of(vector), model)
    if not matches:
        _require_model_version(values, search, model)
    return SimilarEntities(
        matches=tuple(matches),
        feature=search.reference,
        model_version=model,
        at=search.at,
        join_keys=tuple(search.group.join_keys),
        filters=tuple(filter.name for filter in search.filters),
    )


def valid_vectors(scope: Scope, search: SimilaritySearch) -> DataFrame:
    """Rows with event timestamps in ``[at - ttl, at]``, of one snapshot of the table: keys, times, vector, filters."""
    group, at = search.group, search.at
    features = [name for name in search.columns.others if name not in group.join_keys]
    values = scope.read_values(
        group,
        [*group.join_keys, *TIME_COLUMNS, search.feature.name, search.model_column, *features],
        (first_of_partition(at, group.ttl, group.partition_by), at.date()),
    )
    valid = values.where(F.col("event_timestamp") <= instant(at))
    if group.ttl is None:
        return valid
    # Microseconds: instants before the year 1 have no datetime.
    oldest = F.unix_micros(instant(at)) - F.lit(microseconds(group.ttl))
    return valid.where(F.unix_micros("event_timestamp") >= oldest)


def _own_vector(
    context: Context, values: DataFrame, search: SimilaritySearch, key: dict[str, Any]
) -> tuple[list[float], str]:
    """The entity's latest vector (of the requested model version, if any) and its model version."""
    vector, model = column(search.feature.name), column(search.model_column)
    usable = vector.isNotNull()
    if search.model_version is not None:
        usable = usable & (model == F.lit(search.model_version))
    mine = of_entities(context, values, search.group, key)
    order = F.struct(*TIME_COLUMNS, sort_value(mine, search.feature.name))
    own = F.struct(F.when(usable, vector).alias("vector"), model.alias("model"))
    latest = F.max_by(own, order if search.group.nulls == "keep" else F.when(usable, order))
    [row] = mine.agg(latest.alias("own"), F.collect_set(model).alias("models")).toArrow().to_pylist()
    if row["own"] is None or row["own"]["vector"] is None:
        raise NotFoundError(
            f"entity {key} has no vector of {search.reference!r} that was valid at {search.at.isoformat()}"
            + (f" and of the model version {search.model_version!r}" if search.model_version is not None else "")
            + (f"; it had some of {sorted(row['models'])}" if row["models"] else "")
        )
    if not any(row["own"]["vector"]):
        raise InvalidArgumentError(
            f"entity {key}: its vector of {search.reference!r} is zero in all dims: it has no direction, and nothing "
            "is similar to it"
        )
    return row["own"]["vector"], row["own"]["model"]


def _exact_matches(
    context: Context, values: DataFrame, search: SimilaritySearch, query: Query, model: str
) -> list[SimilarEntity]:
    """The closest of all vectors: all are compared in single precision, and the candidates again in double."""
    keys = search.group.join_keys
    lowest = search.threshold - query.margin
    near = latest_similarities(values, search.columns, model, query.near).where(search.passes(of_keys=False))
    most = search.limit + _BESIDE
    nearest = closest(near, keys, lowest, most).select(*map(column, keys), SIMILARITY).toArrow().to_pylist()
    if not nearest:
        return []
    if len(nearest) >= search.limit:
        # No vector with a lower similarity than this can be closer than the last one within the limit.
        lowest = max(lowest, nearest[search.limit - 1][SIMILARITY] - 2 * query.margin)
    candidates = [row for row in nearest if row[SIMILARITY] >= lowest]
    if len(candidates) < most:
        values = of_entities(context, values, search.group, [{key: row[key] for key in keys} for row in candidates])

    def similarity(vector: Column) -> Column:
        return F.when(query.near(vector) >= F.lit(lowest), query.exact(vector))

    exact = latest_similarities(values, search.columns, model, similarity).where(search.passes(of_keys=False))
    rows = closest(exact, keys, search.threshold, search.limit).toArrow().to_pylist()
    return [match_of(row, search, model) for row in rows]


def _require_model_version(values: DataFrame, search: SimilaritySearch, model: str) -> None:
    """Raise NotFoundError if there are valid vectors but none of this model version."""
    versions = values.where(column(search.model_column).isNotNull()).select(column(search.model_column)).distinct()
    models = sorted(row[0] for row in versions.collect())
    if models and model not in models:
        raise NotFoundError(
            f"{search.reference!r} has no vectors of the model version {model!r} that were valid at "
            f"{search.at.isoformat()}; it has {models}: choose one with model_version="
        )
