"""Whether commits to tables on an object store can replace those of other writers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

from featurestore.errors import ConfigurationError, StorageError
from featurestore.late_spark import SparkSession
from featurestore.object_stores import CONDITIONAL_LOG_STORE, log_store_setting
from featurestore.stores.objects import environment, keeps_versions, refuses_to_replace
from featurestore.stores.places import Folder, library_uri
from featurestore.stores.writer_lock import Engine

# An object of the warehouse that is never replaced, by which its store is tried.
_TRIED = "_store/put_once.txt"
_CONTENT = b"This object is put on the condition that there is none of its name. Keep it.\n"


@dataclass(frozen=True)
class ConditionalPuts:
    """In place of a lock: a commit is put on the condition that there is no object of its name.

    Whether the store keeps to the condition is tried before a process's first write to the warehouse.
    """

    warehouse: str

    def held(self, engine: Engine) -> AbstractContextManager[None]:
        """Raises ConfigurationError if commits would replace others, StorageError if the store does not answer."""
        check_store(self.warehouse)
        return nullcontext()


def check_store(warehouse: str) -> None:
    """Raise ConfigurationError if the object store of a warehouse replaces an object that it was told not to.

    Costs a process one request, and two or three for a new warehouse.
    """
    _check_store(warehouse, environment())


@lru_cache(maxsize=16)
def _check_store(warehouse: str, known: tuple[tuple[str, str], ...]) -> None:
    store, path = _tried(warehouse)
    if not refuses_to_replace(store, path, _CONTENT):
        raise ConfigurationError(
            f"warehouse {warehouse}: the store replaces an object although the request forbids it (If-None-Match), so "
            "writers would replace each other's commits; nothing was written. Use a store, or a version of it, that "
            "knows conditional puts (Amazon S3 does), or set small_tables to 'spark' and let one driver do all the "
            "writing"
        )


def why_not_erased(warehouse: str) -> str | None:
    """What an erasure leaves in the bucket of a warehouse on S3 if the bucket keeps versions; else None."""
    store, path = _tried(warehouse)
    if not store.startswith("s3://") or not keeps_versions(store, path, _CONTENT):
        return None
    return (
        f"the bucket of {warehouse} keeps older versions of objects, which still hold what was erased: remove those "
        "of the warehouse and of exports (a lifecycle rule for noncurrent versions does)"
    )


def _tried(warehouse: str) -> tuple[str, str]:
    folder = Folder.of(library_uri(warehouse.rstrip("/")))
    assert folder.store is not None
    return folder.store, folder.key(_TRIED)


def check_commits(session: Callable[[], SparkSession], table: str) -> None:
    """Raise StorageError for a session whose commits to a table on S3 are not made on condition that there is none."""
    setting = log_store_setting(table)
    if setting is None:
        return
    found = session().conf.get(setting, None)
    if found != CONDITIONAL_LOG_STORE:
        own = found or "the default log store of Delta"
        raise StorageError(
            f"table {table}: this Spark session commits to S3 by {own}, which can replace a commit that another writer "
            f"makes at the same moment; nothing was written. Start the session with {setting}={CONDITIONAL_LOG_STORE} "
            "and the jar that `featurestore log-store` names in spark.jars, or set small_tables to 'spark' and let one "
            "driver do all the writing of the store"
        )
