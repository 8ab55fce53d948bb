"""Run a transformation over its declared sources, for one tenant and one window, in a session of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pyspark.sql import DataFrame

from featurestore.definitions.select_statement import check_select
from featurestore.definitions.source import Source
from featurestore.definitions.time_window import TimeWindow
from featurestore.definitions.transformation import Transformation
from featurestore.errors import TransformationError
from featurestore.operations.context import Context
from featurestore.stores.sources import read_source


def isolated(context: Context) -> Context:
    """The same store in a new session: its views are seen by nobody else, and its time zone is UTC."""
    session = context.spark.newSession()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    # Delta's SQL parser drops the parameters that newer Spark binds while parsing (delta-io/delta#7640); so they are
    # bound during analysis, as Spark did before.
    session.conf.set("spark.sql.legacy.parameterSubstitution.constantsOnly", "true")
    return replace(context, spark=session)


def transform(
    context: Context,
    tenant_id: str,
    sources: Mapping[str, Source],
    transformation: Transformation,
    window: TimeWindow,
) -> DataFrame:
    """The transformation's rows, lazily; ``context`` is an isolated one.

    SQL is checked first (one SELECT over the declared sources) and its parameters are bound by Spark, never put into
    the text. Raises TransformationError, or NotFoundError for a source that is not there.
    """
    if transformation.sql is not None:
        check_select(transformation.sql, sources)
    frames = {
        name: read_source(context.spark, name, source, tenant_id, context.settings) for name, source in sources.items()
    }
    if transformation.sql is None:
        result = transformation.load()(frames, window)
        if not isinstance(result, DataFrame):
            raise TransformationError(
                f"transformation {transformation.function!r} returned {type(result).__name__}; it must return a Spark DataFrame"
            )
        return result
    for name, frame in frames.items():
        frame.createOrReplaceTempView(name)
    arguments = {"tenant_id": tenant_id, "start_time": window.start, "end_time": window.end}
    return context.spark.sql(transformation.sql, args=arguments)
