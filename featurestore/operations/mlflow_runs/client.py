"""MLflow, imported when it is first used, and its errors in this package's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from featurestore.errors import ConfigurationError, FeatureStoreError, TrackingError, shown

INSTALL = "pip install 'offline-feature-store[mlflow]'"
# A user, a password or a token before a host; what precedes an @ in Azure's URIs is a container.
_CREDENTIALS = re.compile(r"(?<!abfs:)(?<!abfss:)(?<!wasb:)(?<!wasbs:)//[^/@\s\"']*@")


def load_mlflow() -> Any:
    """The module; raises ConfigurationError if it is not installed."""
    try:
        return import_module("mlflow")
    except ModuleNotFoundError as error:
        if error.name != "mlflow":
            raise
        raise ConfigurationError(f"MLflow is not installed; install it with: {INSTALL}") from error


@contextmanager
def tracking_errors(what: str) -> Iterator[None]:
    """Turn whatever MLflow raises into a TrackingError that says what was being done, without credentials.

    Stores of runs and of artefacts are plug-ins of MLflow, and raise errors of their own clients.
    """
    try:
        yield
    except FeatureStoreError:
        raise
    except Exception as error:
        # Not "from error": its message may hold the tracking server's URI with a password.
        raise TrackingError(
            f"{what}: {type(error).__name__}: {first_line(error)}. The tracking URI is {tracking_uri()}; check it, and "
            "that the server answers"
        ) from None


def tracking_uri() -> str:
    return without_credentials(str(load_mlflow().get_tracking_uri()))


def without_credentials(text: str) -> str:
    """The text with each URI in it as it is without a user and password."""
    return _CREDENTIALS.sub("//", text)


def first_line(error: Exception) -> str:
    line = without_credentials(str(error).strip().partition("\n")[0])
    return line if len(line) <= 500 else shown(line)
