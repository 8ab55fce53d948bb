"""Object stores by the schemes of their URIs, and the log store by which Spark's commits on S3 replace none."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

_S3 = ("s3", "s3a")
# An object can be created on the condition that there is none of its name, so that no writer replaces another's.
_SCHEMES = frozenset({*_S3, "s3n", "gs", "gcs", "abfss", "abfs", "az"})
# Its source is in featurestore/java. Delta's own can replace a commit that another driver makes at the same moment.
CONDITIONAL_LOG_STORE = "featurestore.ConditionalS3LogStore"
LOG_STORE_SETTINGS = tuple(f"spark.delta.logStore.{scheme}.impl" for scheme in _S3)


def is_object_store(path: str) -> bool:
    """Whether a path is a URI of an object store."""
    scheme, separator, _ = path.partition("://")
    return bool(separator) and scheme in _SCHEMES


def log_store_setting(path: str) -> str | None:
    """The setting of Spark that names the log store for a URI on S3; None for other paths."""
    scheme, separator, _ = path.partition("://")
    return f"spark.delta.logStore.{scheme}.impl" if separator and scheme in _S3 else None


def log_store_jar() -> Path:
    """The jar with the log store for S3, on this machine's disk; from a wheel that is not unpacked, it is copied."""
    shipped = files("featurestore") / "java" / "conditional-s3-log-store.jar"
    if isinstance(shipped, Path):
        return shipped
    content = shipped.read_bytes()
    copy = Path.home() / ".cache" / "featurestore" / "jars" / f"{sha256(content).hexdigest()[:16]}.jar"
    if not copy.is_file():
        copy.parent.mkdir(parents=True, exist_ok=True)
        written = copy.with_suffix(f".{uuid4().hex}.tmp")
        written.write_bytes(content)
        written.replace(copy)
    return copy
