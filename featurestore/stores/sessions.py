"""Additional sessions of this process's Spark or of a Spark Connect server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featurestore.late_spark import SparkSession, is_remote


def session_with(spark: SparkSession, settings: Mapping[str, str]) -> SparkSession:
    """Return another session with the settings of ``spark``, and with these."""
    session = separate_session(spark)
    inherited = {key: value for key, value in spark.conf.getAll.items() if session.conf.get(key, None) != value}
    for key, value in {**inherited, **settings}.items():
        session.conf.set(key, value)
    return session


def separate_session(spark: SparkSession) -> SparkSession:
    """Return another session of the same Spark, with settings and views that no other session sees.

    It begins with the settings that Spark was started with. Over Spark Connect it begins with those of ``spark``,
    because a client can only clone its own session.
    """
    if not is_remote():
        return spark.newSession()
    remote: Any = spark
    cloned: SparkSession = remote.cloneSession()
    return cloned
