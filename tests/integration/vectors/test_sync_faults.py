"""Syncs that are interrupted, in whichever way: the rows are as before or as after, and the next sync ends as if nothing
had been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore import FeatureStore, OfflineStore, Settings
from featurestore.errors import PostgresError, SyncError
from featurestore.stores.postgres.server import OWNER, SUPERUSER
from featurestore.stores.postgres.tables import in_schema
from tests.inputs.embedded_documents import DEFINITIONS
from tests.processes.job_processes import exit_code, write_settings

pytestmark = pytest.mark.slow

# Up to the last of these, what was there is there; from the first of the others on, all that is new.
# Some of them, or with EVERY_KILL=1 in the environment all.
EVERY_KILL = os.environ.get("EVERY_KILL") == "1"
BEFORE = ["schema", "tables", "staging", "copied", "partitions"] if EVERY_KILL else ["copied"]
AFTER = ["merged", "cleaned", "graph"] if EVERY_KILL else ["merged", "graph"]
START = datetime(2026, 3, 1, tzinfo=UTC)
Rows = dict[int, tuple[str, int | None]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sync")
    (made / "conf" / "features").mkdir(parents=True)
    (made / "conf" / "features" / "docs.yml").write_text(DEFINITIONS, encoding="utf-8")
    write_settings(made)
    return made


@pytest.fixture(scope="module")
def store(spark: SparkSession, folder: Path) -> Iterator[OfflineStore]:
    fs = FeatureStore.open(Settings.load(folder / "conf", {}), spark=spark)
    fs.apply(folder / "conf" / "features")
    opened = fs.tenant("acme")
    yield opened
    opened._scope.context.postgres.close()


@pytest.fixture(scope="module")
def by_tasks(spark: SparkSession, store: OfflineStore) -> Iterator[OfflineStore]:
    """The same, whose rows Spark's tasks copy, few as they are."""
    settings = store._scope.settings.model_copy(update={"local_batch_rows": 0})
    opened = FeatureStore.open(settings, spark=spark).tenant("acme")
    yield opened
    opened._scope.context.postgres.close()


@pytest.fixture(autouse=True)
def no_hook(store: OfflineStore, by_tasks: OfflineStore) -> Iterator[None]:
    before = store._scope.context.step
    yield
    for opened in (store, by_tasks):
        opened._scope.context.step = before


class Written:
    """What was written so far, by key, and how many batches that were."""

    rows: Rows = {}
    batches = 0


def write(store: OfflineStore, first: int, last: int) -> None:
    """Vectors of a range of keys: new ones, and others in the place of those that are there."""
    Written.batches += 1
    at = START + timedelta(hours=Written.batches)
    vectors = {number: [1.0, float(Written.batches), float(number)] for number in range(first, last)}
    rows = [
        {"doc_id": number, "event_timestamp": at, "text": vector, "stars": number % 5}
        for number, vector in vectors.items()
    ]
    table = pa.Table.from_pylist(rows)
    store.write_batch("docs", table.set_column(2, "text", table["text"].cast(pa.list_(pa.float32()))))
    Written.rows = Written.rows | {number: (as_text(vector), number % 5) for number, vector in vectors.items()}


def as_text(vector: list[float]) -> str:
    return json.dumps([round(number) for number in vector], separators=(",", ":"))


def stored(store: OfflineStore, model: str = "small") -> Rows:
    with store._scope.context.postgres.owner("acme") as connection:
        if connection.execute("SELECT to_regclass('featurestore.\"docs_v1:text:small\"')").fetchone() == (None,):
            return {}
        rows = connection.execute(
            sql.SQL("SELECT doc_id, _embedding::text, stars FROM {}").format(in_schema(f"docs_v1:text:{model}"))
        )
        return {row[0]: (row[1], row[2]) for row in rows.fetchall()}


def left_behind(store: OfflineStore) -> int:
    with store._scope.context.postgres.owner() as connection:
        count = connection.execute("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'staging %'")
        [[number]] = count.fetchall()
    return int(number)


def require_whole(store: OfflineStore) -> None:
    """One more sync ends in the rows that were written, with nothing left to mend."""
    result = store.sync_embeddings("docs:text", verify=True)
    assert result.repaired == 0
    assert stored(store) == Written.rows
    assert left_behind(store) == 0


def hook(store: OfflineStore, step: str, action: Callable[[], None]) -> None:
    """Do something, once, when the sync has come so far."""
    done = threading.Event()

    def reached(name: str) -> None:
        if name == f"sync_embeddings.{step}" and not done.is_set():
            done.set()
            action()

    store._scope.context.step = reached


def killed_after(step: str, folder: Path, **settings: str) -> int:
    return exit_code(folder, "sync-embeddings", "docs:text", stop_at=f"sync_embeddings.{step}", **settings)


def test_a_sync_killed_after_any_of_its_steps_leaves_the_old_rows_or_the_new(store: OfflineStore, folder: Path) -> None:
    write(store, 0, 30)
    ends, states = [], []
    for step in BEFORE:
        # By Spark's tasks; the steps after the copy are the same.
        ends.append(killed_after(step, folder, FEATURESTORE_LOCAL_BATCH_ROWS="0"))
        states.append(stored(store))
    for step in AFTER:
        write(store, 20, 40)
        ends.append(killed_after(step, folder))
        states.append(stored(store) == Written.rows)

    assert ends == [-signal.SIGKILL] * len(ends)
    assert states == [{}] * len(BEFORE) + [True] * len(AFTER)
    require_whole(store)


def postmaster(store: OfflineStore) -> int:
    data = Path(store._scope.context.settings.warehouse + ".postgres") / "data"
    return int((data / "postmaster.pid").read_text().splitlines()[0])


@pytest.mark.parametrize(
    ("step", "kind", "route"),
    [
        ("staging", signal.SIGKILL, "store"),
        ("staging", signal.SIGKILL, "by_tasks"),
        ("copied", signal.SIGQUIT, "store"),
    ],
)
def test_postgresql_that_is_killed_stops_the_sync_and_the_next_goes_on(
    store: OfflineStore, step: str, kind: signal.Signals, route: str, request: pytest.FixtureRequest
) -> None:
    store.sync_embeddings("docs:text")
    before = stored(store)
    write(store, 20, 50)
    syncing: OfflineStore = request.getfixturevalue(route)
    hook(syncing, step, lambda: os.kill(postmaster(store), kind))

    with pytest.raises((PostgresError, SyncError)) as raised:
        syncing.sync_embeddings("docs:text")

    assert "password" not in str(raised.value)
    assert stored(store) == before
    require_whole(store)


def test_a_connection_that_is_cut_stops_the_sync_and_the_next_goes_on(store: OfflineStore) -> None:
    before = stored(store)
    write(store, 0, 10)

    def cut() -> None:
        with store._scope.context.postgres.connect_owner() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = user"
            )

    hook(store, "partitions", cut)
    with pytest.raises(PostgresError):
        store.sync_embeddings("docs:text")

    assert stored(store) == before
    require_whole(store)


def as_superuser(store: OfflineStore, statement: str) -> None:
    with psycopg.connect(store._scope.context.postgres.server.dsn(SUPERUSER), autocommit=True) as connection:
        connection.execute(statement)


def test_a_statement_timeout_stops_the_sync_and_the_next_goes_on(store: OfflineStore) -> None:
    before = stored(store)
    write(store, 0, 20)
    as_superuser(store, f"ALTER ROLE {OWNER} SET statement_timeout = '500ms'")
    with store._scope.context.postgres.connect_owner() as other, other.transaction():
        # Whoever waits for this lock runs into the timeout.
        other.execute(sql.SQL("LOCK TABLE {}").format(in_schema("acme@docs_v1:text:small")))
        with pytest.raises(PostgresError, match="canceling statement due to statement timeout"):
            store.sync_embeddings("docs:text")
    as_superuser(store, f"ALTER ROLE {OWNER} RESET statement_timeout")

    assert stored(store) == before
    require_whole(store)


@pytest.fixture
def small_disk(store: OfflineStore, tmp_path: Path) -> Iterator[None]:
    """A tablespace of 256 kB, in which all new tables of the owner are."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0777", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    server = (Path(store._scope.context.settings.warehouse + ".postgres") / "data").stat()
    os.chown(place, server.st_uid, server.st_gid)
    for parent in tmp_path.relative_to(tmp_path.parents[2]).parents:
        (tmp_path.parents[2] / parent).chmod(0o711)
    tmp_path.chmod(0o711)
    try:
        as_superuser(store, f"CREATE TABLESPACE small LOCATION '{place}'")
        as_superuser(store, f"GRANT CREATE ON TABLESPACE small TO {OWNER}")
        as_superuser(store, f"ALTER ROLE {OWNER} SET default_tablespace = 'small'")
        yield
    finally:
        as_superuser(store, f"ALTER ROLE {OWNER} RESET default_tablespace")
        as_superuser(store, "DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_full_stops_the_sync(store: OfflineStore, by_tasks: OfflineStore, small_disk: None) -> None:
    before = stored(store)
    write(store, 0, 6000)

    for syncing in (store, by_tasks):
        with pytest.raises((SyncError, PostgresError), match="No space left on device"):
            syncing.sync_embeddings("docs:text")

    assert stored(store) == before


def test_once_there_is_room_the_next_sync_goes_on(store: OfflineStore) -> None:
    require_whole(store)


def test_one_of_two_concurrent_syncs_does_the_work_and_the_other_names_it(store: OfflineStore) -> None:
    write(store, 0, 40)
    messages: list[str] = []

    def second() -> None:
        with pytest.raises(SyncError) as raised:
            FeatureStore.open(store._scope.context.settings, spark=store._scope.context.spark).tenant(
                "acme"
            ).sync_embeddings("docs:text")
        messages.append(str(raised.value))

    hook(store, "staging", second)
    store.sync_embeddings("docs:text")

    assert f"is being synced already, by process {os.getpid()} on " in messages[0]
    require_whole(store)


def test_a_vector_of_other_dims_is_refused_and_nothing_changes(
    store: OfflineStore, by_tasks: OfflineStore, spark: SparkSession
) -> None:
    values = store._scope.context.table(store._scope.context.group("docs")).values
    version, before = values.version(), stored(store)
    newest = values.read(version).orderBy(F.desc("event_timestamp")).limit(1)
    wrong = newest.withColumn("text", F.expr("slice(text, 1, 2)"))
    # Past the store's own checks.
    values.append(wrong.withColumn("event_timestamp", F.expr("event_timestamp + interval 300 days")).limit(1))
    values.append(wrong.withColumn("created_timestamp", F.expr("created_timestamp + interval 300 days")).limit(1))

    messages = []
    for syncing in (store, by_tasks):
        with pytest.raises(SyncError) as raised:
            syncing.sync_embeddings("docs:text")
        messages.append(str(raised.value))

    assert messages == [
        "vectors of docs:text could not be copied to PostgreSQL: UnstorableValueError: a vector has 2 dims, and the "
        "feature has 3. The rows there are unchanged; run the sync again"
    ] * 2  # fmt: skip
    assert stored(store) == before
    spark.sql(f"RESTORE TABLE {values.sql} TO VERSION AS OF {version}")
    require_whole(store)


def test_another_model_version_is_another_table(store: OfflineStore, folder: Path) -> None:
    file = folder / "conf" / "features" / "docs.yml"
    file.write_text(DEFINITIONS.replace("model_version: small", "model_version: large"), encoding="utf-8")
    fs = FeatureStore(store._scope.context)
    fs.apply(folder / "conf" / "features")
    before = dict(Written.rows)

    write(store, 0, 5)
    result = store.sync_embeddings("docs:text", verify=True)

    assert (result.model_versions, result.repaired) == (("large", "small"), 0)
    assert stored(store) == before
    assert stored(store, "large") == {number: Written.rows[number] for number in range(5)}
