"""Tables of vectors in PostgreSQL: their names, how they change with the definition, their graphs, their rows' bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from psycopg import Connection, sql

from featurestore import Entity, Feature, FeatureGroup, Settings
from featurestore.columnar.values.newest_vectors import MODEL
from featurestore.errors import PostgresError, SyncError
from featurestore.operations.vectors.sync_plan import DeltaState, SyncPlan, make_sync_plan
from featurestore.stores.postgres.connections import Postgres
from featurestore.stores.postgres.copy import batch_copier
from featurestore.stores.postgres.erasure import delete_entities, rewrite
from featurestore.stores.postgres.graph import ensure_graph, graph_memory
from featurestore.stores.postgres.layout import ensure_partition, ensure_table, migrate
from featurestore.stores.postgres.rows import (
    RowEncoder,
    UnstorableValueError,
    copied,
    copied_same_sized,
    long_field,
    stored_vectors,
    text_field,
)
from featurestore.stores.postgres.staging import (
    attach,
    create_staging,
    drop_left_behind,
    keep_attempts,
    make_partition_of,
)
from featurestore.stores.postgres.sync import (
    SyncTarget,
    Watermark,
    analyze,
    fingerprints,
    locked,
    merge,
    write_watermark,
)
from featurestore.stores.postgres.tables import (
    VectorTable,
    find,
    has_partition,
    in_schema,
    registered,
    short_name,
)

DOC = Entity("doc", join_keys={"source": "string", "number": "long"})
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


def group(filters: tuple[str, ...] = (), ttl: timedelta | None = None, dims: int = 4, **index: Any) -> FeatureGroup:
    return FeatureGroup(
        "docs",
        DOC,
        features=[
            Feature("text", f"embedding({dims})", index={"filters": list(filters), **index}),
            Feature("country", "string"),
            Feature("stars", "int"),
        ],
        ttl=ttl,
    )


def table_of(definition: FeatureGroup, model: str = "small") -> VectorTable:
    return VectorTable.of(definition, definition.feature("text"), model)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    # A path that is short enough for a socket.
    opened = Postgres(Settings(warehouse=str(tmp_path_factory.mktemp("pg") / "warehouse")))
    yield opened
    opened.close()


@pytest.fixture
def connection(postgres: Postgres) -> Iterator[Connection[Any]]:
    with postgres.connect_owner() as opened:
        migrate(opened)
        yield opened
        for (name,) in opened.execute("SELECT table_name FROM featurestore.vector_tables").fetchall():
            opened.execute(sql.SQL("DROP TABLE {}").format(in_schema(name)))
        opened.execute("DELETE FROM featurestore.vector_tables")


def columns_of(connection: Connection[Any], name: str) -> dict[str, str]:
    columns = connection.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass "
        "AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        [f'featurestore."{name}"'],
    )
    return dict(columns.fetchall())


def fill(postgres: Postgres, connection: Connection[Any], table: VectorTable, rows: list[dict[str, Any]]) -> None:
    """Rows into acme's partition, by the steps of a sync that need no Spark."""
    ensure_table(connection, table)
    ensure_partition(connection, table, "acme")
    target = SyncTarget(connection, "acme", table)
    staging = create_staging(target)
    copy_rows(postgres, target, staging, rows)
    analyze(target, staging)
    with connection.transaction():
        postgres.enter(connection, "acme")
        merge(target, table, staging, whole=True)
    drop_left_behind(target)


def copy_rows(postgres: Postgres, target: SyncTarget, staging: str, rows: list[dict[str, Any]]) -> None:
    """The rows as a task copies them in two attempts; the second counts."""
    copy = batch_copier(target.table, staging, postgres.worker_dsn)
    [_, counted] = [batch for _ in range(2) for batch in copy(iter([batch_of(target.table, rows)]))]
    [sent] = counted.to_pylist()
    keep_attempts(target, staging, [sent["attempt"]], sent["rows"])


def batch_of(table: VectorTable, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """The rows in the types of the table's columns; Spark's timestamps come in the session's time zone."""
    schema = pa.schema([*((column.name, ARROW[column.word]) for column in table.columns), (MODEL, pa.string())])
    [batch] = pa.Table.from_pylist([{**row, MODEL: table.model} for row in rows], schema).to_batches()
    return batch


ARROW = {
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "double": pa.float64(),
    "halfvec": pa.list_(pa.float32()),
    "int": pa.int32(),
    "long": pa.int64(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us", "America/New_York"),
    "vector": pa.list_(pa.float32()),
}


def row(number: int, **values: Any) -> dict[str, Any]:
    return {
        "source": "a",
        "number": number,
        "event_timestamp": NOW,
        "created_timestamp": NOW,
        "_embedding": [1.0, 0.5, -0.25, float(number)],
        **values,
    }


# Names.


def test_a_name_that_postgresql_would_cut_ends_in_a_hash_of_the_whole() -> None:
    assert short_name("a" * 63) == "a" * 63
    cut = short_name("ü" * 40)
    assert len(cut.encode()) <= 63
    assert cut.startswith("ü" * 20)
    assert short_name("ü" * 40 + "b") != cut


def test_no_two_tables_share_a_name() -> None:
    features = [("a", "b"), ("a_v1", "b"), ("a", "v1")]
    models = ["m", "m/acme", "acme@m", "hnsw m16 ef64 m", "x" * 90, "x" * 91, 'a"b', "ü" * 70]
    made = []
    for group_name, feature in features:
        for model in models:
            table = replace(table_of(group()), group=group_name, feature=feature, model=model)
            made += [table.name, table.partition("acme"), table.partition("acme2"), table.graph("acme")]

    assert len(set(made)) == len(made)
    assert max(len(name.encode()) for name in made) <= 63


@pytest.mark.parametrize("model", ["m", "x" * 200, 'quoted "name"; DROP TABLE x', "ünï/çødé:7@b"])
def test_whatever_the_model_version_is_called_it_has_a_table(connection: Connection[Any], model: str) -> None:
    table = table_of(group(("country",)), model)

    ensure_table(connection, table)
    ensure_partition(connection, table, "a-tenant-of-the-longest-name-that-a-tenant-may-have-0123456789-")

    assert find(connection, table) == table
    assert registered(connection, "docs", 1, "text") == [table]


# The schema, and tables as definitions change.


def test_migrations_run_once_and_a_newer_schema_is_refused(connection: Connection[Any]) -> None:
    before = connection.execute("SELECT * FROM featurestore.migrations ORDER BY 1").fetchall()
    migrate(connection)
    assert connection.execute("SELECT * FROM featurestore.migrations ORDER BY 1").fetchall() == before

    connection.execute("INSERT INTO featurestore.migrations (version, name) VALUES (99, 'later')")
    with pytest.raises(PostgresError, match="is of version 99, and this package knows 5; install the newer package"):
        migrate(connection)
    connection.execute("DELETE FROM featurestore.migrations WHERE version = 99")


def test_columns_have_the_types_of_the_definition(connection: Connection[Any]) -> None:
    table = table_of(group(("country", "stars"), ttl=timedelta(days=3)))

    ensure_table(connection, table)

    assert columns_of(connection, table.name) == {
        "tenant_id": "text",
        "source": "text",
        "number": "bigint",
        "event_timestamp": "timestamp with time zone",
        "created_timestamp": "timestamp with time zone",
        "_embedding": "vector(4)",
        "country": "text",
        "stars": "integer",
        "_at_country": "timestamp with time zone",
        "_at_stars": "timestamp with time zone",
    }


def mark(postgres: Postgres, connection: Connection[Any], table: VectorTable, tenant_id: str) -> None:
    with connection.transaction():
        postgres.enter(connection, tenant_id)
        write_watermark(SyncTarget(connection, tenant_id, table), table, Watermark("t", 3, NOW, NOW, None), 1)


def marks(postgres: Postgres, connection: Connection[Any], tenant_id: str) -> int:
    with connection.transaction():
        postgres.enter(connection, tenant_id)
        [[count]] = connection.execute("SELECT count(*) FROM featurestore.watermarks").fetchall()
    return int(count)


def test_other_filters_are_other_columns_and_every_tenant_is_synced_again(
    postgres: Postgres, connection: Connection[Any]
) -> None:
    fill(postgres, connection, table_of(group(("country",))), [row(1, country="US")])
    for tenant_id in ("acme", "other"):
        mark(postgres, connection, table_of(group()), tenant_id)

    changed = ensure_table(connection, table_of(group(("stars",))))

    assert changed == "the definition changed: filters were {'country': 'string'} and are {'stars': 'int'}"
    assert list(columns_of(connection, table_of(group()).partition("acme")))[6:] == ["stars"]
    assert [marks(postgres, connection, tenant_id) for tenant_id in ("acme", "other")] == [0, 0]
    assert ensure_table(connection, table_of(group(("stars",)))) is None


def test_another_storage_replaces_the_table(postgres: Postgres, connection: Connection[Any]) -> None:
    fill(postgres, connection, table_of(group()), [row(1)])
    halved = table_of(group(storage="halfvec"))

    changed = ensure_table(connection, halved)

    assert changed == "the definition changed: storage were vector and are halfvec"
    assert columns_of(connection, halved.name)["_embedding"] == "halfvec(4)"
    assert not has_partition(connection, halved, "acme")


def test_other_parameters_of_the_graph_change_no_rows(postgres: Postgres, connection: Connection[Any]) -> None:
    fill(postgres, connection, table_of(group()), [row(1)])
    mark(postgres, connection, table_of(group()), "acme")

    assert ensure_table(connection, table_of(group(m=8))) is None
    assert marks(postgres, connection, "acme") == 1
    assert [table.m for table in registered(connection, "docs", 1)] == [8]
    with connection.transaction():
        postgres.enter(connection, "acme")
        connection.execute("DELETE FROM featurestore.watermarks")


# The graph.


def graphs(connection: Connection[Any]) -> list[tuple[str, str]]:
    indexes = connection.execute(
        "SELECT relname, reloptions::text FROM pg_class WHERE relam = (SELECT oid FROM pg_am WHERE amname = 'hnsw') ORDER BY 1"
    )
    return indexes.fetchall()


def test_a_graph_is_built_once_and_swapped_when_its_parameters_change(
    postgres: Postgres, connection: Connection[Any]
) -> None:
    table, other = table_of(group()), table_of(group(m=8, ef_construction=40))
    fill(postgres, connection, table, [row(number) for number in range(50)])

    assert [ensure_graph(connection, table, "acme") for _ in range(2)] == [True, False]
    assert graphs(connection) == [("hnsw m16 ef64 acme@docs_v1:text:small", "{m=16,ef_construction=64}")]
    assert [ensure_graph(connection, other, "acme") for _ in range(2)] == [True, False]
    assert graphs(connection) == [("hnsw m8 ef40 acme@docs_v1:text:small", "{m=8,ef_construction=40}")]


def test_a_graph_that_an_interruption_left_is_rebuilt(postgres: Postgres, connection: Connection[Any]) -> None:
    table = table_of(group())
    fill(postgres, connection, table, [row(number) for number in range(3000)])
    ensure_graph(connection, table_of(group(m=8)), "acme")
    # Ends the concurrent build in its middle, like a crash.
    connection.execute("SET statement_timeout = '5ms'")
    with pytest.raises(Exception, match="statement timeout"):
        ensure_graph(connection, table, "acme")
    connection.execute("RESET statement_timeout")

    ensure_graph(connection, table, "acme")

    assert graphs(connection) == [("hnsw m16 ef64 acme@docs_v1:text:small", "{m=16,ef_construction=64}")]


@pytest.mark.parametrize(
    ("dims", "type_name", "built"), [(2001, "halfvec(2001)", True), (4001, "halfvec(4001)", False)]
)
def test_many_dims_are_halved_and_too_many_have_no_graph(
    connection: Connection[Any], dims: int, type_name: str, built: bool
) -> None:
    table = table_of(group(dims=dims))
    ensure_table(connection, table)
    ensure_partition(connection, table, "acme")

    assert ensure_graph(connection, table, "acme") is built
    assert columns_of(connection, table.name)["_embedding"] == type_name


def test_memory_for_a_graph_grows_with_it_up_to_a_limit() -> None:
    table = table_of(group(dims=384))

    assert graph_memory(table, 0) == 64 * 1024**2
    assert graph_memory(table, 200_000) > 200_000 * 384 * 4
    assert graph_memory(table, 10**9) == 4 * 1024**3


# Rows.


def test_postgresql_reads_rows_unchanged_and_hashes_them_equally(
    postgres: Postgres, connection: Connection[Any]
) -> None:
    table = table_of(group(("country", "stars"), ttl=timedelta(days=3)))
    at = datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    rows = [
        row(
            -(2**63),
            _embedding=[1.0, 0.5, -0.25, 1e9],
            event_timestamp=at,
            country="ü'\"\\",
            stars=-1,
            _at_country=NOW,
            _at_stars=NOW,
        ),
        row(2**40, country=None, stars=None, _embedding=[-0.0, 1e-7, 3e4, 1.0]),
    ]
    fill(postgres, connection, table, rows)
    target = SyncTarget(connection, "acme", table)

    with connection.transaction():
        postgres.enter(connection, "acme")
        stored = connection.execute(
            sql.SQL(
                "SELECT number, event_timestamp = '0001-01-01 00:00:00.000001+00', country, stars, _at_stars, "
                "_embedding::text FROM {} ORDER BY number"
            ).format(in_schema(table.name))
        ).fetchall()
        hashed = fingerprints(target, table)

    assert stored == [
        (-(2**63), True, "ü'\"\\", -1, NOW, "[1,0.5,-0.25,1e+09]"),
        (2**40, False, None, None, None, "[0,1e-07,30000,1]"),
    ]
    assert hashed == expected_hashes(table, rows)


def expected_hashes(table: VectorTable, rows: list[dict[str, Any]]) -> dict[int, tuple[int, int]]:
    hashes: dict[int, tuple[int, int]] = {}
    for bucket, row_hash in RowEncoder.of(table).hashes(batch_of(table, rows)):
        count, total = hashes.get(bucket, (0, 0))
        hashes[bucket] = (count + 1, total + row_hash)
    return hashes


@pytest.mark.parametrize("storage", ["vector", "halfvec"])
def test_a_vector_beyond_the_storage_keeps_its_direction(storage: str) -> None:
    vectors = np.float32([[3e38, -3e38, 0, 1e38], [1e-44, 0, 0, 0], [3e-30, 4e-30, 0, 0], [0.1, 0.2, 0.3, 0.4]])

    stored = stored_vectors(vectors, storage).astype(np.float64)

    lengths = np.linalg.norm(stored, axis=1)
    cosines = [
        (vector / np.abs(vector).max()) @ two / np.linalg.norm(vector / np.abs(vector).max()) / length
        for vector, two, length in zip(vectors.astype(np.float64), stored, lengths, strict=True)
    ]
    assert np.allclose(cosines, 1, atol=1e-6)
    assert (lengths > 1e-16).all()
    assert (lengths < 1e16).all()
    assert np.allclose(stored[3], vectors[3], atol=1e-3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"_embedding": [1.0]}, "a vector has 1 dims, and the feature has 4"),
        ({"country": "a\0b"}, "column 'country': .* has the character NUL"),
    ],
)
def test_a_value_that_postgresql_cannot_hold_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UnstorableValueError, match=message):
        expected_hashes(table_of(group(("country",))), [row(1), row(2, **values)])


def test_dates_and_numbers_are_encoded_as_postgresql_sends_them(connection: Connection[Any]) -> None:
    encoder = RowEncoder.of(table_of(group()))
    cases = {
        "date": (pa.array([date(1, 1, 1), date(2026, 3, 1), None], pa.date32()), "date_send(%s::date)"),
        "double": (pa.array([0.1, -0.0, None]), "float8send(%s::float8 + 0)"),
        "float": (pa.array([0.5, -0.0, None], pa.float32()), "float4send(%s::float4 + 0::float4)"),
        "boolean": (pa.array([True, False, None]), "boolsend(%s::boolean)"),
    }
    for word, (values, expression) in cases.items():
        column = replace(encoder.columns[0], name="x", word=word)
        fields = encoder._column(column, values)
        sent = [connection.execute(f"SELECT {expression}", [value]).fetchall() for value in values.to_pylist()]
        assert [field[4:] or None for field in fields] == [data for [[data]] in sent]


# One sync at a time, and what a crash leaves.


def test_a_second_sync_is_refused_and_learns_who_runs_the_first(
    postgres: Postgres, connection: Connection[Any]
) -> None:
    table = table_of(group())
    with postgres.connect_owner() as other, locked(SyncTarget(connection, "acme", table)):
        with locked(SyncTarget(other, "another", table)):
            pass
        message = r"synced already, by process \d+ on .*PostgreSQL's process \d+, since 20"
        with pytest.raises(SyncError, match=message), locked(SyncTarget(other, "acme", table)):
            pass
    with postgres.connect_owner() as other, locked(SyncTarget(other, "acme", table)):
        pass


def test_staging_that_a_crash_left_is_dropped_and_others_stay(connection: Connection[Any]) -> None:
    target, other = (SyncTarget(connection, tenant_id, table_of(group())) for tenant_id in ("acme", "other"))
    create_staging(target)
    staging_of_other = create_staging(other)

    drop_left_behind(target)

    left = connection.execute(
        "SELECT relname FROM pg_class WHERE relname LIKE 'staging %' AND relkind = 'r'"
    ).fetchall()
    assert left == [(staging_of_other,)]
    drop_left_behind(other)


def test_rows_of_attempts_that_do_not_count_are_not_merged(connection: Connection[Any]) -> None:
    target = SyncTarget(connection, "acme", table_of(group()))
    ensure_table(connection, target.table)
    staging = in_schema(create_staging(target))
    failed, done, also_done, run_twice = range(4)
    for attempt in (failed, done, also_done, run_twice):
        connection.execute(
            sql.SQL("INSERT INTO {} (_attempt, _model, source, number) VALUES (%s, 'small', 'a', 1)").format(staging),
            [attempt],
        )
    name = staging.as_string().split('"')[3]

    with pytest.raises(SyncError, match="2 rows were staged, and 3 were sent"):
        keep_attempts(target, name, [done, also_done], 3)
    keep_attempts(target, name, [done, also_done], 2)

    left = connection.execute(sql.SQL("SELECT _attempt FROM {} ORDER BY 1").format(staging)).fetchall()
    assert left == [(done,), (also_done,)]
    drop_left_behind(target)


def test_the_first_staged_rows_become_the_partition_itself(postgres: Postgres, connection: Connection[Any]) -> None:
    table = table_of(group(("stars",), ttl=timedelta(days=3)))
    ensure_table(connection, table)
    ensure_partition(connection, table, "usual")
    target = SyncTarget(connection, "acme", table)
    staging = create_staging(target, attachable=True)
    copy_rows(postgres, target, staging, [row(1, stars=5, _at_stars=NOW), row(2)])

    make_partition_of(target, table, staging)
    with connection.transaction():
        postgres.enter(connection, "acme")
        attach(target, table, staging)
    drop_left_behind(target)

    assert has_partition(connection, table, "acme")
    assert layout(connection, table.partition("acme")) == layout(connection, table.partition("usual"))
    with postgres.owner("acme") as entered:
        stored = entered.execute(
            sql.SQL("SELECT tenant_id, number, stars FROM {} ORDER BY number").format(in_schema(table.name))
        )
        assert stored.fetchall() == [("acme", 1, 5), ("acme", 2, None)]
    fill(postgres, connection, table, [row(2), row(3)])
    with postgres.owner("acme") as entered:
        stored = entered.execute(sql.SQL("SELECT number FROM {} ORDER BY number").format(in_schema(table.name)))
        assert stored.fetchall() == [(2,), (3,)]


def test_deleted_rows_that_an_older_transaction_can_see_count_as_still_in_the_files(
    postgres: Postgres, connection: Connection[Any]
) -> None:
    table = table_of(group())
    fill(postgres, connection, table, [row(1), row(2), row(3)])
    target = SyncTarget(connection, "acme", table)
    with postgres.connect_owner() as older, older.transaction():
        older.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        older.execute("SELECT count(*) FROM featurestore.vector_tables")
        with connection.transaction():
            postgres.enter(connection, "acme")
            deleted = delete_entities(target, table, [{"source": "a", "number": 1}, {"source": "a", "number": 2}])
        with pytest.raises(PostgresError, match="2 deleted rows are still in the files of"):
            rewrite(target, table, tries=1)
    still_to_do = comment_of(connection, table)
    rewrite(target, table)
    rewritten_file = file_of(connection, table)
    rewrite(target, table)

    assert deleted == 2
    assert still_to_do is None
    assert comment_of(connection, table) == "its files hold no row that is gone"
    assert file_of(connection, table) == rewritten_file


def file_of(connection: Connection[Any], table: VectorTable) -> int:
    [[file]] = connection.execute(
        "SELECT pg_relation_filenode(%s::regclass)", [f'featurestore."{table.partition("acme")}"']
    ).fetchall()
    return int(file)


def comment_of(connection: Connection[Any], table: VectorTable) -> str | None:
    [[comment]] = connection.execute(
        "SELECT obj_description(%s::regclass)", [f'featurestore."{table.partition("acme")}"']
    ).fetchall()
    return comment


def layout(connection: Connection[Any], name: str) -> list[Any]:
    """Columns, indexes, policies and rights of a table; names that hold the tenant's left out."""
    place = f'featurestore."{name}"'
    return [
        columns_of(connection, name),
        *(
            connection.execute(query, [place]).fetchall()
            for query in (
                "SELECT attname, attnotnull, attstorage, attstattarget, atthasdef, attcollation FROM pg_attribute "
                "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname",
                "SELECT regexp_replace(pg_get_indexdef(indexrelid), '^.* USING', ''), indisprimary, indisunique, indisvalid, "
                "(SELECT relispartition FROM pg_class WHERE oid = indexrelid) "
                "FROM pg_index WHERE indrelid = %s::regclass ORDER BY 1",
                "SELECT relrowsecurity, relforcerowsecurity, relacl, relpersistence, relispartition FROM pg_class "
                "WHERE oid = %s::regclass",
                "SELECT polname, pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = %s::regclass",
                "SELECT contype, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass ORDER BY 1, 2",
            )
        ),
    ]


def test_rows_of_equal_size_are_encoded_like_others() -> None:
    table = table_of(group(("stars",), ttl=timedelta(days=3)))
    plain = replace(table, keys=(("number", "long"), ("day", "date"), ("is_new", "boolean"), ("rate", "double")))
    rows = [
        {
            "number": number,
            "day": date(1969 + number, 2, 28),
            "is_new": number % 2 == 0,
            "rate": -0.0 if number == 1 else number / 7,
            "event_timestamp": NOW - number * timedelta(days=20_000, microseconds=1),
            "created_timestamp": NOW,
            "_embedding": [0.1, -0.0, 3e-30, float(number)],
            "stars": -number,
            "_at_stars": NOW,
        }
        for number in range(5)
    ]
    batch = batch_of(plain, rows)
    encoder, before = RowEncoder.of(plain), [long_field(7), text_field("small")]

    same_sized = encoder.same_sized(batch)

    assert same_sized is not None
    whole = copied([*([field] * len(rows) for field in before), *encoder.fields(batch)])
    assert copied_same_sized(before, same_sized, len(plain.columns)) == whole
    assert encoder.same_sized(batch_of(plain, [*rows, {**rows[0], "stars": None}])) is None
    assert RowEncoder.of(table).same_sized(batch_of(table, [row(1, stars=1, _at_stars=NOW)])) is None


# The decision.

LATER = NOW + timedelta(hours=1)
SYNCED = Watermark("one", 5, NOW, NOW, next_event_timestamp=LATER)


@pytest.mark.parametrize(
    ("watermark", "delta", "now", "expected"),
    [
        (None, DeltaState("one", 7, LATER, None), NOW, ("full", "it was never synced")),
        (SYNCED, DeltaState("two", 7, LATER, NOW), NOW, ("full", "the Delta table is not the table that")),
        (SYNCED, DeltaState("one", 4, LATER, None), NOW, ("full", "version 5 is synced and the Delta table is at 4")),
        (SYNCED, DeltaState("one", 7, LATER, None), NOW, ("full", "log does not reach back to version 5")),
        (
            SYNCED,
            DeltaState("one", 7, LATER, LATER),
            NOW,
            ("full", "version 5 of the Delta table is not the commit that"),
        ),
        (SYNCED, DeltaState("one", 7, LATER, NOW), NOW - timedelta(1), ("full", "the clock is behind the last sync")),
        (SYNCED, DeltaState("one", 5, NOW, NOW), NOW, ("none", "version 5 is synced")),
        (SYNCED, DeltaState("one", 7, LATER, NOW), NOW, ("incremental", "version 5 is synced")),
        (
            SYNCED,
            DeltaState("one", 5, NOW, NOW),
            LATER,
            ("incremental", "rows that were dated ahead have become valid"),
        ),
    ],
)
def test_how_to_sync_follows_from_the_watermark_and_the_delta_table(
    watermark: Watermark | None, delta: DeltaState, now: datetime, expected: tuple[str, str]
) -> None:
    plan = make_sync_plan(watermark, delta, now, full=False, changed=None)

    assert plan.mode == expected[0]
    assert expected[1] in plan.reason
    assert plan.due_since == (NOW if now == LATER else None)


def test_a_sync_is_full_on_request_or_where_a_change_needs_it() -> None:
    delta = DeltaState("one", 5, NOW, NOW)

    assert make_sync_plan(SYNCED, delta, NOW, full=True, changed=None) == SyncPlan("full", "it was requested", 5, 5)
    assert make_sync_plan(SYNCED, delta, NOW, full=False, changed="other filters").reason == "other filters"
