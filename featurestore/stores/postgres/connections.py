"""Connections to PostgreSQL, as the tables' owner or as the searching application; a transaction sees one tenant."""

from __future__ import annotations

import re
import select
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr

from featurestore.config import Settings
from featurestore.errors import ConfigurationError, PostgresError
from featurestore.stores.postgres.dsn import checked_dsn, embedded_folder, local_path
from featurestore.stores.postgres.security import APPLICATION_ROLE, SigningKey, enter, read_signing_key
from featurestore.stores.postgres.server import OWNER, EmbeddedServer

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg_pool import ConnectionPool

T = TypeVar("T")
_TRIES = 4
_POOLED = 10
_SECONDS_TO_CONNECT = 10
_TIMEOUT = "57014"
# The server ended the connection (57P..) or accepts no more (53300), or the network failed (08...).
_LOST = re.compile(r"57P0\d|53300|08\w{3}")


class ConnectionLostError(PostgresError):
    """The server could not be reached, or went away; the transaction is rolled back and can be retried."""


def retrying(action: Callable[[], T]) -> T:
    """Run a repeatable action, and repeat it a few times if the connection is lost meanwhile."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    retries = Retrying(
        retry=retry_if_exception_type(ConnectionLostError),
        wait=wait_random_exponential(multiplier=0.2, max=3),
        stop=stop_after_attempt(_TRIES),
        reraise=True,
    )
    return retries(action)


@dataclass(frozen=True)
class TenantLogin:
    """What another process, such as a Spark worker, needs to read one tenant's rows; never displays its secrets."""

    dsn: SecretStr
    tenant_id: str
    key: SigningKey
    settings: dict[str, str]

    @contextmanager
    def transaction(self) -> Iterator[Connection[Any]]:
        """Open a new connection with one read-only transaction; raises PostgresError."""
        with as_postgres_error(), connect(self.dsn.get_secret_value()) as connection, connection.transaction():
            enter(connection, self.key, self.tenant_id, self.settings)
            yield connection


class Postgres:
    """The PostgreSQL of one store: embedded, or at a DSN. Nothing is started or connected before the first use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: EmbeddedServer | None = None
        self._lock = threading.RLock()
        self._pools: dict[str, ConnectionPool[Connection[Any]]] = {}
        # At the end of the process, too, as long as threads can be joined: Python 3.13 ends a pool's threads before
        # the pool itself, which then waits seconds for each of them.
        weakref.finalize(self, _close_all, self._pools)
        self._key: SigningKey | None = None

    @contextmanager
    def owner(self, tenant_id: str | None = None) -> Iterator[Connection[Any]]:
        """Run one transaction as the tables' owner: committed at the end of the block, rolled back on an error.

        Row-level security applies to the owner, too: with ``tenant_id`` it sees and writes that tenant's rows, without
        it no rows. Raises PostgresError for whatever PostgreSQL refuses.
        """
        with self._transaction(self._owner_dsn) as connection:
            if tenant_id is not None:
                self.enter(connection, tenant_id)
            yield connection

    @contextmanager
    def tenant(self, tenant_id: str, statement_timeout: float | None = None) -> Iterator[Connection[Any]]:
        """Run one read-only transaction in the application's role and one tenant; ``statement_timeout`` in seconds."""
        login = self.login(tenant_id, statement_timeout)
        with self._transaction(self._application_dsn) as connection:
            enter(connection, login.key, tenant_id, login.settings)
            yield connection

    def login(self, tenant_id: str, statement_timeout: float | None = None) -> TenantLogin:
        """Return the login that ``tenant`` uses, for other processes; ``statement_timeout`` in seconds."""
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
        """Return whether anything was ever synced; does not start an embedded server that was never used."""
        if self._key is None and not self._is_new():
            with self.owner() as connection:
                self._key = read_signing_key(connection)
        return self._key is not None

    def connect_owner(self) -> Connection[Any]:
        """Open the owner's autocommit connection, not pooled, for locks and index builds. The caller closes it."""
        return retrying(lambda: connect(self._owner_dsn()))

    def enter(self, connection: Connection[Any], tenant_id: str) -> None:
        """Enter a tenant for the rest of the current transaction of an owner's connection."""
        enter(connection, self._signing_key(connection), tenant_id, {})

    @property
    def worker_dsn(self) -> SecretStr:
        """The owner's DSN for whoever copies rows, as Spark's workers; a secret, to be kept out of plans and logs."""
        return SecretStr(self._owner_dsn())

    @property
    def embedded(self) -> bool:
        return self._settings.postgres_dsn is None

    @property
    def server(self) -> EmbeddedServer:
        """The embedded server, started if necessary; raises ConfigurationError if PostgreSQL is external."""
        with self._lock:
            if self._server is None:
                self._server = EmbeddedServer(embedded_folder(self._settings))
            self._server.start()
            return self._server

    @property
    def may_have_rows(self) -> bool:
        """Whether anything may have been synced; neither contacts nor starts a server."""
        return not self.embedded or (self._settings.postgres == "embedded" and not self._is_new())

    def drop_old_logs(self) -> None:
        """Remove an embedded server's logs up to now; the administrator of an external server manages its logs."""
        if self.embedded:
            with as_postgres_error():
                self.server.drop_old_logs()

    def close(self) -> None:
        """Close the pooled connections and stop the embedded server unless others use it; both can be used again."""
        with self._lock:
            _close_all(self._pools)
            self._key = None
            if self._server is not None:
                self._server.release()

    def _is_new(self) -> bool:
        if not self.embedded or self._settings.postgres == "external":
            return False
        return (
            "://" in local_path(self._settings.warehouse)
            or not EmbeddedServer(embedded_folder(self._settings)).data.exists()
        )

    @property
    def _shares_login(self) -> bool:
        """Whether searches use the owner's login, because the application has none."""
        return not self.embedded and self._settings.postgres_app_dsn is None

    def _owner_dsn(self) -> str:
        dsn = self._settings.postgres_dsn
        return self.server.dsn(OWNER) if dsn is None else checked_dsn(dsn, "postgres_dsn")

    def _application_dsn(self) -> str:
        dsn = self._settings.postgres_app_dsn
        if dsn is not None and self.embedded:
            raise ConfigurationError(
                "FEATURESTORE_POSTGRES_APP_DSN is set, but FEATURESTORE_POSTGRES_DSN is not; set it to the login that "
                "owns the tables to search"
            )
        if dsn is not None:
            return checked_dsn(dsn, "postgres_app_dsn")
        return self.server.dsn(APPLICATION_ROLE) if self.embedded else self._owner_dsn()

    def _signing_key(self, connection: Connection[Any] | None = None) -> SigningKey:
        if self._key is None and connection is None:
            with self.owner() as owner:
                return self._signing_key(owner)
        if self._key is None and connection is not None:
            self._key = read_signing_key(connection)
        if self._key is None:
            raise PostgresError("the schema 'featurestore' is not set up in this database; sync embeddings first")
        return self._key

    @contextmanager
    def _transaction(self, dsn: Callable[[], str]) -> Iterator[Connection[Any]]:
        try:
            pool, connection = retrying(lambda: self._pooled(dsn()))
        except ConnectionLostError as error:
            raise PostgresError(f"{error} (tried {_TRIES} times)") from None
        try:
            with as_postgres_error(), connection.transaction():
                yield connection
        finally:
            pool.putconn(connection)

    def _pooled(self, dsn: str) -> tuple[ConnectionPool[Connection[Any]], Connection[Any]]:
        from psycopg_pool import PoolTimeout

        with self._lock, as_postgres_error():
            if dsn not in self._pools:
                # The pool would retry for a long time and then give no reason; this raises at once, with the reason.
                connect(dsn).close()
                self._pools[dsn] = _pool(dsn)
            pool = self._pools[dsn]
        for _ in range(_SECONDS_TO_CONNECT):
            try:
                return pool, pool.getconn(timeout=1)
            except PoolTimeout:
                # The pool gives no reason; if the server is unreachable, this raises with the reason.
                connect(dsn).close()
        raise PostgresError(
            f"all {_POOLED} connections of this process to PostgreSQL have been busy for {_SECONDS_TO_CONNECT} s"
        )


def _close_all(pools: dict[str, ConnectionPool[Connection[Any]]]) -> None:
    for pool in pools.values():
        pool.close(timeout=2)
    pools.clear()


def _pool(dsn: str) -> ConnectionPool[Connection[Any]]:
    from psycopg_pool import ConnectionPool

    return ConnectionPool(
        dsn,
        # PostgreSQL may replace a prepared statement's plan by one generic plan for all tenants and filters.
        kwargs={"connect_timeout": _SECONDS_TO_CONNECT, "prepare_threshold": None},
        min_size=0,
        max_size=_POOLED,
        timeout=_SECONDS_TO_CONNECT,
        check=_require_open,
        open=True,
        name="featurestore",
    )


def _require_open(connection: Connection[Any]) -> None:
    """Raise if the server closed the connection; without a round trip: data on an idle connection means its end."""
    from psycopg import OperationalError

    if connection.closed or select.select([connection.fileno()], [], [], 0)[0]:
        # Otherwise the pool would put it back, because on this side it is still open.
        connection.close()
        raise OperationalError("the server closed the connection")


def connect(dsn: str) -> Connection[Any]:
    """Open an autocommit connection; raises PostgresError, which never contains a password."""
    import psycopg

    with as_postgres_error():
        return psycopg.connect(
            dsn,
            autocommit=True,
            connect_timeout=_SECONDS_TO_CONNECT,
            prepare_threshold=None,
            # Copied rows are encoded in UTF-8, whatever the database's own encoding is.
            client_encoding="utf8",
        )


@contextmanager
def as_postgres_error() -> Iterator[None]:
    """Turn psycopg's errors into PostgresError with the server's message, but without anything that was sent to it."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        state, primary = error.sqlstate, error.diag.message_primary
        if state is None and isinstance(error, psycopg.OperationalError):
            raise ConnectionLostError(f"PostgreSQL cannot be reached: {_without_secrets(error)}") from None
        message = f"PostgreSQL: {primary or _without_secrets(error)} ({state or type(error).__name__})"
        if error.diag.message_hint:
            message += f"; {error.diag.message_hint}"
        if state == _TIMEOUT:
            message += "; the setting search_timeout limits how long a search's statement may take"
        kind = ConnectionLostError if state and _LOST.fullmatch(state) else PostgresError
        raise kind(message) from None


def _without_secrets(error: Exception) -> str:
    return re.sub(r"(?i)(password\s*=\s*)('[^']*'|\S+)|(://[^:@/\s]*:)[^@\s]*@", r"\1\3***@", str(error)).strip()
