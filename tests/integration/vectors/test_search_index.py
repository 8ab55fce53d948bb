"""After a sync a search is answered by PostgreSQL, with what the search of the group's table answers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore, SimilarEntities
from featurestore.errors import InvalidArgumentError, NotFoundError, SchemaError
from tests.conftest import Clock, OpenFeatureStore, spark_setting
from tests.inputs.vector_histories import DIMS, as_table, written_rows

DOC = Entity("doc", join_keys={"source": "string", "number": "long"})
FEATURES = [
    Feature("country", "string"),
    Feature(
        "text", f"embedding({DIMS})", model_version="small", index={"filters": ["country", "pages", "rating", "seen"]}
    ),
    Feature("pages", "long"),
    Feature("rating", "float"),
    Feature("seen", "timestamp"),
    Feature("color", "string"),
]
SKIP = FeatureGroup("docs", DOC, features=FEATURES, ttl=timedelta(days=5), partition_by="month")
KEEP = FeatureGroup("notes", DOC, features=FEATURES, partition_by="month", nulls="keep")
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


ROWS = written_rows(
    seed=4, start=NOW - timedelta(days=12), more=lambda random: {"color": random.choice(["red", "blue"])}
)
CLOCK = Clock(NOW)


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore) -> Iterator[FeatureStore]:
    fs = open_feature_store(CLOCK)
    fs.apply([SKIP, KEEP])
    for tenant, group in (("acme", "docs"), ("acme", "notes"), ("other", "docs")):
        fs.tenant(tenant).write_batch(group, as_table(ROWS))
    fs.tenant("acme").sync_embeddings("docs:text")
    fs.tenant("acme").sync_embeddings("notes:text")
    yield fs
    fs._context.postgres.close()


@pytest.fixture(scope="module")
def acme(feature_store: FeatureStore) -> OfflineStore:
    return feature_store.tenant("acme")


@pytest.fixture(autouse=True)
def session_zone(spark: SparkSession) -> Iterator[None]:
    with spark_setting(spark, "spark.sql.session.timeZone", "Australia/Lord_Howe"):
        yield


def fields_of(result: SimilarEntities) -> list[Any]:
    return [
        (
            match.entity,
            round(match.similarity, 11),
            match.event_timestamp,
            match.created_timestamp,
            match.model_version,
            match.filters,
        )
        for match in result
    ]


VECTOR = [0.3, -0.2, 0.9, 0.1, 0.4, -0.7]
ENTITY = {"source": "a", "number": 3}


@pytest.mark.parametrize(
    ("group", "query", "options"),
    [
        ("docs", VECTOR, {"threshold": -1}),
        ("docs", VECTOR, {"limit": 3, "threshold": 0.1}),
        ("docs", VECTOR, {"limit": 50, "threshold": -1, "model_version": "large"}),
        ("docs", VECTOR, {"threshold": -1, "filters": {"country": ["US", "NL"], "pages": {"min": 5}}}),
        ("docs", VECTOR, {"threshold": -1, "filters": {"rating": 0.1}}),
        ("docs", VECTOR, {"threshold": -1, "filters": {"seen": {"min": NOW - timedelta(days=6), "max": NOW}}}),
        ("docs", VECTOR, {"threshold": -1, "filters": {"source": "b", "number": {"max": 9}}}),
        ("docs", VECTOR, {"threshold": -1, "filters": {"country": "nowhere"}}),
        ("docs", ENTITY, {"threshold": -1}),
        ("docs", ENTITY, {"threshold": -1, "limit": 2, "filters": {"source": "a"}}),
        ("docs", ENTITY, {"threshold": -1, "model_version": "small"}),
        ("notes", VECTOR, {"threshold": -1, "limit": 50}),
        ("notes", VECTOR, {"threshold": -1, "filters": {"country": ["US", "NL"], "pages": {"min": 5}}}),
        ("notes", ENTITY, {"threshold": -1}),
    ],
)
def test_postgresql_returns_what_the_group_s_table_returns(
    acme: OfflineStore, group: str, query: Any, options: dict[str, Any]
) -> None:
    in_table = acme.search_similar_embeddings(f"{group}:text", query, at=NOW, **options)
    in_postgres = acme.search_similar_embeddings(f"{group}:text", query, **options)

    assert (in_table.source, in_postgres.source) == ("delta", "postgres")
    assert fields_of(in_postgres) == fields_of(in_table)
    assert in_postgres.exact
    assert in_postgres.at == in_table.at == in_postgres.synced_at
    assert in_postgres.to_pandas().dtypes.equals(in_table.to_pandas().dtypes)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"at": NOW}, "a moment is named"),
        ({"filters": {"color": "red"}}, "the index has no such column"),
    ],
)
def test_the_table_answers_searches_that_the_index_cannot(
    acme: OfflineStore, options: dict[str, Any], why: str
) -> None:
    assert acme.search_similar_embeddings("docs:text", VECTOR, **options).source == "delta", why


def test_a_tenant_without_a_sync_is_searched_in_the_table(feature_store: FeatureStore) -> None:
    result = feature_store.tenant("other").search_similar_embeddings("docs:text", VECTOR, threshold=-1)

    assert (result.source, len(result)) == ("delta", 10)


def test_the_ttl_ends_at_the_moment_of_the_search(acme: OfflineStore) -> None:
    try:
        CLOCK.now = NOW + timedelta(days=3, hours=1)
        later = acme.search_similar_embeddings("docs:text", VECTOR, limit=50, threshold=-1)
        in_table = acme.search_similar_embeddings("docs:text", VECTOR, limit=50, threshold=-1, at=CLOCK.now)
        CLOCK.now = NOW - timedelta(days=1)
        before = acme.search_similar_embeddings("docs:text", VECTOR)
    finally:
        CLOCK.now = NOW

    assert later.source == "postgres"
    assert fields_of(later) == fields_of(in_table)
    assert 0 < len(later) < len(acme.search_similar_embeddings("docs:text", VECTOR, limit=50, threshold=-1))
    # What was synced is of a later time than this.
    assert before.source == "delta"


def test_a_batch_answers_each_query_as_a_single_search_does(acme: OfflineStore) -> None:
    queries = [VECTOR, ENTITY, np.arange(1, 7), {"source": "b", "number": 5}]
    batch = acme.search_similar_embeddings_batch("docs:text", queries, limit=4, threshold=-1)
    alone = [acme.search_similar_embeddings("docs:text", query, limit=4, threshold=-1) for query in queries]

    assert batch == alone
    assert {len(result) for result in batch} == {4}


def test_a_batch_may_be_empty_and_refuses_what_is_not_a_query(acme: OfflineStore) -> None:
    assert acme.search_similar_embeddings_batch("docs:text", []) == []
    with pytest.raises(InvalidArgumentError, match="2 dims"):
        acme.search_similar_embeddings_batch("docs:text", [VECTOR, [1.0, 2.0]])
    with pytest.raises(InvalidArgumentError, match="give a list"):
        acme.search_similar_embeddings_batch("docs:text", ENTITY)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="exact is 'yes'"):
        acme.search_similar_embeddings("docs:text", VECTOR, exact="yes")  # type: ignore[arg-type]


def test_a_frame_of_queries(acme: OfflineStore, spark: SparkSession) -> None:
    vectors = [(1, VECTOR), (2, None), (3, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0])]
    queries = spark.createDataFrame(vectors, "query int, vector array<float>").withColumn(
        "day", F.lit("2026-03-20").cast("date")
    )
    options: dict[str, Any] = {"limit": 3, "threshold": -1, "filters": {"pages": {"min": 1}}}
    frame = acme.search_similar_for(queries, "docs:text", **options)
    rows = sorted(frame.toArrow().to_pylist(), key=lambda row: (row["query"], row["rank"]))

    assert frame.columns == ["query", "day", "rank", "similar", "exact"]
    expected = [
        (
            number,
            rank,
            match.entity["number"],
            round(match.similarity, 6),
            match.event_timestamp,
            match.filters["pages"],
        )
        for number, vector in vectors
        if vector is not None
        for rank, match in enumerate(
            acme.search_similar_embeddings("docs:text", np.float32(vector).tolist(), **options), start=1
        )
    ]
    assert [
        (
            row["query"],
            row["rank"],
            similar["number"],
            round(similar["similarity"], 6),
            similar["event_timestamp"],
            similar["pages"],
        )
        for row in rows
        for similar in [row["similar"]]
    ] == expected
    assert "signature" not in frame._jdf.queryExecution().toString()


def test_a_frame_that_cannot_be_searched_by(
    feature_store: FeatureStore, acme: OfflineStore, spark: SparkSession
) -> None:
    queries = spark.createDataFrame([(1, VECTOR)], "rank int, vector array<float>")
    with pytest.raises(SchemaError, match="rename them"):
        acme.search_similar_for(queries, "docs:text")
    with pytest.raises(SchemaError, match="Did you mean 'vector'"):
        acme.search_similar_for(queries, "docs:text", vector_column="vectr")
    with pytest.raises(NotFoundError, match="were not synced"):
        feature_store.tenant("other").search_similar_for(queries.select("vector"), "docs:text")
