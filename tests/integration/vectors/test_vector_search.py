"""Search in PostgreSQL: what brute force in NumPy finds, among rows of its own table. No Spark here."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from featurestore import Settings
from featurestore.errors import PostgresError
from featurestore.frames.vectors.filters import ColumnFilter
from featurestore.frames.vectors.similarity import SIMILARITY, Query
from featurestore.stores.postgres.connections import Postgres, retrying
from featurestore.stores.postgres.graph import ensure_graph
from featurestore.stores.postgres.layout import ensure_partition, ensure_table, migrate
from featurestore.stores.postgres.search import VectorSearch, nearest
from featurestore.stores.postgres.searchable import Searchable, own_vectors, searchable
from featurestore.stores.postgres.tables import VectorTable, in_schema, names

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
DIMS, ROWS = 24, 6000
WORDS = {"country": "string", "stars": "long", "rating": "float", "seen": "timestamp", "day": "date", "open": "boolean"}
TABLE = VectorTable(
    group="docs",
    version=1,
    feature="text",
    model="small",
    dims=DIMS,
    storage="vector",
    keys=(("source", "string"), ("number", "long")),
    filters=tuple(WORDS.items()),
    nulls="skip",
    timed=False,
    m=16,
    ef_construction=64,
)
HALF = replace(TABLE, model="half", storage="halfvec")
Row = dict[str, Any]


def clustered(rng: np.random.Generator, count: int) -> np.ndarray[Any, Any]:
    """Vectors as embeddings are: around some hundred centres, in fewer directions than they have dims."""
    plane = np.random.default_rng(1).standard_normal((12, DIMS))
    centres = np.random.default_rng(2).standard_normal((100, 12))
    near = centres[rng.integers(0, 100, count)] + 0.4 * rng.standard_normal((count, 12))
    return (near @ plane + 0.1 * rng.standard_normal((count, DIMS))).astype(np.float32)


def some_rows(seed: int) -> list[Row]:
    """Rows with missing values, and a twentieth of them with one of five vectors, in other lengths: they tie."""
    rng = np.random.default_rng(seed)
    vectors = clustered(rng, ROWS)
    tied = rng.random(ROWS) < 0.05
    vectors[tied] = vectors[rng.integers(0, 5, tied.sum())] * (2.0 ** rng.integers(-8, 9, (tied.sum(), 1)))

    def sometimes(value: Any) -> Any:
        return None if rng.random() < 0.1 else value

    return [
        {
            "source": "ab\u00e9"[number % 3],
            "number": number // 3,
            "event_timestamp": NOW - timedelta(hours=int(rng.integers(0, 240))),
            "created_timestamp": NOW,
            "vector": vector,
            "country": sometimes(str(rng.choice(["US", "NL", "FI", "it's"], p=[0.7, 0.2, 0.09, 0.01]))),
            "stars": sometimes(int(rng.integers(0, 1000))),
            "rating": sometimes(float(np.float32(rng.integers(0, 20) / 10))),
            "seen": sometimes(NOW - timedelta(minutes=int(rng.integers(0, 10_000)))),
            "day": sometimes(date(2026, 1, 1) + timedelta(days=int(rng.integers(0, 90)))),
            "open": sometimes(bool(rng.random() < 0.5)),
        }
        for number, vector in enumerate(vectors)
    ]


@dataclass(frozen=True)
class Loaded:
    """A table in a server, and the rows that it has."""

    postgres: Postgres
    searchable: Searchable
    rows: list[Row]

    def find(self, queries: list[Any], **options: Any) -> list[Any]:
        search = VectorSearch(searchable=self.searchable, tenant_id="acme", **options)
        with self.postgres.tenant("acme") as connection:
            return nearest(connection, search, [Query.of(query) for query in queries])


def load(postgres: Postgres, table: VectorTable, rows: list[Row], tenant_id: str = "acme") -> Loaded:
    columns = [column.name for column in table.columns]
    with postgres.owner() as owner:
        migrate(owner)
        ensure_table(owner, table)
        ensure_partition(owner, table, tenant_id)
    with postgres.owner(tenant_id) as owner:
        statement = sql.SQL("INSERT INTO {} (tenant_id, {}) VALUES ({}::text, {})").format(
            in_schema(table.name),
            names(columns),
            sql.Placeholder(),
            sql.SQL(", ").join(sql.Placeholder() * len(columns)),
        )
        values = [{**row, "_embedding": str(row["vector"].tolist())} for row in rows]
        owner.cursor().executemany(statement, [[tenant_id, *(row[name] for name in columns)] for row in values])
        owner.execute(
            "INSERT INTO featurestore.watermarks VALUES (%s, %s, 'id', 7, now(), %s, NULL, %s)",
            [table.name, tenant_id, NOW, len(rows)],
        )
    with postgres.connect_owner() as owner:
        owner.execute(sql.SQL("ANALYZE {}").format(in_schema(table.name)))
        ensure_graph(owner, table, tenant_id)
    with postgres.tenant(tenant_id) as connection:
        target = searchable(connection, tenant_id, table.group, table.version, table.feature)[table.model]
    return Loaded(postgres, target, rows)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    postgres = Postgres(Settings(warehouse=str(tmp_path_factory.mktemp("search") / "warehouse")))
    yield postgres
    postgres.close()


@pytest.fixture(scope="module")
def loaded(postgres: Postgres) -> Loaded:
    load(postgres, TABLE, some_rows(99)[:50], "other")
    return load(postgres, TABLE, some_rows(3))


@pytest.fixture(scope="module")
def halves(postgres: Postgres) -> Loaded:
    return load(postgres, HALF, some_rows(3))


def passes(row: Row, filters: tuple[ColumnFilter, ...]) -> bool:
    for filter_ in filters:
        value = row[filter_.name]
        if value is None or (filter_.any_of and value not in filter_.any_of):
            return False
        if (filter_.low is not None and value < filter_.low) or (filter_.high is not None and value > filter_.high):
            return False
    return True


def brute_force(
    loaded: Loaded, query: Any, limit: int, threshold: float, filters: Any, oldest: Any = None
) -> list[Any]:
    """Key and similarity of each match, in order."""
    rows = [row for row in loaded.rows if passes(row, filters) and (oldest is None or row["event_timestamp"] >= oldest)]
    if not rows:
        return []
    kind = np.float32 if loaded.searchable.table.storage == "vector" else np.float16
    vectors = np.array([row["vector"] for row in rows]).astype(kind).astype(np.float64)
    wanted = np.asarray(query, np.float64)
    cosines = vectors @ wanted / np.sqrt((vectors * vectors).sum(axis=1) * (wanted @ wanted))
    matches = [
        ((row["source"], row["number"]), round(float(cosine), 12)) for row, cosine in zip(rows, cosines, strict=True)
    ]
    return sorted((match for match in matches if match[1] >= threshold), key=lambda match: (-match[1], match[0]))[
        :limit
    ]


def pairs(result: Any) -> list[Any]:
    return [((row["source"], row["number"]), row[SIMILARITY]) for row in result.rows]


def same(actual: list[Any], expected: list[Any]) -> bool:
    """The same keys in the same order; the last digit of a similarity may differ, since it is a sum."""
    return [key for key, _ in actual] == [key for key, _ in expected] and np.allclose(
        [similarity for _, similarity in actual], [similarity for _, similarity in expected], rtol=0, atol=2e-12
    )


def any_of(name: str, *values: Any) -> ColumnFilter:
    return ColumnFilter(name, {**WORDS, "source": "string", "number": "long"}[name], any_of=values)


def between(name: str, low: Any, high: Any) -> ColumnFilter:
    return ColumnFilter(name, {**WORDS, "number": "long"}[name], low=low, high=high)


FILTERS = st.sampled_from(
    [
        any_of("country", "US"),
        any_of("country", "FI", "it's"),
        any_of("country", "it's"),
        any_of("country", "nowhere", "N\0L"),
        any_of("source", "a", "\u00e9"),
        any_of("open", True),
        any_of("rating", float(np.float32(0.1)), 1.5),
        between("rating", float(np.float32(0.1)), float(np.float32(1.2))),
        between("stars", 100, None),
        between("stars", 40, 49),
        between("stars", 500, 500),
        between("number", None, 1000),
        between("seen", NOW - timedelta(minutes=3000), NOW),
        between("day", date(2026, 2, 1), date(2026, 2, 3)),
    ]
)
SEARCHES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "limit": st.sampled_from([1, 3, 10, 10, 60, 400]),
        "threshold": st.sampled_from([-1.0, 0.3, 0.9]),
        "filters": st.lists(FILTERS, max_size=3, unique_by=lambda filter_: filter_.name).map(tuple),
        "oldest": st.sampled_from([None, None, NOW - timedelta(hours=150), NOW - timedelta(hours=1)]),
    }
)


def query_of(loaded: Loaded, seed: int) -> Any:
    """Every other query is a stored vector, and some stored vectors tie."""
    rng = np.random.default_rng(seed)
    return loaded.rows[seed % 200]["vector"] if seed % 2 else clustered(rng, 1)[0]


@settings(max_examples=60)
@given(options=SEARCHES)
def test_an_exact_search_is_brute_force(loaded: Loaded, options: dict[str, Any]) -> None:
    query = query_of(loaded, options.pop("seed"))
    [result] = loaded.find([query], exact=True, **options)

    assert result.exact
    assert same(pairs(result), brute_force(loaded, query, **options))


@settings(max_examples=20)
@given(options=SEARCHES)
def test_an_exact_search_of_halves_is_brute_force_among_halves(halves: Loaded, options: dict[str, Any]) -> None:
    query = query_of(halves, options.pop("seed"))
    [result] = halves.find([query], exact=True, **options)

    assert same(pairs(result), brute_force(halves, query, **options))


@settings(max_examples=60)
@given(options=SEARCHES)
def test_a_search_by_index_leaves_no_place_empty(loaded: Loaded, options: dict[str, Any]) -> None:
    """What it finds passes, has its own similarity, and is in order; as many as there are, but for the threshold's edge."""
    query = query_of(loaded, options.pop("seed"))
    [result] = loaded.find([query], **options)
    all_that_pass = brute_force(loaded, query, len(loaded.rows), -1, options["filters"], options["oldest"])
    expected = brute_force(loaded, query, **options)

    assert same(sorted(pairs(result)), sorted(match for match in all_that_pass if match[0] in dict(pairs(result))))
    assert pairs(result) == sorted(pairs(result), key=lambda match: (-match[1], match[0]))
    assert len(set(dict(pairs(result)))) == len(result.rows) >= 0.9 * len(expected)
    if options["threshold"] == -1:
        assert len(result.rows) == len(expected)


@pytest.mark.parametrize(
    "filters", [(), (any_of("country", "US"),), (any_of("country", "NL"),), (between("stars", 1, 60),)]
)
@pytest.mark.parametrize("kind", ["loaded", "halves"])
def test_recall(kind: str, filters: tuple[ColumnFilter, ...], request: pytest.FixtureRequest) -> None:
    loaded = request.getfixturevalue(kind)
    queries = list(clustered(np.random.default_rng(17), 60))
    results = loaded.find(queries, limit=10, threshold=-1, filters=filters)
    recalls = []
    for query, result in zip(queries, results, strict=True):
        expected = {key for key, _ in brute_force(loaded, query, 10, -1, filters)}
        recalls.append(len(expected & {key for key, _ in pairs(result)}) / 10)

    assert np.mean(recalls) >= 0.97


def test_the_index_answers_where_many_rows_pass(loaded: Loaded) -> None:
    queries = list(clustered(np.random.default_rng(5), 40))

    assert {result.exact for result in loaded.find(queries, limit=10, threshold=-1)} == {False}
    assert {
        result.exact for result in loaded.find(queries, limit=10, threshold=-1, filters=(between("stars", 7, 9),))
    } == {True}


def test_ties_beyond_the_limit_come_in_the_order_of_their_keys(loaded: Loaded) -> None:
    query = loaded.rows[0]["vector"]
    [result] = loaded.find([query], limit=5, threshold=0.5)
    tied = [key for key, similarity in brute_force(loaded, query, len(loaded.rows), 0.5, ()) if similarity == 1]

    assert len(tied) > 30
    assert pairs(result) == [(key, 1.0) for key in tied[:5]]


def test_an_entity_has_its_own_vector_or_none(loaded: Loaded) -> None:
    entities = [{"source": "a", "number": 1}, {"source": "nobody", "number": 1}, {"source": "\u00e9", "number": 0}]
    with loaded.postgres.tenant("acme") as connection:
        vectors = own_vectors(connection, TABLE, "acme", entities, None)
    with loaded.postgres.tenant("other") as connection:
        of_other = own_vectors(connection, TABLE, "acme", entities, None)

    assert [None if vector is None else np.float32(vector[2]).tolist() for vector in vectors] == [
        loaded.rows[3]["vector"].tolist(),
        None,
        loaded.rows[2]["vector"].tolist(),
    ]
    assert of_other == [None] * 3


def test_another_tenants_rows_are_never_near(loaded: Loaded) -> None:
    """Not even for a request by name and with their own vectors: the transaction belongs to one tenant."""
    query = some_rows(99)[7]["vector"]
    search = VectorSearch(searchable=loaded.searchable, tenant_id="other", limit=10, threshold=0.999)
    by_tenant = {}
    for tenant in ("acme", "other"):
        with loaded.postgres.tenant(tenant) as connection:
            [by_tenant[tenant]] = nearest(connection, search, [Query.of(query)])

    assert by_tenant["acme"].rows == []
    assert [row[SIMILARITY] for row in by_tenant["other"].rows] == [1.0]


def test_a_value_of_a_filter_ends_with_the_ttl(postgres: Postgres) -> None:
    """A vector of today with a country of last week, which a TTL of three days has expired."""
    timed = replace(TABLE, model="timed", filters=(("country", "string"),), timed=True)
    week_ago = NOW - timedelta(days=7)
    rows = [
        {
            "source": "a",
            "number": number,
            "country": "US",
            "_at_country": at,
            "vector": np.eye(DIMS, dtype=np.float32)[0],
        }
        | {"event_timestamp": event, "created_timestamp": NOW}
        for number, at, event in [(1, NOW, NOW), (2, week_ago, NOW), (3, NOW, week_ago)]
    ]
    loaded = load(postgres, timed, rows)
    filters = (any_of("country", "US"),)
    [ended] = loaded.find([rows[0]["vector"]], limit=9, threshold=-1, filters=filters, oldest=NOW - timedelta(days=3))
    [all_time] = loaded.find([rows[0]["vector"]], limit=9, threshold=-1, filters=filters)

    assert [row["number"] for row in ended.rows] == [1]
    assert [row["number"] for row in all_time.rows] == [1, 2, 3]


# Faults. A server of its own for each, since it is killed.


def killed(postgres: Postgres) -> None:
    """As a power cut would."""
    postmaster = int((postgres.server.data / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    for pid in (postmaster, *map(int, children)):
        os.kill(pid, signal.SIGKILL)


def searched_while(loaded: Loaded, postgres: Postgres, disturb: Callable[[], None]) -> list[Any]:
    """Exact searches one after another; one disturbance happens among them; each search is complete or an error."""
    search = replace(VectorSearch(searchable=loaded.searchable, tenant_id="acme", limit=10, threshold=-1), exact=True)
    queries = [Query.of(query) for query in clustered(np.random.default_rng(5), 60)]

    def find() -> list[Any]:
        with postgres.tenant("acme") as connection:
            return nearest(connection, search, queries)

    timer = threading.Timer(0.15, disturb)
    timer.start()
    answers = []
    try:
        for _ in range(4):
            answers.append([pairs(result) for result in retrying(find)])
    finally:
        timer.join()
    return answers


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Loaded]:
    postgres = Postgres(Settings(warehouse=str(tmp_path / "warehouse")))
    yield load(postgres, TABLE, some_rows(3))
    postgres.close()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are found in /proc")
def test_a_search_during_which_the_embedded_server_dies_is_done_by_the_next_one(alone: Loaded) -> None:
    expected = searched_while(alone, alone.postgres, lambda: None)
    answers = searched_while(alone, alone.postgres, lambda: killed(alone.postgres))

    assert answers == expected


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are found in /proc")
def test_a_search_during_which_a_server_dies_for_good_is_an_error(alone: Loaded) -> None:
    dsn = alone.postgres.server.dsn("featurestore_owner")
    app = alone.postgres.server.dsn("featurestore_app")
    external = Postgres(Settings(postgres="external", postgres_dsn=dsn, postgres_app_dsn=app))
    with pytest.raises(PostgresError, match="cannot be reached"):
        searched_while(alone, external, lambda: killed(alone.postgres))
    external.close()


def test_a_search_that_takes_too_long_is_an_error(alone: Loaded) -> None:
    hasty = Postgres(
        Settings(warehouse=alone.postgres.server.folder.as_posix().removesuffix(".postgres"), search_timeout=0.001)
    )
    search = VectorSearch(searchable=alone.searchable, tenant_id="acme", limit=400, threshold=-1, exact=True)

    def find() -> None:
        with hasty.tenant("acme") as connection:
            nearest(connection, search, [Query.of(query) for query in clustered(np.random.default_rng(5), 200)])

    with pytest.raises(PostgresError, match="statement timeout"):
        find()
    hasty.close()
