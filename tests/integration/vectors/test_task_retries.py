"""Spark retries failed tasks of a sync: each row is there once, whatever earlier attempts wrote."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from featurestore import FeatureStore, OfflineStore, Settings
from tests.inputs.embedded_documents import DEFINITIONS
from tests.processes.job_processes import write_settings
from tests.processes.tls_postgres import ExternalServer, external_server
from tests.processes.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.slow

ROWS = 60
NOW = datetime(2026, 3, 1, tzinfo=UTC)

# Says when it has come to a step, and goes on when a line comes in.
SYNC = """
import json, sys
from dataclasses import asdict
from featurestore import FeatureStore
fs = FeatureStore.open(sys.argv[1])
def step(name):
    if name in ("sync_embeddings.staging", "sync_embeddings.copied"):
        print(name, flush=True)
        sys.stdin.readline()
fs._context.step = step
result = fs.tenant("acme").sync_embeddings("docs:text")
print(json.dumps({"rows": result.rows, "upserted": result.rows_upserted}), flush=True)
"""
# A row in the middle waits for a lock, and rows are counted that a transaction wrote which came to nothing.
WAIT_IN_THE_MIDDLE = """
CREATE FUNCTION public.wait_in_the_middle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM nextval('public.written');
    IF NEW.doc_id = 30 THEN
        PERFORM pg_advisory_xact_lock(1);
    END IF;
    RETURN NEW;
END $$
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExternalServer]:
    with external_server(tmp_path_factory.mktemp("server") / "own", "superuser's") as server:
        server.as_superuser("CREATE ROLE owner LOGIN PASSWORD 'own' CREATEROLE", database="postgres")
        server.as_superuser("CREATE DATABASE features OWNER owner", database="postgres")
        server.as_superuser("CREATE EXTENSION vector")
        yield server


@pytest.fixture(scope="module")
def environment(server: ExternalServer) -> dict[str, str]:
    return {"FEATURESTORE_POSTGRES_DSN": server.dsn("owner", "own")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("retries")
    (made / "conf" / "features").mkdir(parents=True)
    (made / "conf" / "features" / "docs.yml").write_text(DEFINITIONS, encoding="utf-8")
    write_settings(made)
    # Three attempts of a task, on this machine, where Spark makes one by default.
    (made / "conf" / "dev.yml").write_text("spark: {spark.master: 'local[2,3]'}\n", encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def store(spark: SparkSession, folder: Path, environment: dict[str, str]) -> Iterator[OfflineStore]:
    fs = FeatureStore.open(Settings.load(folder / "conf", environment), spark=spark)
    fs.apply(folder / "conf" / "features")
    store = fs.tenant("acme")
    rows = {
        "doc_id": pa.array(range(ROWS), pa.int64()),
        "event_timestamp": pa.array([NOW] * ROWS, pa.timestamp("us", "UTC")),
        "text": pa.array([[1.0, number, 0.0] for number in range(ROWS)], pa.list_(pa.float32())),
        "stars": pa.array(range(ROWS), pa.int64()),
    }
    store.write_batch("docs", pa.table(rows))
    yield store
    fs._context.postgres.close()


class Meddler:
    """What holds the server still at the right moments, as a superuser, on a connection of its own."""

    def __init__(self, server: ExternalServer) -> None:
        self.connection = server.superuser()
        # What is waited for below must not hold these.
        self.execute("SET synchronous_commit = local")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        done = self.connection.execute(statement)
        return done.fetchall() if done.description else []

    def staging(self) -> str:
        [[name]] = self.execute("SELECT relname FROM pg_class WHERE relname LIKE 'staging %' AND relkind = 'r'")
        return f'featurestore."{name}"'

    def end_copy_that_waits(self, for_what: str) -> None:
        query = f"SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY %' AND wait_event = '{for_what}'"
        [[pid]] = wait_for("a COPY that waits", lambda: self.execute(query), self._activity)
        self.execute(f"SELECT pg_terminate_backend({pid}, 60000)")

    def _activity(self) -> str:
        return "\n".join(map(str, self.execute("SELECT pid, state, wait_event, query FROM pg_stat_activity")))

    def standbys(self, names: str) -> None:
        """Whose answer every commit waits for, after it was made."""
        self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.execute("SELECT pg_reload_conf()")
        set_now = f"SELECT 1 WHERE current_setting('synchronous_standby_names') = '{names}'"
        wait_for("the new setting", lambda: self.execute(set_now), self._activity)


@contextmanager
def sync_in_steps(folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    sync = subprocess.Popen(
        [sys.executable, "-c", SYNC, str(folder / "conf")],
        # Spark's tasks copy the rows, few as they are.
        env={**os.environ, **environment, "FEATURESTORE_LOCAL_BATCH_ROWS": "0"},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / "stderr").open("w"),
        text=True,
    )
    try:
        yield sync
    finally:
        sync.kill()


def test_rows_of_attempts_that_failed_do_not_count_whether_or_not_they_were_committed(
    store: OfflineStore, server: ExternalServer, folder: Path, environment: dict[str, str]
) -> None:
    meddler = Meddler(server)
    meddler.execute("ALTER ROLE owner SET synchronous_commit = local")
    with sync_in_steps(folder, environment) as sync:
        assert sync.stdin is not None
        assert sync.stdout is not None
        assert sync.stdout.readline() == "sync_embeddings.staging\n"
        staging = meddler.staging()
        meddler.execute("CREATE SEQUENCE public.written")
        meddler.execute(WAIT_IN_THE_MIDDLE)
        meddler.execute(
            f"CREATE TRIGGER wait BEFORE INSERT ON {staging} FOR EACH ROW EXECUTE FUNCTION wait_in_the_middle()"
        )
        meddler.execute("SELECT pg_advisory_lock(1)")
        # For connections from now on, which are those of tasks.
        meddler.execute("ALTER ROLE owner RESET synchronous_commit")
        sync.stdin.write("\n")
        sync.stdin.flush()

        # The first attempt ends in the middle of its rows.
        meddler.end_copy_that_waits("advisory")
        meddler.standbys("nobody")
        meddler.execute("SELECT pg_advisory_unlock(1)")
        # The second one is committed, and does not come to know of it.
        meddler.end_copy_that_waits("SyncRep")
        meddler.standbys("")
        assert sync.stdout.readline() == "sync_embeddings.copied\n"
        [[attempts, rows]] = meddler.execute(f"SELECT count(DISTINCT _attempt), count(*) FROM {staging}")
        [[written]] = meddler.execute("SELECT last_value FROM public.written")
        meddler.execute(f"DROP TRIGGER wait ON {staging}")
        output, _ = sync.communicate("\n", timeout=PATIENCE)
    keys = meddler.execute('SELECT doc_id FROM featurestore."docs_v1:text:small" ORDER BY 1')

    assert (attempts, rows) == (2, 2 * ROWS)
    # Those of the first attempt are not there, and were written.
    assert 2 * ROWS < written < 3 * ROWS
    assert json.loads(output) == {"rows": ROWS, "upserted": ROWS}
    assert keys == [(number,) for number in range(ROWS)]
    assert store.sync_embeddings("docs:text", verify=True).repaired == 0
