"""Which reader a source of Feast's has."""

from __future__ import annotations

from collections.abc import Callable

from feast import FileSource
from feast.data_source import DataSource
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

from featurestore.errors import InvalidArgumentError, NotFoundError
from featurestore.feast.file_sources import FileTable, Place
from featurestore.feast.source_table import SourceTable
from featurestore.feast.spark_sources import SparkTable
from featurestore.late_spark import DataFrame, SparkSession, spark_errors
from featurestore.stores.sources import NOTHING_THERE
from featurestore.stores.storage_faults import storage_errors

Session = Callable[[], SparkSession]


def source_table(source: DataSource, repo_path: str, session: Session) -> SourceTable:
    """The rows of a source. ``session`` starts Spark, for what only Spark reads.

    Raises InvalidArgumentError for a source of another system.
    """
    name = f"source {source.name!r}"
    if isinstance(source, FileSource):
        return FileTable(name, Place.of(source, repo_path))
    if not isinstance(source, SparkSource):
        raise InvalidArgumentError(
            f"{name} is a {type(source).__name__}; this offline store reads FileSource and SparkSource. Keep the "
            "project's former offline store for it"
        )
    place = place_of_spark(source)
    if place is not None:
        return FileTable(name, place)
    spark = session()
    return SparkTable(name, _frame(source, spark), spark)


def place_of_spark(source: SparkSource) -> Place | None:
    """Where the source's files are, if these are of Parquet or Delta and need no option of Spark's; else None."""
    if not source.path or source.table or source.query or any(letter in source.path for letter in "*?[{,"):
        return None
    table_format = source.table_format
    if table_format is None:
        is_read = source.file_format in ("delta", "parquet")
        return Place(source.path, is_delta=source.file_format == "delta") if is_read else None
    is_plain = table_format.format_type.value == "delta" and not table_format.properties
    return Place(source.path, is_delta=True) if is_plain else None


def _frame(source: SparkSource, spark: SparkSession) -> DataFrame:
    try:
        with storage_errors(str(source.name)):
            if source.table:
                return spark.read.table(source.table)
            return spark.sql(source.query) if source.query else source._load_dataframe_from_path(spark)
    except spark_errors.AnalysisException as error:
        if error.getCondition() in NOTHING_THERE:
            raise NotFoundError(f"source {source.name!r}: {error}") from error
        raise
