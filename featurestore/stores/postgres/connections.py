"""PostgreSQL: connections of the tables' owner and of the searching application, each transaction within one tenant."""

from __future__ import annotations

import re
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from featurestore.config import ENVIRONMENT_PREFIX, Settings
from featurestore.errors import ConfigurationError, PostgresError
from featurestore.stores.postgres.security import APPLICATION_ROLE, SigningKey, enter, read_signing_key
from featurestore.stores.postgres.server import INSTALL, OWNER, EmbeddedServer

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg_pool import ConnectionPool

T = TypeVar("T")
_TRIES = 4
_POOLED = 10
_SECONDS_TO_CONNECT = 10
_TIMEOUT = "57014"
# The server ends connections (57P..), cannot take more (53300), or the network does (08...).
_LOST = re.compile(r"57P0\d|53300|08\w{3}")


class ConnectionLostError(PostgresError):
    """The server could not be reached, or went away; what was under way is undone, and can be tried again."""


def retrying(action: Callable[[], T]) -> T:
    """Do what can be done again as a whole, and do it again, a few times, where the connection is lost meanwhile."""
    retries = Retrying(
        retry=retry_if_exception_type(ConnectionLostError),
        wait=wait_random_exponential(multiplier=0.2, max=3),
        stop=stop_after_attempt(_TRIES),
        reraise=True,
    )
    return retries(action)


@dataclass(frozen=True)
class TenantLogin:
    """By which a process of its own, such as a worker of Spark's, reads one tenant's rows; its secrets are not shown."""

    dsn: SecretStr
    tenant_id: str
    key: SigningKey
    settings: dict[str, str]

    @contextmanager
    def transaction(self) -> Iterator[Connection[Any]]:
        """A connection of its own, and one read-only transaction in it; raises PostgresError."""
        with as_postgres_error(), connect(self.dsn.get_secret_value()) as connection, connection.transaction():
            enter(connection, self.key, self.tenant_id, self.settings)
            yield connection


class Postgres:
    """The PostgreSQL of one store: embedded, or named by DSN. Nothing is started or connected before the first use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: EmbeddedServer | None = None
        self._lock = threading.RLock()
        self._pools: dict[str, ConnectionPool[Connection[Any]]] = {}
        self._key: SigningKey | None = None

    @contextmanager
    def owner(self, tenant_id: str | None = None) -> Iterator[Connection[Any]]:
        """One transaction of the tables' owner, committed at the block's end, rolled back on an error.

        Row-level security holds for the owner, too: with ``tenant_id`` it sees and writes that tenant's rows, without
        it none. Raises PostgresError for whatever PostgreSQL refuses.
        """
        with self._transaction(self._owner_dsn) as connection:
            if tenant_id is not None:
                self.enter(connection, tenant_id)
            yield connection

    @contextmanager
    def tenant(self, tenant_id: str, statement_timeout: float | None = None) -> Iterator[Connection[Any]]:
        """One read-only transaction of the application's role within one tenant; ``statement_timeout`` in seconds."""
        login = self.login(tenant_id, statement_timeout)
        with self._transaction(self._application_dsn) as connection:
            enter(connection, login.key, tenant_id, login.settings)
            yield connection

    def login(self, tenant_id: str, statement_timeout: float | None = None) -> TenantLogin:
        """What ``tenant`` enters with, for other processes; ``statement_timeout`` in seconds."""
        seconds = self._settings.search_timeout if statement_timeout is None else statement_timeout
        settings = {
            "statement_timeout": f"{max(1, round(seconds * 1000))}ms",
            # Compiling a query takes longer than a search.
            "jit": "off",
            "transaction_read_only": "on",
        }
        if self._shares_login:
            settings["role"] = APPLICATION_ROLE
        return TenantLogin(SecretStr(self._application_dsn()), tenant_id, self._signing_key(), settings)

    def is_set_up(self) -> bool:
        """Whether anything was ever synced; an embedded server that never was used is not started to tell."""
        if self._key is None and not self._is_new():
            with self.owner() as connection:
                self._key = read_signing_key(connection)
        return self._key is not None

    def connect_owner(self) -> Connection[Any]:
        """A connection of the owner's own, not pooled, autocommit: for locks and builds of indexes. The caller closes it."""
        return retrying(lambda: connect(self._owner_dsn()))

    def enter(self, connection: Connection[Any], tenant_id: str) -> None:
        """Enter a tenant for the rest of the transaction that one of the owner's connections is in."""
        enter(connection, self._signing_key(connection), tenant_id, {})

    @property
    def worker_dsn(self) -> SecretStr:
        """By which Spark's Python workers connect, as the owner; it may hold a password, and is for no plan or log."""
        return SecretStr(self._owner_dsn())

    @property
    def embedded(self) -> bool:
        return self._settings.postgres_dsn is None

    @property
    def server(self) -> EmbeddedServer:
        """The embedded server, which runs from now on; raises ConfigurationError where PostgreSQL is an external one."""
        with self._lock:
            if self._server is None:
                self._server = EmbeddedServer(_embedded_folder(self._settings))
            self._server.start()
            return self._server

    @property
    def may_have_rows(self) -> bool:
        """Whether anything can have been synced to it; looks at no server, and starts none."""
        return not self.embedded or (self._settings.postgres == "embedded" and not self._is_new())

    def drop_old_logs(self) -> None:
        """Remove an embedded server's logs up to now; those of another server are its administrator's."""
        if self.embedded:
            with as_postgres_error():
                self.server.drop_old_logs()

    def close(self) -> None:
        """Close the pooled connections; the embedded server stops unless somebody else uses it. It can be used again."""
        with self._lock:
            for pool in self._pools.values():
                pool.close(timeout=2)
            self._pools.clear()
            self._key = None
            if self._server is not None:
                self._server.release()

    def _is_new(self) -> bool:
        if not self.embedded or self._settings.postgres == "external":
            return False
        return (
            "://" in _local(self._settings.warehouse)
            or not EmbeddedServer(_embedded_folder(self._settings)).data.exists()
        )

    @property
    def _shares_login(self) -> bool:
        """Whether searches run in a login that is not only the application's."""
        return not self.embedded and self._settings.postgres_app_dsn is None

    def _owner_dsn(self) -> str:
        given = self._settings.postgres_dsn
        return self.server.dsn(OWNER) if given is None else _checked(given, "postgres_dsn")

    def _application_dsn(self) -> str:
        given = self._settings.postgres_app_dsn
        if given is not None and self.embedded:
            raise ConfigurationError(
                "FEATURESTORE_POSTGRES_APP_DSN is set, and FEATURESTORE_POSTGRES_DSN, the owner of what it searches, is not"
            )
        if given is not None:
            return _checked(given, "postgres_app_dsn")
        return self.server.dsn(APPLICATION_ROLE) if self.embedded else self._owner_dsn()

    def _signing_key(self, connection: Connection[Any] | None = None) -> SigningKey:
        if self._key is None and connection is None:
            with self.owner() as own:
                return self._signing_key(own)
        if self._key is None and connection is not None:
            self._key = read_signing_key(connection)
        if self._key is None:
            raise PostgresError("the schema 'featurestore' is not set up in this database; sync embeddings first")
        return self._key

    @contextmanager
    def _transaction(self, dsn: Callable[[], str]) -> Iterator[Connection[Any]]:
        try:
            pool, connection = retrying(lambda: self._taken(dsn()))
        except ConnectionLostError as error:
            raise PostgresError(f"{error} (tried {_TRIES} times)") from None
        try:
            with as_postgres_error(), connection.transaction():
                yield connection
        finally:
            pool.putconn(connection)

    def _taken(self, dsn: str) -> tuple[ConnectionPool[Connection[Any]], Connection[Any]]:
        from psycopg_pool import PoolTimeout

        with self._lock, as_postgres_error():
            if dsn not in self._pools:
                # The pool itself would try for long, and then not say why.
                connect(dsn).close()
                self._pools[dsn] = _pool(dsn)
            pool = self._pools[dsn]
        for _ in range(_SECONDS_TO_CONNECT):
            try:
                return pool, pool.getconn(timeout=1)
            except PoolTimeout:
                # The pool does not say why; where it is for want of a server, this does.
                connect(dsn).close()
        raise PostgresError(
            f"all {_POOLED} connections of this process to PostgreSQL have been busy for {_SECONDS_TO_CONNECT} s"
        )


def _pool(dsn: str) -> ConnectionPool[Connection[Any]]:
    from psycopg_pool import ConnectionPool

    return ConnectionPool(
        dsn,
        # A prepared statement's plan may become one for all tenants and filters.
        kwargs={"connect_timeout": _SECONDS_TO_CONNECT, "prepare_threshold": None},
        min_size=0,
        max_size=_POOLED,
        timeout=_SECONDS_TO_CONNECT,
        check=_require_open,
        open=True,
        name="featurestore",
    )


def _require_open(connection: Connection[Any]) -> None:
    """Raise for a connection that the server closed; without a round trip, since an idle one has nothing else to say."""
    from psycopg import OperationalError

    if connection.closed or select.select([connection.fileno()], [], [], 0)[0]:
        # The pool would take back one that is open.
        connection.close()
        raise OperationalError("the server closed the connection")


def connect(dsn: str) -> Connection[Any]:
    """A connection, autocommit; raises PostgresError, which tells no password."""
    import psycopg

    with as_postgres_error():
        return psycopg.connect(
            dsn,
            autocommit=True,
            connect_timeout=_SECONDS_TO_CONNECT,
            prepare_threshold=None,
            # Rows that are copied are encoded so, whatever the database's own encoding is.
            client_encoding="utf8",
        )


@contextmanager
def as_postgres_error() -> Iterator[None]:
    """Turn what psycopg raises into PostgresError: what the server said, and nothing of what was sent to it."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        state, said = error.sqlstate, error.diag.message_primary
        if state is None and isinstance(error, psycopg.OperationalError):
            raise ConnectionLostError(f"PostgreSQL cannot be reached: {_without_secrets(error)}") from None
        told = f"PostgreSQL: {said or _without_secrets(error)} ({state or type(error).__name__})"
        if error.diag.message_hint:
            told += f"; {error.diag.message_hint}"
        if state == _TIMEOUT:
            told += "; of a search, the setting search_timeout says how long a statement may take"
        kind = ConnectionLostError if state and _LOST.fullmatch(state) else PostgresError
        raise kind(told) from None


def _without_secrets(error: Exception) -> str:
    return re.sub(r"(?i)(password\s*=\s*)('[^']*'|\S+)|(://[^:@/\s]*:)[^@\s]*@", r"\1\3***@", str(error)).strip()


def _checked(secret: SecretStr, setting: str) -> str:
    """A DSN that can be read; raises ConfigurationError, which does not show it."""
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict, make_conninfo
    except ImportError as error:
        raise ConfigurationError(f"psycopg is not installed ({error}); run {INSTALL}") from error
    try:
        return make_conninfo("", **conninfo_to_dict(secret.get_secret_value()))
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            f"{ENVIRONMENT_PREFIX}{setting.upper()} is not a DSN of PostgreSQL; write it as "
            "postgresql://user:password@host:5432/database?sslmode=verify-full"
        ) from None


def _embedded_folder(settings: Settings) -> Path:
    if settings.postgres == "external" or settings.postgres_dsn is not None:
        raise ConfigurationError("postgres is 'external': set FEATURESTORE_POSTGRES_DSN in the environment")
    warehouse = _local(settings.warehouse)
    if "://" in warehouse:
        raise ConfigurationError(
            f"an embedded PostgreSQL keeps its data beside the warehouse, and {settings.warehouse} is on no local disk; set "
            "FEATURESTORE_POSTGRES_DSN in the environment"
        )
    return Path(warehouse.rstrip("/") + ".postgres")


def _local(warehouse: str) -> str:
    return warehouse.removeprefix("file://")
