"""DuckDB for expressions: a database in memory for each thread, which reaches nothing and cannot be set otherwise."""

from __future__ import annotations

import threading
from typing import Any

_CLOSED: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
# The settings on which results depend; DuckDB takes the time zone from the environment unless one is set.
_SETTINGS = (
    "SET TimeZone='UTC'",
    "SET Calendar='gregorian'",
    "SET ieee_floating_point_ops=true",
    "SET error_on_division_by_zero=true",
    "SET default_collation=''",
    "SET default_null_order='NULLS_LAST'",
    "SET lock_configuration=true",
)


class _Connections:
    """A connection for each thread.

    A copy in another process opens its own, and so does a forked process, whose threads have other native ids.
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def __reduce__(self) -> tuple[type[_Connections], tuple[()]]:
        return _Connections, ()

    def connection(self) -> Any:
        thread, connection = getattr(self._of_thread, "opened", (None, None))
        if thread != threading.get_native_id():
            connection = _opened()
            self._of_thread.opened = threading.get_native_id(), connection
        return connection


def _opened() -> Any:
    import duckdb

    connection = duckdb.connect(":memory:", config=_CLOSED)
    for setting in _SETTINGS:
        connection.execute(setting).fetchall()
    return connection


_CONNECTIONS = _Connections()


def connection() -> Any:
    """This thread's connection."""
    return _CONNECTIONS.connection()
