"""This project's join as a user calls it, by the host that does it. Each host is an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from benchmarks.dataset import TENANT, Dataset
from featurestore import FeatureStore, Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Host = Literal["in_process", "in_tasks", "by_shuffle"]


def point_in_time(dataset: Dataset, spine: Any, host: Host, spark: SparkSession | None = None) -> Any:
    """All features for a spine of the data set: an Arrow table for an Arrow table, else a Spark DataFrame."""
    store = FeatureStore.open(Settings(warehouse=dataset.warehouse), spark=spark).tenant(TENANT)
    known_at = None if dataset.options.known_at == "none" else dataset.options.known_at
    return store.get_point_in_time(spine, dataset.references, known_at=known_at, host=host)
