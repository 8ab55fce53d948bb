"""Settings: ``conf/base.yml``, one profile over it, ``FEATURESTORE_*`` variables over both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from featurestore.errors import ConfigurationError, nearest, shown

ENVIRONMENT_PREFIX = "FEATURESTORE_"
SECRETS = frozenset({"postgres_dsn", "postgres_app_dsn"})
DEFAULT_PROFILE = "dev"
# Seconds; PostgreSQL counts milliseconds in 32 bits.
LONGEST_SEARCH = LONGEST_WAIT = 86_400
IVY = "spark.jars.ivy"
SPARK_LOG_ON_STDERR = "stderr"
# They choose a profile and a tenant, and hold the key of suppressed entities; they are not settings of the store.
_NOT_SETTINGS = ("profile", "tenant", "suppression_secret")


class Settings(BaseModel):
    """Where the store lives and how Spark is started.

    - ``warehouse``: root folder (or object-store prefix) of all tables.
    - ``catalog``: ``catalog.schema`` to keep tables by name instead; the warehouse then holds only exports.
    - ``landing``: root of the ``{landing}`` placeholder in sources.
    - ``output``: where reports and exports go.
    - ``timestamp_zone``: the zone in which naive and date-only timestamps are read; None refuses them.
    - ``hot_key_rows``: the as-of join cuts a key with this many rows (spine and values together) in time.
    - ``as_of_host``: where as-of joins run: ``in_process``, ``in_tasks`` (of Spark), ``by_shuffle`` (of Spark), or
      ``auto``, which decides by the spine and the tables; see docs/scaling.md.
    - ``local_join_bytes``: a join whose spine and result would take more bytes than this is not made in this process.
    - ``small_tables``: whether definitions, runs and other small things are read and written without Spark: ``native``,
      ``spark``, or ``auto``, which is without Spark if the warehouse is a folder of this machine.
    - ``local_batch_rows``: a batch with more rows than this is written by Spark, and vectors of a tenant with more rows
      are synced by Spark; with 0, all are.
    - ``lock_timeout``: the seconds that a writer of a local warehouse waits for another writer of the same table.
    - ``spark``: Spark properties for a session that this package starts; an adopted session is not changed.
    - ``spark_log``: the folder of the log files of such sessions; ``stderr`` for no file; None: a folder in the user's
      cache, ``~/.cache/featurestore/spark_logs``. Logs that are a week old are removed.
    - ``postgres``: the server that searches vectors by index: ``embedded``, a server that starts on demand and keeps
      its data beside the warehouse, or ``external``, for which ``postgres_dsn`` is required. If a DSN is set, it is
      always used.
    - ``postgres_dsn``: the login that owns the tables; a secret, read only from the environment.
    - ``postgres_app_dsn``: the login that searches, also a secret; None: the owner's connection switches to its role.
    - ``search_timeout``: the seconds that one statement of a search in PostgreSQL may take.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    warehouse: str = "warehouse"
    catalog: str | None = Field(default=None, pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$")
    landing: str = "landing"
    output: str = "output"
    timestamp_zone: str | None = None
    hot_key_rows: int = Field(default=5_000_000, ge=2)
    as_of_host: Literal["auto", "in_process", "in_tasks", "by_shuffle"] = "auto"
    local_join_bytes: int = Field(default=4 * 1024**3, ge=0)
    small_tables: Literal["auto", "native", "spark"] = "auto"
    local_batch_rows: int = Field(default=1_000_000, ge=0)
    lock_timeout: float = Field(default=600.0, gt=0, le=LONGEST_WAIT)
    spark: dict[str, str] = {}
    spark_log: str | None = None
    postgres: Literal["embedded", "external"] = "embedded"
    postgres_dsn: SecretStr | None = None
    postgres_app_dsn: SecretStr | None = None
    search_timeout: float = Field(default=30.0, gt=0, le=LONGEST_SEARCH)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            # Not "from error": a traceback must not show the values, which may be secrets.
            raise ConfigurationError(_describe(error)) from None

    @field_validator("warehouse", "landing", "output", mode="before")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
            raise ValueError(f"{shown(value)} is not a folder; give a path, or a URI such as 's3a://bucket/folder'")
        text = str(value)
        try:
            return text if "://" in text else str(Path(text).expanduser().absolute())
        except RuntimeError as error:
            raise ValueError(f"{text!r}: {error}") from error

    @field_validator("spark_log", mode="before")
    @classmethod
    def _folder_here(cls, value: Any) -> Any:
        # Anything but a path is the field's own error.
        if not isinstance(value, str | Path) or str(value) == SPARK_LOG_ON_STDERR:
            return value
        if "://" in str(value):
            raise ValueError(f"{shown(value)} is not a folder of this machine; give one, or '{SPARK_LOG_ON_STDERR}'")
        return cls._absolute(value)

    @field_validator("timestamp_zone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        if zone is not None:
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise ValueError(f"time zone {shown(zone)} is not known; write one such as 'Europe/Berlin'") from error
        return zone

    @field_validator("spark", mode="before")
    @classmethod
    def _spark_properties(cls, spark: Any) -> Any:
        if not isinstance(spark, Mapping):
            return spark
        return {key: _property_text(value) for key, value in spark.items()}

    @classmethod
    def find(cls, source: Settings | str | Path | None, environ: Mapping[str, str], profile: str | None) -> Settings:
        """Settings from the source (settings or their folder), else from ``conf/`` here, else from the environment.

        Raises ConfigurationError if none of them sets the warehouse.
        """
        if isinstance(source, Settings):
            return source
        if source is not None or Path("conf/base.yml").is_file():
            return cls.load(source or "conf", environ, profile)
        settings = from_environment(environ)
        if "warehouse" not in settings:
            raise ConfigurationError(
                "there is no conf/base.yml here and FEATURESTORE_WAREHOUSE is not set; name a folder of settings, or "
                "give Settings(warehouse=...)"
            )
        return cls(**settings)

    @classmethod
    def load(cls, conf: str | Path, environ: Mapping[str, str], profile: str | None = None) -> Settings:
        """Read ``base.yml`` and ``<profile>.yml`` in ``conf``, then the environment; later wins, ``spark`` is merged.

        Relative folders are relative to the folder that holds ``conf``. The profile is the argument, else
        ``FEATURESTORE_PROFILE``, else ``dev``. Raises ConfigurationError naming the file or variable.
        """
        folder = Path(conf).absolute()
        profile = profile or environ.get(ENVIRONMENT_PREFIX + "PROFILE") or DEFAULT_PROFILE
        merged = _merge(_read(folder / "base.yml"), _read(_profile_file(folder, profile)))
        is_folder = merged.get("spark_log") not in (None, SPARK_LOG_ON_STDERR)
        for name in ("warehouse", "landing", "output", *(["spark_log"] if is_folder else [])):
            if name in merged and "://" not in str(merged[name]):
                merged[name] = str(folder.parent / Path(str(merged[name])).expanduser())
        return cls(**_merge(_with_absolute_ivy(merged, folder.parent), from_environment(environ)))


def _with_absolute_ivy(settings: dict[str, Any], project: Path) -> dict[str, Any]:
    """Make Ivy's folder absolute: Ivy refuses a relative one, which here is relative to the project."""
    spark = settings.get("spark")
    if not isinstance(spark, dict) or IVY not in spark:
        return settings
    return settings | {"spark": spark | {IVY: str(project / Path(str(spark[IVY])).expanduser())}}


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings in ``FEATURESTORE_*`` variables; ``FEATURESTORE_SPARK`` is a JSON object."""
    settings: dict[str, Any] = {}
    for variable, value in environ.items():
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if not variable.startswith(ENVIRONMENT_PREFIX) or name in _NOT_SETTINGS:
            continue
        if name not in Settings.model_fields:
            variables = [ENVIRONMENT_PREFIX + field.upper() for field in (*Settings.model_fields, *_NOT_SETTINGS)]
            raise ConfigurationError(f"environment variable {variable} is not known. {nearest(variable, variables)}")
        settings[name] = _json_object(variable, value) if name == "spark" else value
    return settings


def _json_object(variable: str, value: str) -> dict[str, Any]:
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{variable} is not JSON ({error}); write an object of Spark properties") from error
    if not isinstance(parsed, dict):
        raise ConfigurationError(f"{variable} must be a JSON object of Spark properties, found {type(parsed).__name__}")
    return parsed


def _profile_file(folder: Path, profile: str) -> Path:
    file = folder / f"{profile}.yml"
    if not _is_file(file):
        profiles = [path.stem for path in folder.glob("*.yml") if path.stem != "base"]
        raise ConfigurationError(f"profile {profile!r}: there is no {file}. {nearest(profile, profiles)}")
    return file


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError as error:
        raise ConfigurationError(f"{shown(str(file))}: {error.strerror}; name a folder of settings") from error


def _read(file: Path) -> dict[str, Any]:
    if not _is_file(file):
        raise ConfigurationError(f"{file} is missing; give the folder that holds base.yml, or Settings(...)")
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        # The error quotes lines of the file, which may hold a secret, so only the place is reported.
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigurationError(
            f"{file}{line} is not YAML: {getattr(error, 'problem', 'it cannot be read')}"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not UTF-8 text: {error.reason}; save it as UTF-8") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}; make it readable") from error
    if not isinstance(data, dict):
        raise ConfigurationError(f"{file}: expected settings as 'name: value' lines")
    secret = sorted(SECRETS & data.keys())
    if secret:
        variables = ", ".join(ENVIRONMENT_PREFIX + name.upper() for name in secret)
        raise ConfigurationError(f"{file}: {secret} are secrets; remove them and set {variables} in the environment")
    return data


def _merge(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    merged = {**base, **overrides}
    if isinstance(base.get("spark"), dict) and isinstance(overrides.get("spark"), dict):
        merged["spark"] = {**base["spark"], **overrides["spark"]}
    return merged


def _property_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _describe(error: ValidationError) -> str:
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"setting {name!r} is not known. {nearest(name, Settings.model_fields)}")
        else:
            lines.append(f"setting {name!r}: {fault['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)
