"""Whether Spark's commits to tables on S3 can replace those of other writers."""

from __future__ import annotations

from collections.abc import Callable

from featurestore.errors import StorageError
from featurestore.late_spark import SparkSession
from featurestore.object_stores import CONDITIONAL_LOG_STORE, log_store_setting


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
