"""One tenant never sees another's vectors, whatever SQL the application's role sends. No Spark here."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from featurestore import Settings
from featurestore.errors import ConfigurationError, PostgresError
from featurestore.stores.postgres.connections import Postgres
from featurestore.stores.postgres.layout import ensure_partition, ensure_table, migrate
from featurestore.stores.postgres.security import APPLICATION_ROLE, SigningKey, read_signing_key
from featurestore.stores.postgres.tables import VectorTable, in_schema

TABLE = VectorTable(
    group="docs",
    version=1,
    feature="text",
    model="small",
    dims=3,
    storage="vector",
    keys=(("doc", "string"),),
    filters=(("country", "string"),),
    nulls="skip",
    timed=False,
    m=16,
    ef_construction=64,
)
PARENT = in_schema(TABLE.name)
ALL = sql.SQL("SELECT tenant_id, doc FROM {} ORDER BY 1, 2").format(PARENT)
INSERT = sql.SQL(
    "INSERT INTO {} (tenant_id, doc, event_timestamp, created_timestamp, _embedding, country) "
    "VALUES (%s, %s, now(), now(), '[1,2,3]', 'US')"
).format(PARENT)
ENTER = "SELECT set_config('featurestore.tenant', %s, false)"


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    postgres = Postgres(Settings(warehouse=str(tmp_path_factory.mktemp("security") / "warehouse")))
    with postgres.owner() as owner:
        migrate(owner)
        ensure_table(owner, TABLE)
        for tenant in ("acme", "other"):
            ensure_partition(owner, TABLE, tenant)
    for tenant in ("acme", "other"):
        with postgres.owner(tenant) as owner:
            owner.execute(INSERT, [tenant, f"{tenant}'s"])
            owner.execute(
                "INSERT INTO featurestore.watermarks VALUES (%s, %s, 'id', 1, now(), now(), NULL, 1)",
                [TABLE.name, tenant],
            )
    yield postgres
    postgres.close()


@pytest.fixture
def application(postgres: Postgres) -> Iterator[psycopg.Connection]:
    """A connection under the application's role, as an attacker with its login would have."""
    with psycopg.connect(postgres.server.dsn(APPLICATION_ROLE), autocommit=True) as connection:
        yield connection


def key_of(postgres: Postgres) -> SigningKey:
    with postgres.owner() as owner:
        key = read_signing_key(owner)
    assert key is not None
    return key


def pass_for(postgres: Postgres, connection: psycopg.Connection, tenant: str) -> str:
    """What the store itself would set in the transaction that the connection is in."""
    session = connection.execute("SELECT pg_backend_pid(), (extract(epoch FROM now()) * 1000000)::bigint").fetchone()
    assert session is not None
    return f"{tenant}|{key_of(postgres).signature(tenant, *session)}"


def test_a_transaction_sees_only_the_rows_of_its_tenant(postgres: Postgres) -> None:
    seen = {}
    for tenant in ("acme", "other", "nobody"):
        with postgres.tenant(tenant) as connection:
            seen[tenant] = connection.execute(ALL).fetchall()

    assert seen == {"acme": [("acme", "acme's")], "other": [("other", "other's")], "nobody": []}


def test_the_owner_is_no_exception(postgres: Postgres) -> None:
    with postgres.owner() as connection:
        of_none = connection.execute(ALL).fetchall()
        partitions = [
            connection.execute(sql.SQL("SELECT * FROM {}").format(in_schema(TABLE.partition(tenant)))).fetchall()
            for tenant in ("acme", "other")
        ]
    with postgres.owner("acme") as connection:
        of_acme = connection.execute(ALL).fetchall()
    with pytest.raises(PostgresError, match="row-level security"), postgres.owner("acme") as connection:
        connection.execute(INSERT, ["other", "not mine"])

    assert (of_none, partitions, of_acme) == ([], [[], []], [("acme", "acme's")])


def test_security_is_forced_on_every_table_that_has_tenants(postgres: Postgres) -> None:
    with postgres.owner() as connection:
        tables = connection.execute(
            "SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid "
            "WHERE relnamespace = 'featurestore'::regnamespace AND attname = 'tenant_id' AND relkind IN ('r', 'p')"
        ).fetchall()
        roles = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname IN ('featurestore_app', 'featurestore_owner') "
            "AND NOT (rolsuper OR rolbypassrls OR rolcreaterole)"
        ).fetchall()
        owned = connection.execute("SELECT count(*) FROM pg_class WHERE relowner = 'featurestore_app'::regrole")

        assert {name for name, _ in tables} >= {
            TABLE.name,
            TABLE.partition("acme"),
            TABLE.partition("other"),
            "watermarks",
        }
        assert [name for name, forced in tables if not forced] == []
        assert len(roles) == 2
        assert owned.fetchone() == (0,)


def test_without_a_tenant_there_is_nothing_to_see(application: psycopg.Connection) -> None:
    assert application.execute(ALL).fetchall() == []
    assert application.execute("SELECT * FROM featurestore.watermarks").fetchall() == []


@pytest.mark.parametrize(
    "forged", ["other", "other|", "|", "other|" + "0" * 64, "", "other'--", "\u00e9|\u00e9", "other|" * 3]
)
def test_a_forged_setting_is_no_tenants(application: psycopg.Connection, forged: str) -> None:
    application.execute(ENTER, [forged])

    assert application.execute(ALL).fetchall() == []


def test_a_signature_is_valid_for_one_tenant_connection_and_transaction(
    postgres: Postgres, application: psycopg.Connection
) -> None:
    other_connection = psycopg.connect(postgres.server.dsn(APPLICATION_ROLE), autocommit=True)
    with other_connection, application.transaction():
        signed = pass_for(postgres, application, "acme")
        application.execute(ENTER, [signed])
        here = application.execute(ALL).fetchall()
        other_connection.execute(ENTER, [signed])
        there = other_connection.execute(ALL).fetchall()
        application.execute(ENTER, [signed.replace("acme", "other")])
        renamed = application.execute(ALL).fetchall()
        application.execute(ENTER, [signed])
    # The setting itself is still there; the transaction that it was signed for is not.
    setting = application.execute("SELECT current_setting('featurestore.tenant')").fetchone()
    later = application.execute(ALL).fetchall()

    assert here == [("acme", "acme's")]
    assert setting == (signed,)
    assert (there, renamed, later) == ([], [], [])


def test_a_pooled_connection_keeps_no_tenant_after_an_error(postgres: Postgres) -> None:
    backends = set()

    def fail() -> None:
        with postgres.tenant("acme") as connection:
            backends.add(connection.info.backend_pid)
            connection.execute("SELECT 1 / 0")

    for _ in range(3):
        with pytest.raises(PostgresError, match="division by zero"):
            fail()
    with psycopg.connect(postgres.server.dsn(APPLICATION_ROLE)) as fresh:
        unset = fresh.execute("SELECT current_setting('featurestore.tenant', true)").fetchone()
    with postgres.tenant("other") as connection:
        backends.add(connection.info.backend_pid)
        seen = connection.execute(ALL).fetchall()

    assert len(backends) == 1
    assert unset in ((None,), ("",))
    assert seen == [("other", "other's")]


def test_a_prepared_statement_sees_who_runs_it(postgres: Postgres) -> None:
    seen = []
    for tenant in ("acme", "other") * 4:
        with postgres.tenant(tenant) as connection:
            seen += connection.execute(ALL, prepare=True).fetchall()
    with psycopg.connect(postgres.server.dsn(APPLICATION_ROLE), autocommit=True) as connection:
        with connection.transaction():
            connection.execute(ENTER, [pass_for(postgres, connection, "acme")])
            connection.execute(sql.SQL("PREPARE mine AS {}").format(ALL))
            of_acme = connection.execute("EXECUTE mine").fetchall()
        of_nobody = connection.execute("EXECUTE mine").fetchall()

    assert seen == [("acme", "acme's"), ("other", "other's")] * 4
    assert (of_acme, of_nobody) == ([("acme", "acme's")], [])


@pytest.mark.parametrize(
    "statement",
    [
        sql.SQL("SELECT * FROM {}").format(in_schema(TABLE.partition("other"))),
        sql.SQL("SELECT * FROM {}").format(in_schema(TABLE.partition("acme"))),
        sql.SQL("COPY {} TO STDOUT").format(in_schema(TABLE.partition("other"))),
        sql.SQL("SELECT * FROM featurestore.signing_key"),
        sql.SQL("INSERT INTO {} (tenant_id) VALUES ('acme')").format(PARENT),
        sql.SQL("DELETE FROM {}").format(PARENT),
        sql.SQL("UPDATE {} SET tenant_id = 'acme'").format(PARENT),
        sql.SQL("TRUNCATE {}").format(PARENT),
        sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY").format(PARENT),
        sql.SQL("DROP POLICY of_tenant ON {}").format(PARENT),
        sql.SQL("CREATE POLICY mine ON {} USING (true)").format(PARENT),
        sql.SQL("CREATE OR REPLACE FUNCTION featurestore.current_tenant() RETURNS text RETURN 'other'"),
        sql.SQL("CREATE TABLE featurestore.mine (id int)"),
        sql.SQL("SET ROLE featurestore_owner"),
        sql.SQL("SET SESSION AUTHORIZATION featurestore_owner"),
        sql.SQL("SET row_security = off; SELECT * FROM featurestore.watermarks"),
        sql.SQL("ALTER ROLE featurestore_app BYPASSRLS"),
        sql.SQL("COPY featurestore.watermarks TO PROGRAM 'cat'"),
        sql.SQL("SELECT pg_read_file('postgresql.conf')"),
    ],
)
def test_the_application_may_do_nothing_but_select_from_parents(
    application: psycopg.Connection, statement: sql.Composable
) -> None:
    with pytest.raises(
        (psycopg.errors.InsufficientPrivilege, psycopg.errors.WrongObjectType, psycopg.ProgrammingError)
    ):
        application.execute(statement)


def test_neither_a_shadowing_function_nor_a_leaky_condition_shows_other_tenants(
    application: psycopg.Connection,
) -> None:
    """A search path of one's own does not reach the policy's function, and one's own functions run after the policy."""
    notices: list[str] = []
    application.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    application.execute(
        "CREATE FUNCTION pg_temp.leak(doc text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS "
        "$$ BEGIN RAISE NOTICE '%', doc; RETURN true; END $$"
    )
    application.execute(
        "CREATE FUNCTION pg_temp.sha256(given bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT ''::bytea $$"
    )
    application.execute("SET search_path = pg_temp, pg_catalog, featurestore, public")
    application.execute(ENTER, ["other|"])

    assert application.execute(sql.SQL("SELECT * FROM {} WHERE pg_temp.leak(doc)").format(PARENT)).fetchall() == []
    assert notices == []


def test_statistics_of_others_rows_are_not_shown(postgres: Postgres, application: psycopg.Connection) -> None:
    with postgres.owner() as owner:
        owner.execute(sql.SQL("ANALYZE {}").format(PARENT))

    assert application.execute("SELECT * FROM pg_stats WHERE schemaname = 'featurestore'").fetchall() == []


def test_a_read_of_the_application_writes_nothing(postgres: Postgres) -> None:
    with pytest.raises(PostgresError, match="read-only"), postgres.tenant("acme") as connection:
        connection.execute(INSERT, ["acme", "new"])


def test_a_login_that_is_shared_changes_to_the_role(postgres: Postgres) -> None:
    """RESET ROLE undoes it: then rows are still the signed tenant's, but the owner could read the key, and sign another.
    So only a login of the application's own keeps out who can send any SQL."""
    with psycopg.connect(postgres.server.dsn("postgres"), autocommit=True) as superuser:
        superuser.execute("GRANT featurestore_app TO featurestore_owner WITH INHERIT FALSE, SET TRUE")
    shared = Postgres(Settings(postgres="external", postgres_dsn=postgres.server.dsn("featurestore_owner")))
    with shared.tenant("acme") as connection:
        role = connection.execute("SELECT session_user, current_user").fetchone()
        rows = connection.execute(ALL).fetchall()
        connection.execute("RESET ROLE")
        as_owner = connection.execute(ALL).fetchall()
        pid = connection.info.backend_pid
    with shared.owner() as connection:
        after = connection.execute("SELECT current_user, pg_backend_pid()").fetchone()
        of_none = connection.execute(ALL).fetchall()
    shared.close()

    assert role == ("featurestore_owner", "featurestore_app")
    assert rows == as_owner == [("acme", "acme's")]
    assert (after, of_none) == (("featurestore_owner", pid), [])


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://owner:hunter2@127.0.0.1:1/features",
        "host=127.0.0.1 port=1 user=owner password='hunter2' dbname=features",
        "host=127.0.0.1 port=1 hunter2",
        "postgresql://owner:hunter2@127.0.0.1:1/features?hunter2=hunter2",
    ],
)
def test_no_secret_is_in_an_error_or_a_representation(dsn: str, tmp_path: Path) -> None:
    settings = Settings(warehouse=str(tmp_path), postgres="external", postgres_dsn=dsn)
    postgres = Postgres(settings)
    with pytest.raises((PostgresError, ConfigurationError)) as caught, postgres.owner():
        pass

    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in f"{error} {error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert "hunter2" not in f"{postgres!r} {settings!r}"
    assert repr(SigningKey(b"hunter2")) == "SigningKey()"
