"""A PostgreSQL that is not the store's own: by DSN, with passwords and TLS, of an owner that may no more than it must."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
import trustme
from pyspark.sql import SparkSession

from featurestore import FeatureStore, OfflineStore, Settings
from featurestore.errors import PostgresError
from tests.byte_search import found_in
from tests.conftest import SPARK, Clock
from tests.inputs.embedded_documents import DEFINITIONS
from tests.processes.job_processes import write_settings
from tests.processes.tls_postgres import HOST, ExternalServer, external_server, tls_before
from tests.processes.waiting import PATIENCE

pytestmark = pytest.mark.slow
NOW = datetime(2026, 3, 1, tzinfo=UTC)
# Told apart from whatever else there is, so that every byte can be searched for them.
OWNER_PASSWORD, SEARCHER_PASSWORD, WRONG = "0wn3r-Secret-71", "S3archer-Secret-72", "wr0ng-Secret-73"
SECRETS = (OWNER_PASSWORD, SEARCHER_PASSWORD, WRONG)
ENVIRONMENT = {"FEATURESTORE_SUPPRESSION_SECRET": "a long secret of the test's own"}


@dataclass(frozen=True)
class Place:
    """The server, the endpoint before it, and the file of the authority that signed the endpoint's certificate."""

    server: ExternalServer
    tls_port: int
    authority: Path
    folder: Path

    def dsn(self, login: str = "owner", password: str = OWNER_PASSWORD, **changed: str) -> str:
        parameters = {"host": HOST, "sslmode": "verify-full", "sslrootcert": str(self.authority)} | changed
        host = parameters.pop("host")
        words = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgresql://{login}:{password}@{host}:{self.tls_port}/features?{words}"

    def settings(self, dsn: str | None = None) -> Settings:
        searcher = self.dsn("searcher", SEARCHER_PASSWORD)
        return Settings(
            warehouse=str(self.folder / "warehouse"),
            postgres_dsn=dsn or self.dsn(),
            postgres_app_dsn=searcher,
            spark=SPARK,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, authority = tmp_path_factory.mktemp("external"), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    with (
        external_server(tmp_path_factory.mktemp("server") / "own", "superuser's") as server,
        tls_before(server.port, authority) as port,
    ):
        server.as_superuser(
            f"CREATE ROLE owner LOGIN PASSWORD '{OWNER_PASSWORD}'", "CREATE DATABASE features", database="postgres"
        )
        yield Place(server, port, folder / "authority.pem", folder)


@pytest.fixture(scope="module")
def store(place: Place, spark: SparkSession) -> Iterator[OfflineStore]:
    features = place.folder / "features"
    features.mkdir()
    (features / "docs.yml").write_text(DEFINITIONS, encoding="utf-8")
    fs = FeatureStore.open(place.settings(), spark=spark, clock=Clock(NOW), environ=dict(ENVIRONMENT))
    fs.apply(features)
    store = fs.tenant("acme")
    write(store, range(40))
    yield store
    fs._context.postgres.close()


def write(store: OfflineStore, numbers: range) -> None:
    rows = pa.table(
        {
            "doc_id": pa.array(numbers, pa.int64()),
            "event_timestamp": pa.array([NOW] * len(numbers), pa.timestamp("us", "UTC")),
            "text": pa.array([[1.0, number / 10, 0.0] for number in numbers], pa.list_(pa.float32())),
            "stars": pa.array([number % 2 for number in numbers], pa.int64()),
        }
    )
    store.write_batch("docs", rows)


def refused(place: Place, spark: SparkSession, dsn: str) -> str:
    """How a sync by another DSN fails; no password is in what it says, nor in what led to it."""
    other = FeatureStore.open(place.settings(dsn), spark=spark, clock=Clock(NOW)).tenant("acme")
    with pytest.raises(PostgresError) as raised:
        other.sync_embeddings("docs:text")
    error: BaseException | None = raised.value
    while error is not None:
        assert not any(secret in f"{error} {error!r}" for secret in SECRETS)
        error = error.__cause__ or error.__context__
    return str(raised.value)


def test_an_owner_without_the_rights_learns_what_an_administrator_must_run(
    place: Place, store: OfflineStore, spark: SparkSession
) -> None:
    told = [refused(place, spark, place.dsn())]
    place.server.as_superuser("CREATE SCHEMA featurestore AUTHORIZATION owner")
    told.append(refused(place, spark, place.dsn()))
    place.server.as_superuser("CREATE EXTENSION vector")
    told.append(refused(place, spark, place.dsn()))
    place.server.as_superuser(
        "CREATE ROLE featurestore_app",
        f"CREATE ROLE searcher LOGIN PASSWORD '{SEARCHER_PASSWORD}' IN ROLE featurestore_app",
    )

    assert told[0].endswith("in this database: CREATE SCHEMA featurestore AUTHORIZATION owner")
    assert 'permission denied to create extension "vector" (42501)' in told[1]
    assert told[1].endswith("run once, in this database: CREATE EXTENSION vector")
    assert "permission denied to create role (42501); an administrator must run once" in told[2]
    assert "must run once: CREATE ROLE featurestore_app;" in told[2]


def test_vectors_are_synced_by_workers_over_tls_and_searched_by_the_application_s_login(
    place: Place, store: OfflineStore, spark: SparkSession
) -> None:
    of_workers = place.settings().model_copy(update={"local_batch_rows": 0})
    by_workers = FeatureStore.open(of_workers, spark=spark, clock=Clock(NOW), environ=dict(ENVIRONMENT))
    result = by_workers.tenant("acme").sync_embeddings("docs:text", verify=True)
    by_workers._context.postgres.close()
    neighbors = store.search_similar_embeddings("docs:text", [1.0, 0.52, 0.0], limit=2, filters={"stars": 1})
    queries = spark.createDataFrame(
        [("a", [1.0, 0.0, 0.0]), ("b", [1.0, 3.9, 0.0])], "query string, vector array<double>"
    )
    batch = store.search_similar_for(queries.repartition(2), "docs:text", limit=1).orderBy("query").collect()

    assert (result.mode, result.rows, result.repaired) == ("full", 40, 0)
    assert (neighbors.source, [neighbor.entity["doc_id"] for neighbor in neighbors]) == ("postgres", [5, 7])
    assert [(row["query"], row["similar"]["doc_id"]) for row in batch] == [("a", 0), ("b", 39)]


def test_the_application_s_login_sees_nothing_by_sql_of_its_own(place: Place, store: OfflineStore) -> None:
    with psycopg.connect(place.dsn("searcher", SEARCHER_PASSWORD), autocommit=True) as connection:
        rows = connection.execute('SELECT count(*) FROM featurestore."docs_v1:text:small"').fetchone()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM featurestore.signing_key")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute('SELECT * FROM featurestore."acme@docs_v1:text:small"')

    assert rows == (0,)


def test_a_sync_brings_changes_and_an_erasure_removes_the_entity(place: Place, store: OfflineStore) -> None:
    write(store, range(40, 50))
    result = store.sync_embeddings("docs:text", verify=True)
    certificate = store.erase("doc", {"doc_id": 45})
    after = store.sync_embeddings("docs:text", verify=True)
    neighbors = store.search_similar_embeddings("docs:text", [1.0, 4.5, 0.0], limit=1, exact=True)
    [vectors] = [table for table in certificate.tables if table.kind == "vectors"]

    assert (result.mode, result.rows, result.repaired) == ("incremental", 50, 0)
    assert vectors.rows == 1
    # The role does not own the database, and only its administrator reaches the rest.
    assert [place.split(" ")[1] for place in certificate.out_of_reach[:2]] == ["planner", "write-ahead"]
    assert "VACUUM (FULL) pg_catalog.pg_statistic" in certificate.out_of_reach[0]
    assert (after.rows, after.repaired) == (49, 0)
    assert neighbors[0].entity["doc_id"] != 45


def other_authority(place: Place) -> str:
    file = place.folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    return place.dsn(sslrootcert=str(file))


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        (other_authority, "certificate verify failed"),
        (lambda place: place.dsn(host="localhost"), 'does not match host name "localhost"'),
        (lambda place: place.dsn(sslmode="disable", sslrootcert=""), "server closed the connection unexpectedly"),
        (lambda place: place.dsn(password=WRONG), 'password authentication failed for user "owner"'),
        (lambda place: place.dsn(password=WRONG, sslrootcert="/nowhere.pem"), 'root certificate file "/nowhere.pem"'),
    ],
    ids=["authority", "host name", "no TLS", "password", "no authority"],
)
def test_a_refused_connection_says_why_and_shows_no_password(
    place: Place, store: OfflineStore, spark: SparkSession, dsn: Callable[[Place], str], message: str
) -> None:
    assert message in refused(place, spark, dsn(place))


def job(place: Place, **more: str) -> tuple[int, str]:
    """A sync by Spark in a process of its own, with its event log in the folder; the exit code and all it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "featurestore", "sync-embeddings", "docs:text", "--full", "--tenant", "acme"],
        env={**os.environ, "FEATURESTORE_LOCAL_BATCH_ROWS": "0", **more},
        cwd=place.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_job_leaves_no_password_in_what_it_prints_the_ledger_and_spark_s_own_logs(
    place: Place, store: OfflineStore
) -> None:
    events = place.folder / "events"
    events.mkdir()
    write_settings(place.folder)
    with (place.folder / "conf" / "dev.yml").open("w", encoding="utf-8") as file:
        file.write(f"spark: {{spark.eventLog.enabled: 'true', spark.eventLog.dir: 'file://{events}'}}\n")
    logins = {"FEATURESTORE_POSTGRES_APP_DSN": place.dsn("searcher", SEARCHER_PASSWORD)}
    code, printed = job(place, FEATURESTORE_POSTGRES_DSN=place.dsn(), **logins)
    wrong_code, wrong_printed = job(place, FEATURESTORE_POSTGRES_DSN=place.dsn(password=WRONG), **logins)
    (place.folder / "printed").write_text(printed + wrong_printed, encoding="utf-8")

    assert (code, wrong_code) == (0, PostgresError.exit_code), printed + wrong_printed
    assert 'password authentication failed for user "owner"' in wrong_printed or 'user "owner"' in wrong_printed
    assert any(file.stat().st_size for file in events.rglob("*") if file.is_file())
    # The search itself finds what is there.
    assert found_in(place.folder, b"password authentication failed")
    assert {secret: found_in(place.folder, secret.encode()) for secret in SECRETS} == {secret: [] for secret in SECRETS}
