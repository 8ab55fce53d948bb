"""Requests to object stores that Arrow's file systems do not make: a put on condition, and a plain delete."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
    from obstore.exceptions import AlreadyExistsError, BaseError

    try:
        opened = _store(store, environment())
        try:
            obstore.put(opened, path, content, mode="create")
        except AlreadyExistsError:
            # A put whose answer was lost is tried again, and then finds its own object.
            return bytes(obstore.get(opened, path).bytes()) == content
    except (BaseError, FileNotFoundError) as error:
        cause = str(error).partition("Debug source")[0]
        raise StorageError(
            f"{store}/{path} was not written ({' '.join(cause.split())[:300]}): see that this process reaches the "
            "store and has credentials that may write there, and run it again"
        ) from error
    return True


def remove(store: str, paths: Sequence[str]) -> None:
    """Remove objects, if they are there; Arrow would put others in the place of their folders. Raises StorageError."""
    import obstore
    from obstore.exceptions import BaseError

    try:
        obstore.delete(_store(store, environment()), list(paths))
    except FileNotFoundError:
        return
    except BaseError as error:
        cause = str(error).partition("Debug source")[0]
        raise StorageError(
            f"{store}: objects were not removed ({' '.join(cause.split())[:300]}): see that this process reaches the "
            "store and has credentials that may delete there, and run it again"
        ) from error


def environment() -> tuple[tuple[str, str], ...]:
    """The variables by which a store is reached; whatever is made of them holds only while they stay the same."""
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(ENVIRONMENT)))


@lru_cache(maxsize=16)
def _store(uri: str, known: tuple[tuple[str, str], ...]) -> ObjectStore:
    from obstore.store import from_url

    allows_http = dict(known).get("AWS_ALLOW_HTTP", "").lower() in ("true", "1")
    client: ClientConfig = {**_CLIENT, "allow_http": allows_http}
    return from_url(uri, client_options=client, retry_config=_RETRIES)
