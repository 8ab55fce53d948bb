"""Similarity search: what brute force in numpy finds among the vectors that were valid at the time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore, SimilarEntities
from featurestore.errors import InvalidArgumentError, NotFoundError, SchemaError
from featurestore.frames.vectors.similarity import Query, closest, latest_similarities
from featurestore.operations.context import Scope
from featurestore.operations.vectors.request import SearchRequest, check_search
from featurestore.operations.vectors.search import valid_vectors
from tests.conftest import Clock, OpenFeatureStore, spark_setting
from tests.inputs.vector_histories import DIMS, Row, as_table, written_rows

DOC = Entity("doc", join_keys={"source": "string", "number": "long"})
FEATURES = [
    Feature("country", "string"),
    Feature("text", f"embedding({DIMS})", model_version="small"),
    Feature("pages", "long"),
    Feature("rating", "float"),
    Feature("seen", "timestamp"),
    Feature("tags", "array<string>"),
]
SKIP = FeatureGroup("docs", DOC, features=FEATURES, ttl=timedelta(days=5), partition_by="month")
KEEP = FeatureGroup("notes", DOC, features=FEATURES, ttl=timedelta(days=5), partition_by="month", nulls="keep")
FOREVER = FeatureGroup("words", Entity("word", join_keys={"day": "date"}), features=FEATURES[1:2], partition_by="month")
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


ROWS = written_rows(seed=4, start=NOW - 12 * DAY)


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore) -> FeatureStore:
    fs = open_feature_store(Clock(NOW))
    fs.apply([SKIP, KEEP, FOREVER])
    fs.tenant("acme").write_batch("docs", as_table(ROWS))
    fs.tenant("acme").write_batch("notes", as_table(ROWS))
    fs.tenant("other").write_batch("docs", as_table([row | {"source": "z"} for row in ROWS]))
    return fs


@pytest.fixture(scope="module")
def acme(feature_store: FeatureStore) -> OfflineStore:
    return feature_store.tenant("acme")


@pytest.fixture(autouse=True)
def session_zone(spark: SparkSession) -> Iterator[None]:
    with spark_setting(spark, "spark.sql.session.timeZone", "Australia/Lord_Howe"):
        yield


@dataclass(frozen=True)
class Search:
    limit: int = 10
    threshold: float = 0.0
    at: datetime | None = None
    model_version: str | None = None
    # For the store, and as the same condition on a row.
    filters: Mapping[str, Any] | None = None
    passes: Any = field(default=lambda row: True)


def cosine(first: Sequence[float], second: Sequence[float]) -> float:
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def source_row(rows: Sequence[Row], name: str, nulls: str) -> Row | None:
    """The row that a column's value is taken from."""
    newest_first = sorted(rows, key=lambda row: (row["event_timestamp"], row["created_timestamp"]), reverse=True)
    return next((row for row in newest_first if nulls == "keep" or row[name] is not None), None)


def brute_force(
    rows: Sequence[Row], query: Sequence[float], model: str, nulls: str, search: Search
) -> list[tuple[Any, ...]]:
    """Source, number, similarity, event timestamp of each match, in order."""
    at = search.at or NOW
    valid = [row for row in rows if at - 5 * DAY <= row["event_timestamp"] <= at]
    result = []
    for key in sorted({(row["source"], row["number"]) for row in valid}):
        mine = [row for row in valid if (row["source"], row["number"]) == key]
        if nulls == "skip":
            of_model = [row for row in mine if row["text__model_version"] == model]
            vector = source_row(of_model, "text", nulls)
        else:
            vector = source_row(mine, "text", nulls)
            if vector is None or vector["text"] is None or vector["text__model_version"] != model:
                continue
        if vector is None or not any(vector["text"]):
            continue
        values = {"source": key[0], "number": key[1]}
        for name in ("country", "pages", "rating", "seen"):
            row = source_row(mine, name, nulls)
            values[name] = None if row is None else row[name]
        similarity = round(cosine(query, vector["text"]), 12)
        if similarity >= search.threshold and search.passes(values):
            result.append((*key, similarity, vector["event_timestamp"]))
    return sorted(result, key=lambda match: (-match[2], *match[:2]))[: search.limit]


def rows_of(result: SimilarEntities) -> list[tuple[Any, ...]]:
    return [
        (*match.entity.values(), pytest.approx(match.similarity, abs=1e-11), match.event_timestamp) for match in result
    ]


QUERY = [0.3, -0.2, 0.9, 0.1, -0.4, 0.5]


CASES = {
    "default": Search(),
    "few": Search(limit=3, threshold=-1),
    "model": Search(limit=100, threshold=-1, model_version="large"),
    "past": Search(limit=100, at=NOW - 3 * DAY),
    "country": Search(limit=4, threshold=-1, filters={"country": "US"}, passes=lambda row: row["country"] == "US"),
    "filters": Search(
        threshold=-1,
        filters={"source": "b", "country": ["US", "FI"], "pages": {"max": 5}},
        passes=lambda row: (
            row["source"] == "b" and row["country"] in ("US", "FI") and row["pages"] is not None and row["pages"] <= 5
        ),
    ),
    "times": Search(
        limit=100,
        threshold=-0.5,
        at=NOW - 1 * DAY,
        filters={"seen": {"min": "2026-03-12T00:00:00Z", "max": NOW - 3 * DAY}, "rating": 0.1},
        passes=lambda row: (
            row["seen"] is not None
            and datetime(2026, 3, 12, tzinfo=UTC) <= row["seen"] <= NOW - 3 * DAY
            and row["rating"] == np.float32(0.1).item()
        ),
    ),
}


@pytest.mark.parametrize(
    ("group", "case"),
    [*((SKIP, case) for case in CASES), (KEEP, "default"), (KEEP, "past"), (KEEP, "filters")],
    ids=lambda value: value if isinstance(value, str) else value.nulls,
)
def test_matches_are_those_of_brute_force(acme: OfflineStore, group: FeatureGroup, case: str) -> None:
    search = CASES[case]
    result = acme.search_similar_embeddings(
        f"{group.name}:text",
        QUERY,
        limit=search.limit,
        threshold=search.threshold,
        at=search.at,
        filters=search.filters,
        model_version=search.model_version,
    )

    model = search.model_version or "small"
    expected = brute_force(ROWS, QUERY, model, group.nulls, search)
    assert rows_of(result) == expected
    assert len(result) > 0
    assert (result.feature, result.model_version, result.exact) == (f"{group.name}:text", model, True)
    assert result.at == (search.at or NOW)
    assert {match.model_version for match in result} == {model}
    assert all(set(match.filters) == set(search.filters or {}) for match in result)


def test_an_entity_is_searched_by_its_own_vector_and_left_out(acme: OfflineStore) -> None:
    key = {"source": "a", "number": 3}
    own = acme.get_feature_at_time("docs:text", key, NOW)
    assert own is not None

    result = acme.search_similar_embeddings("docs:text", key, limit=100, threshold=-1)

    assert result.model_version == own.model_version
    others = [row for row in ROWS if (row["source"], row["number"]) != ("a", 3)]
    assert rows_of(result) == brute_force(others, own.value, str(own.model_version), "skip", Search(100, -1))


@pytest.fixture(scope="module")
def few(feature_store: FeatureStore) -> OfflineStore:
    """A tenant of its own, with a vector for each rule."""
    store = feature_store.tenant("few")
    at = NOW - DAY

    def doc(number: int, vector: list[float] | None, model: str = "small", **more: Any) -> Row:
        row = {"source": "s", "number": number, "event_timestamp": at, "text": vector, "text__model_version": model}
        return row | more

    store.write_batch(
        "docs",
        [
            doc(1, [1, 0, 0, 0, 0, 0], pages=3, country="US"),
            doc(2, [1, 1, 0, 0, 0, 0]),
            # Vectors of one direction tie.
            doc(4, [7, 7, 0, 0, 0, 0], pages=1),
            doc(3, [0.1, 0.1, 0, 0, 0, 0], pages=3),
            doc(5, [0, 0, 0, 0, 0, 0]),
            doc(6, [1, 0, 0, 0, 0, 0], "large"),
            # Exactly as old as the TTL allows, and a microsecond older.
            doc(7, [-1, 0, 0, 0, 0, 0], event_timestamp=NOW - 5 * DAY),
            doc(8, [-1, 0, 0, 0, 0, 0], event_timestamp=NOW - 5 * DAY - timedelta(microseconds=1)),
            # Of one moment in both times: the content decides.
            doc(9, [0, 0, 1, 0, 0, 0], created_timestamp=NOW),
            doc(9, [0, 0, 0, 1, 0, 0], created_timestamp=NOW),
            # From the future.
            doc(10, [1, 0, 0, 0, 0, 0], event_timestamp=NOW + timedelta(microseconds=1)),
            # Only corrected later, to a vector that is zero.
            doc(11, [1, 0, 0, 0, 0, 0]),
            doc(11, [0, 0, 0, 0, 0, 0], created_timestamp=NOW + DAY),
        ],
    )
    return store


def numbers(result: SimilarEntities) -> list[int]:
    return [match.entity["number"] for match in result]


ALONG = [1, 0, 0, 0, 0, 0]


def test_matches_come_by_similarity_and_ties_by_key(few: OfflineStore) -> None:
    result = few.search_similar_embeddings("docs:text", ALONG, threshold=-1)

    tied = result[numbers(result).index(9)]
    assert numbers(result) == [1, 2, 3, 4, 9, 7]
    assert [match.similarity for match in result[:2]] == [1.0, pytest.approx(0.5**0.5, abs=1e-12)]
    assert (tied.similarity, result[-1].similarity) == (0.0, -1.0)


@pytest.mark.parametrize(
    ("query", "options", "expected"),
    [
        # The threshold is included, and rounding does not keep a vector from itself.
        ([0.1] * 2 + [0] * 4, {"threshold": 1}, [2, 3, 4]),
        (ALONG, {"threshold": 0.8}, [1]),
        (ALONG, {"limit": 2, "threshold": -1}, [1, 2]),
        (ALONG, {"at": NOW + DAY, "threshold": 0.99}, [1, 10]),
        (ALONG, {"at": NOW - 5 * DAY, "threshold": -1}, [7, 8]),
        (ALONG, {"model_version": "large"}, [6]),
        (ALONG, {"at": NOW - 300 * DAY}, []),
    ],
)
def test_threshold_limit_instant_and_model_choose_the_matches(
    few: OfflineStore, query: list[float], options: dict[str, Any], expected: list[int]
) -> None:
    assert numbers(few.search_similar_embeddings("docs:text", query, **options)) == expected


def test_a_tied_vector_is_the_same_as_in_other_reads(few: OfflineStore) -> None:
    valid = few.get_feature_at_time("docs:text", {"source": "s", "number": 9}, NOW)
    assert valid is not None

    [match] = few.search_similar_embeddings("docs:text", valid.value, threshold=0.9)

    assert (match.entity["number"], match.similarity) == (9, 1.0)


def test_the_default_model_of_a_queried_entity_is_its_own(few: OfflineStore) -> None:
    result = few.search_similar_embeddings("docs:text", {"source": "s", "number": 6}, threshold=-1)
    assert (result.model_version, numbers(result)) == ("large", [])
    with pytest.raises(
        NotFoundError, match=r"no vector of 'docs:text' .* model version 'small'; it had some of \['large'\]"
    ):
        few.search_similar_embeddings("docs:text", {"source": "s", "number": 6}, model_version="small")
    with pytest.raises(NotFoundError, match="has no vector of 'docs:text' that was valid at 2026-03-20"):
        few.search_similar_embeddings("docs:text", {"source": "s", "number": 8})
    with pytest.raises(InvalidArgumentError, match="its vector of 'docs:text' is zero in all dims"):
        few.search_similar_embeddings("docs:text", {"source": "s", "number": 5})


def test_an_error_names_the_only_other_model_versions(few: OfflineStore) -> None:
    with pytest.raises(NotFoundError, match=r"no vectors of the model version 'smal' .*; it has \['large', 'small'\]"):
        few.search_similar_embeddings("docs:text", QUERY, model_version="smal")


def test_matches_as_a_table_and_as_a_sequence(few: OfflineStore) -> None:
    result = few.search_similar_embeddings("docs:text", [1, 0, 0, 0, 0, 0], filters={"pages": [3], "source": "s"})

    assert [match.filters for match in result] == [{"pages": 3, "source": "s"}] * 2
    assert (result[0], result[1:], len(result), bool(result)) == (result.matches[0], result.matches[1:], 2, True)
    frame = result.to_pandas()
    assert frame.columns.tolist() == [
        "source", "number", "similarity", "event_timestamp", "created_timestamp", "model_version", "pages",
    ]  # fmt: skip
    assert frame["number"].tolist() == [1, 3]
    assert frame["event_timestamp"].tolist() == [NOW - DAY] * 2
    nothing = few.search_similar_embeddings("docs:text", [0, 0, 0, 0, 0, 1], filters={"pages": 3})
    assert nothing.to_pandas().columns.tolist() == frame.columns.tolist()
    assert not nothing


def test_vectors_that_single_precision_cannot_separate_are_ordered(feature_store: FeatureStore) -> None:
    store = feature_store.tenant("close")
    random = np.random.default_rng(5)
    vectors = (np.float32(QUERY) + np.float32(1e-4) * random.normal(size=(150, DIMS)).astype(np.float32)).tolist()
    days = [date(1960, 1, 1) + timedelta(days=index) for index in range(150)]
    rows = {
        "day": pa.array(days),
        "event_timestamp": [NOW - DAY] * 150,
        "text": pa.array(vectors, pa.list_(pa.float32())),
    }
    store.write_batch("words", pa.table(rows))

    result = store.search_similar_embeddings("words:text", QUERY, limit=5, threshold=0.999)

    exact = sorted((-round(cosine(QUERY, vector), 12), day) for day, vector in zip(days, vectors, strict=True))
    assert [(-match.similarity, match.entity["day"]) for match in result] == exact[:5]


def test_similarities_of_vectors_of_any_length(spark: SparkSession) -> None:
    random = np.random.default_rng(7)
    dims = 300
    lengths = [1.0, 1e-42, 1e-30, 1e-12, 1e12, 1e30, 1e36]
    vectors = [(random.normal(size=dims) * length).astype(np.float32).tolist() for length in lengths]
    rows = pa.table({"vector": pa.array([*vectors, [0.0] * dims, None], pa.list_(pa.float32()))})
    for sample in (random.normal(size=dims), random.normal(size=dims) * 1e300, random.normal(size=dims) * 1e-300):
        query = Query.of(sample.tolist())
        vector = F.col("vector")
        similarities = spark.createDataFrame(rows).select(
            query.near(vector).alias("near"), query.exact(vector).alias("exact")
        )

        *compared, zero, missing = similarities.collect()

        expected = [cosine(sample / np.abs(sample).max(), vector) for vector in vectors]
        assert [row["exact"] for row in compared] == [pytest.approx(value, abs=2e-12) for value in expected]
        assert [row["near"] for row in compared] == [pytest.approx(value, abs=query.margin) for value in expected]
        assert [*zero, *missing] == [None] * 4


def test_only_valid_partitions_and_needed_columns_are_read_and_vectors_are_not_sorted_or_shuffled(
    acme: OfflineStore, spark: SparkSession
) -> None:
    request = SearchRequest(
        feature="docs:text",
        limit=5,
        threshold=0.5,
        at=NOW,
        filters={"pages": 3, "source": "a"},
        model_version=None,
        exact=None,
    )
    search = check_search(acme._scope.context, request)
    values = valid_vectors(Scope(acme._scope.context, "acme"), search).where(search.passes(of_keys=True))
    near = latest_similarities(values, search.columns, "small", Query.of(QUERY).near)
    rows = closest(near.where(search.passes(of_keys=False)), ["source", "number"], 0.5, 5)
    spark.conf.set("spark.sql.maxMetadataStringLength", "100000")
    nodes = list(nodes_of(rows))
    spark.conf.unset("spark.sql.maxMetadataStringLength")

    [scan] = [node for name, node, _ in nodes if name.startswith("Scan")]
    for part in ("= acme", ">= 2026-03-01", "<= 2026-03-20", "EqualTo(source,a)"):
        assert part in scan
    assert (
        "ReadSchema: struct<source:string,number:bigint,event_timestamp:timestamp,created_timestamp:timestamp,"
        "text:array<float>,text__model_version:string,pages:bigint" in scan
    )
    assert "country" not in scan
    moved = [output for name, _, output in nodes if name in ("Exchange", "Sort")]
    assert len(moved) >= 2
    assert not any("text#" in output for output in moved)


def nodes_of(rows: DataFrame) -> Iterator[tuple[str, str, str]]:
    """Each node of the physical plan: its name, its line, its output columns."""
    waiting = [rows._jdf.queryExecution().executedPlan()]
    while waiting:
        node = waiting.pop()
        yield node.nodeName(), node.simpleString(1000), node.output().mkString(",")
        waiting.extend(node.children().apply(index) for index in range(node.children().size()))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"feature": "docs:pages"}, r"'docs:pages' is long; only an embedding\(dims\) can be searched by similarity"),
        ({"query": [1.0] * 5}, "the vector has 5 dims, and 'docs:text' has vectors of 6 finite numbers"),
        ({"query": np.ones((1, 6))}, r"array of shape \(1, 6\), which cannot be searched by"),
        ({"query": [1.0] * 5 + ["1"]}, "the vector: expected double, found str; .* 6 finite numbers"),
        ({"query": [True] * 6}, "expected double, found bool"),
        ({"query": [1.0] * 5 + [None]}, "missing or not finite"),
        ({"query": pd.Series([1.0] * 5 + [float("nan")])}, "missing or not finite"),
        ({"query": [0.0] * 6}, "zero in all dims: it has no direction"),
        ({"query": "a1"}, r"'a1' is str, which cannot be searched by: .* a mapping of its join keys, as in {'source'"),
        ({"query": 17}, "17 is int, which cannot be searched by"),
        ({"query": {"source": "a"}}, r"join keys \['number'\] of 'doc' are missing"),
        ({"query": {"source": "a", "nmber": 1}}, "Did you mean 'number'"),
        ({"query": {"source": "a", "number": "1"}}, "number: expected long, found str"),
        ({"limit": 0}, "limit is 0; give a whole number from 1 on"),
        ({"limit": -1}, "limit is -1"),
        ({"limit": True}, "limit is True"),
        ({"limit": 2.0}, "limit is 2.0"),
        ({"limit": None}, "limit is None"),
        ({"threshold": 1.01}, "threshold is 1.01; give a cosine similarity from -1 to 1"),
        ({"threshold": -1.01}, "threshold is -1.01"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"threshold": True}, "threshold is True"),
        ({"threshold": "0.7"}, "threshold is '0.7'"),
        ({"at": "2026-03-01"}, "at: .* give an instant with its offset"),
        ({"model_version": ""}, "model_version is ''"),
        ({"query": np.array(["2026-03-01"] * 6, "M8[ns]")}, "an array of datetime64.* cannot be searched by"),
        ({"filters": ["country"]}, "filters are list; give a mapping"),
        ({"filters": {"contry": "US"}}, "'contry' is neither a join key nor a feature of group 'docs'. Did you mean 'country'"),
        ({"filters": {"country": 5}}, r"filter country: expected string, found int \(5\)"),
        ({"filters": {"country": ["US", 5]}}, r"expected string, found int \(5\)"),
        ({"filters": {"country": None}}, "filter 'country': None is not a value to filter by; give a value of type string"),
        ({"filters": {"country": []}}, "'country' is an empty list"),
        ({"filters": {"country": {"min": "A"}}}, "'country' is string, and ranges are for"),
        ({"filters": {"pages": {"mn": 1}}}, "a range has 'min', 'max' or both. Did you mean 'min'"),
        ({"filters": {"pages": {}}}, "a range has 'min', 'max' or both"),
        ({"filters": {"pages": {"min": 2, "max": 1}}}, "min 2 is greater than max 1"),
        ({"filters": {"pages": 2.5}}, "not a whole number, for long"),
        ({"filters": {"rating": float("nan")}}, "nan is not a value to filter by"),
        ({"filters": {"seen": "2026-03-01"}}, "filter seen: a date without a time"),
        ({"filters": {"tags": "x"}}, "'tags' is array<string>; possible types"),
        ({"filters": {"text": QUERY}}, r"'text' is embedding\(6\); possible types"),
    ],
)  # fmt: skip
def test_an_error_explains_what_cannot_be_searched(acme: OfflineStore, changed: dict[str, Any], message: str) -> None:
    arguments = {"feature": "docs:text", "query": QUERY} | changed
    with pytest.raises(InvalidArgumentError, match=message):
        acme.search_similar_embeddings(arguments.pop("feature"), arguments.pop("query"), **arguments)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("array(1.0D) AS vector, 1 AS id, 2 AS Id", r"queries: columns \['id', 'Id'\] differ only in case"),
        ("array(1.0D) AS vector, 1 AS Rank", r"queries have columns \['Rank'\], which the answer also has"),
        (
            "array(1.0D) AS vector, make_interval(1) AS z",
            "queries: column 'z' is interval, which cannot be carried along",
        ),
        ("'[1.0]' AS vector", "queries: column 'vector' is string; vectors are arrays of numbers"),
        ("array('1') AS vector", "queries: column 'vector' is array<string>; vectors are"),
    ],
)
def test_a_frame_of_queries_that_cannot_be_searched_by_is_explained(
    acme: OfflineStore, spark: SparkSession, columns: str, message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        acme.search_similar_for(spark.sql(f"SELECT {columns}"), "docs:text")


def test_queries_of_another_kind_are_refused(acme: OfflineStore) -> None:
    with pytest.raises(SchemaError, match="queries are Table; give a Spark DataFrame"):
        acme.search_similar_for(pa.table({"vector": [QUERY]}), "docs:text")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="queries are ndarray; give a list of vectors"):
        acme.search_similar_embeddings_batch("docs:text", np.array(5))


def test_unknown_names_offer_the_nearest(acme: OfflineStore) -> None:
    with pytest.raises(NotFoundError, match="'docs'"):
        acme.search_similar_embeddings("doc:text", QUERY)
    with pytest.raises(NotFoundError, match="'text'"):
        acme.search_similar_embeddings("docs:txt", QUERY)
    with pytest.raises(NotFoundError, match="has no vector of 'docs:text'"):
        acme.search_similar_embeddings("docs:text", {"source": "nowhere", "number": 1})
