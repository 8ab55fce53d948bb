"""Similarity search for every row of a DataFrame of vectors, on Spark's executors, each with its own connection."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa

from featurestore.columnar.names import check_names, without_case
from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.definitions.values.types import storage_of_key
from featurestore.errors import InvalidArgumentError, NotFoundError, SchemaError, nearest
from featurestore.frames.as_of.spine_types import check_carried
from featurestore.frames.columns import column
from featurestore.frames.schema import data_type
from featurestore.frames.vectors.similarity import SIMILARITY, Query
from featurestore.late_spark import (
    ArrayType,
    BooleanType,
    DataFrame,
    DoubleType,
    IntegerType,
    NullType,
    NumericType,
    StructField,
    StructType,
    TimestampType,
    to_arrow_schema,
)
from featurestore.operations.context import Scope
from featurestore.operations.vectors.request import SearchRequest, SimilaritySearch, check_search
from featurestore.operations.vectors.search_postgres import usable_tables, vector_search
from featurestore.stores.postgres.connections import TenantLogin, retrying
from featurestore.stores.postgres.search import VectorSearch
from featurestore.stores.postgres.search import nearest as nearest_vectors

RANK, SIMILAR, EXACT = "rank", "similar", "exact"
# The queries in one statement, and the connections at once; a server accepts 100 by default, from all its users.
_QUERIES = 200
_CONNECTIONS = 16

Search = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def search_similar_for(scope: Scope, queries: DataFrame, vector_column: str, request: SearchRequest) -> DataFrame:
    """One row per query and match, lazily; see ``OfflineStore``. Raises NotFoundError if vectors were not synced."""
    search = check_search(scope.context, request)
    carried = _carried_columns(queries, vector_column)
    target = _searchable(scope, search)
    schema = StructType(
        [
            *(queries.schema[name] for name in carried),
            StructField(RANK, IntegerType()),
            StructField(SIMILAR, _match_type(search)),
            StructField(EXACT, BooleanType()),
        ]
    )
    run = _searcher(
        scope.postgres.login(scope.tenant_id), target, carried, vector_column, to_arrow_schema(schema, timezone="UTC")
    )
    vectors = column(vector_column).cast("array<double>").alias(vector_column)
    return queries.select(*map(column, carried), vectors).coalesce(_CONNECTIONS).mapInArrow(run, schema)


def _carried_columns(queries: DataFrame, vector_column: str) -> list[str]:
    if not isinstance(queries, DataFrame):
        raise SchemaError(
            f"queries are {type(queries).__name__}; give a Spark DataFrame, for example from spark.createDataFrame()"
        )
    if vector_column not in check_names(queries.columns, "queries", SchemaError):
        raise SchemaError(f"queries have no column {vector_column!r}. {nearest(vector_column, queries.columns)}")
    kind = queries.schema[vector_column].dataType
    if not isinstance(kind, ArrayType) or not isinstance(kind.elementType, NumericType | NullType):
        raise SchemaError(f"queries: column {vector_column!r} is {kind.simpleString()}; vectors are arrays of numbers")
    carried = [name for name in queries.columns if name != vector_column]
    reserved = [name for name in carried if without_case(name) in (RANK, SIMILAR, EXACT)]
    if reserved:
        raise SchemaError(f"queries have columns {reserved}, which the answer also has; rename them")
    check_carried([queries.schema[name] for name in carried], "queries", SchemaError)
    return carried


def _searchable(scope: Scope, search: SimilaritySearch) -> VectorSearch:
    model = search.model_version or search.feature.default_model_version
    if scope.postgres.is_set_up():
        with scope.postgres.tenant(scope.tenant_id) as connection:
            usable = usable_tables(connection, scope.tenant_id, search)
        if model in usable:
            return vector_search(usable[model], scope.tenant_id, search, search.limit)
    raise NotFoundError(
        f"vectors of {search.reference!r} and the model version {model!r} were not synced to PostgreSQL, or their "
        "index lacks a filter's column; sync them with sync_embeddings, or search for one vector at a time"
    )


def _match_type(search: SimilaritySearch) -> StructType:
    words = {**search.group.entity.join_keys, **{filter.name: filter.word for filter in search.filters}}
    fields = {name: data_type(storage_of_key(word)) for name, word in words.items()}
    keys = {name: fields.pop(name) for name in search.group.join_keys}
    times = dict.fromkeys(TIME_COLUMNS, TimestampType())
    columns = [*keys.items(), ("similarity", DoubleType()), *times.items(), *fields.items()]
    return StructType([StructField(name, kind) for name, kind in columns])


def _searcher(
    login: TenantLogin, search: VectorSearch, carried: list[str], vector_column: str, schema: pa.Schema
) -> Search:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, _QUERIES):
                chunk = batch.slice(start, _QUERIES)
                directions = _directions(chunk.column(vector_column))
                if directions:
                    yield _batch(chunk, carried, retrying(partial(_matches, login, search, directions)), schema)

    return run


def _directions(vectors: pa.Array) -> dict[int, Query]:
    """The direction of each row's vector, by row number; rows with a null vector are left out.

    Raises InvalidArgumentError for a vector without a direction.
    """
    directions = {}
    for row, vector in enumerate(vectors.to_pylist()):
        if vector is None:
            continue
        if any(number is None or not math.isfinite(number) for number in vector) or not any(vector):
            raise InvalidArgumentError(f"a query has a vector that is zero, or not finite: {vector[:5]}...")
        directions[row] = Query.of(vector)
    return directions


def _matches(
    login: TenantLogin, search: VectorSearch, directions: dict[int, Query]
) -> list[tuple[int, dict[str, Any]]]:
    other_dims = {len(query.unit) for query in directions.values()} - {search.table.dims}
    if other_dims:
        raise InvalidArgumentError(
            f"queries have vectors of {sorted(other_dims)} dims, and the feature has {search.table.dims}"
        )
    with login.transaction() as connection:
        answers = nearest_vectors(connection, search, list(directions.values()))
    return [
        (row, {RANK: rank, SIMILAR: {"similarity": match.pop(SIMILARITY), **match}, EXACT: answer.exact})
        for row, answer in zip(directions, answers, strict=True)
        for rank, match in enumerate(answer.rows, start=1)
    ]


def _batch(
    queries: pa.RecordBatch, carried: list[str], rows: list[tuple[int, dict[str, Any]]], schema: pa.Schema
) -> pa.RecordBatch:
    numbers = pa.array([row for row, _ in rows], pa.int32())
    answers = {
        name: pa.array([match[name] for _, match in rows], schema.field(name).type) for name in (RANK, SIMILAR, EXACT)
    }
    columns = [queries.column(name).take(numbers).cast(schema.field(name).type) for name in carried]
    return pa.RecordBatch.from_arrays([*columns, *answers.values()], schema=schema)
