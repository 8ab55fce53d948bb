"""Requests to object stores that Arrow's file systems do not make: a put on condition, and a plain delete."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from featurestore.errors import StorageError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

# Bounded, so that a store that does not answer is an error, and not a job that hangs.
_RETRIES: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(minutes=1)}
_CLIENT: ClientConfig = {"timeout": "30s", "connect_timeout": "10s"}
# Where the library finds what it needs to reach a store.
ENVIRONMENT = ("AWS_", "GOOGLE_", "AZURE_")


def put_new(store: str, path: str, content: bytes) -> bool:
    """Write an object, whole; False if there is another one already. ``store``: a URI without a path.

    Raises StorageError if the store refuses, or does not answer within a minute.
    """
    import obstore

    with _faults(f"{store}/{path} was not written", "write"):
        opened = _store(store, environment())
        # A put whose answer was lost is tried again, and then finds its own object.
        return _is_created(opened, path, content) or bytes(obstore.get(opened, path).bytes()) == content


def refuses_to_replace(store: str, path: str, content: bytes) -> bool:
    """Whether a store keeps to the condition of ``put_new``; an object is there afterwards. Raises StorageError."""
    with _faults(f"{store}/{path} was not written", "write"):
        opened = _store(store, environment())
        return not (_is_created(opened, path, content) and _is_created(opened, path, content))


def keeps_versions(store: str, path: str, content: bytes) -> bool:
    """Whether a store on S3 gives objects versions, by one that is there afterwards. Raises StorageError."""
    import obstore

    with _faults(f"{store}/{path} was not written and read", "write and read"):
        opened = _store(store, environment())
        _is_created(opened, path, content)
        return obstore.head(opened, path)["version"] is not None


def listed_from(store: str, prefix: str, first: str) -> dict[str, str]:
    """The objects below a prefix whose names come after ``first``: by name what tells a content from another.

    Raises StorageError.
    """
    import obstore

    with _faults(f"{store}/{prefix} was not listed", "list"):
        pages = obstore.list(_store(store, environment()), prefix, offset=f"{prefix}/{first}")
        return {
            each["path"].rpartition("/")[2]: each["e_tag"] or f"{each['last_modified']} {each['size']}"
            for page in pages
            for each in page
        }


def remove(store: str, paths: Sequence[str]) -> None:
    """Remove objects, if they are there; Arrow would put others in the place of their folders. Raises StorageError."""
    import obstore

    with _faults(f"{store}: objects were not removed", "delete"), suppress(FileNotFoundError):
        obstore.delete(_store(store, environment()), list(paths))


def _is_created(opened: ObjectStore, path: str, content: bytes) -> bool:
    import obstore
    from obstore.exceptions import AlreadyExistsError

    try:
        obstore.put(opened, path, content, mode="create")
    except AlreadyExistsError:
        return False
    return True


@contextmanager
def _faults(done: str, verb: str) -> Iterator[None]:
    """Raise StorageError in place of the library's own errors; ``done``: what was not done."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        cause = str(error).partition("Debug source")[0]
        raise StorageError(
            f"{done} ({' '.join(cause.split())[:300]}): see that this process reaches the store and has credentials "
            f"that may {verb} there, and run it again"
        ) from error


def environment() -> tuple[tuple[str, str], ...]:
    """The variables by which a store is reached; whatever is made of them holds only while they stay the same."""
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(ENVIRONMENT)))


@lru_cache(maxsize=16)
def _store(uri: str, known: tuple[tuple[str, str], ...]) -> ObjectStore:
    from obstore.store import from_url

    allows_http = dict(known).get("AWS_ALLOW_HTTP", "").lower() in ("true", "1")
    options: ClientConfig = {**_CLIENT, "allow_http": allows_http}
    return from_url(uri, client_options=options, retry_config=_RETRIES)
