"""Sources read for one tenant: what a transformation sees, and nothing of anyone else's."""

from __future__ import annotations

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.config import Settings
from featurestore.definitions.names import check_tenant_id
from featurestore.definitions.source import Source
from featurestore.errors import NotFoundError
from featurestore.frames.columns import column
from featurestore.stores.delta import quote


def read_source(spark: SparkSession, name: str, source: Source, tenant_id: str, settings: Settings) -> DataFrame:
    """The source's rows of one tenant; a shared source's rows whole. Raises NotFoundError where it is not there."""
    try:
        rows = _read(spark, source, tenant_id, settings)
    except AnalysisException as error:
        if error.getCondition() in ("PATH_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND", "DELTA_TABLE_NOT_FOUND"):
            where = source.table or source_path(source, tenant_id, settings)
            raise NotFoundError(
                f"source {name!r}: there is nothing at {where}; land the data, or mend the source"
            ) from error
        raise
    if source.tenant_column is None:
        return rows
    return rows.where(column(source.tenant_column) == F.lit(check_tenant_id(tenant_id)))


def source_path(source: Source, tenant_id: str, settings: Settings) -> str:
    """The source's path with its placeholders filled in."""
    assert source.path is not None
    return source.path.format(
        tenant_id=check_tenant_id(tenant_id), landing=settings.landing, warehouse=settings.warehouse
    )


def _read(spark: SparkSession, source: Source, tenant_id: str, settings: Settings) -> DataFrame:
    if source.table is not None:
        return spark.read.table(".".join(quote(part) for part in source.table.split(".")))
    reader = spark.read.format(source.format).options(**source.options)
    return reader.load(source_path(source, tenant_id, settings))
