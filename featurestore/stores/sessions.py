"""Sessions beside the one that is given, of this process's Spark or of a Spark Connect server."""

from __future__ import annotations

from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote


def separate_session(spark: SparkSession) -> SparkSession:
    """Another session of the same Spark: its settings and views are seen by nobody else.

    It begins with the settings that Spark was started with; over Spark Connect, which has no such session for a client to
    ask for, with those of the given one.
    """
    if not is_remote():
        return spark.newSession()
    remote: Any = spark
    cloned: SparkSession = remote.cloneSession()
    return cloned
