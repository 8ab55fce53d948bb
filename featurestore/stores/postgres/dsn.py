"""Which PostgreSQL the settings name: a DSN, or a folder beside the warehouse for the embedded server."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from featurestore.config import ENVIRONMENT_PREFIX, Settings
from featurestore.errors import ConfigurationError
from featurestore.stores.postgres.server import INSTALL


def checked_dsn(secret: SecretStr, setting: str) -> str:
    """Return a valid DSN; raises ConfigurationError, which does not contain it."""
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict, make_conninfo
    except ImportError as error:
        raise ConfigurationError(f"psycopg is not installed ({error}); run {INSTALL}") from error
    try:
        return make_conninfo("", **conninfo_to_dict(secret.get_secret_value()))
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            f"{ENVIRONMENT_PREFIX}{setting.upper()} is not a PostgreSQL DSN; write it as "
            "postgresql://user:password@host:5432/database?sslmode=verify-full"
        ) from None


def embedded_folder(settings: Settings) -> Path:
    """Return the embedded server's folder; raises ConfigurationError if the settings allow none."""
    if settings.postgres == "external" or settings.postgres_dsn is not None:
        raise ConfigurationError("postgres is 'external': set FEATURESTORE_POSTGRES_DSN in the environment")
    warehouse = local_path(settings.warehouse)
    if "://" in warehouse:
        raise ConfigurationError(
            f"an embedded PostgreSQL keeps its data beside the warehouse, but {settings.warehouse} is not on a local "
            "disk; set FEATURESTORE_POSTGRES_DSN in the environment"
        )
    return Path(warehouse.rstrip("/") + ".postgres")


def local_path(warehouse: str) -> str:
    """Return a warehouse's local path, or its URI if it is not local."""
    return warehouse.removeprefix("file://")
