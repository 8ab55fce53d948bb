"""Run a transformation over its declared sources, for one tenant and one window, in a session of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from featurestore.definitions.select_statement import check_select
from featurestore.definitions.source import Source
from featurestore.definitions.time_window import TimeWindow
from featurestore.definitions.transformation import Transformation
from featurestore.errors import TransformationError
from featurestore.frames.latest import latest_values
from featurestore.frames.schema import PARTITION_COLUMNS, values_schema
from featurestore.frames.timestamps import instant
from featurestore.operations.context import Context
from featurestore.stores.sessions import separate_session
from featurestore.stores.sources import read_source


def isolated(context: Context) -> Context:
    """The same store in a new session: its views are seen by nobody else, and its time zone is UTC."""
    session = separate_session(context.spark)
    session.conf.set("spark.sql.session.timeZone", "UTC")
    # Delta's SQL parser drops the parameters that newer Spark binds while parsing (delta-io/delta#7640); so they are
    # bound during analysis, as Spark did before.
    session.conf.set("spark.sql.legacy.parameterSubstitution.constantsOnly", "true")
    # SQL is read here as it was checked: no ${env:...} is put in, a quoted text is a text, a backslash escapes.
    session.conf.set("spark.sql.variable.substitute", "false")
    session.conf.set("spark.sql.ansi.doubleQuotedIdentifiers", "false")
    session.conf.set("spark.sql.parser.escapedStringLiterals", "false")
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
        found = context.spark.sql("SHOW USER FUNCTIONS").collect()
        check_select(transformation.sql, sources, [row["function"].rpartition(".")[2] for row in found])
    frames = {name: _read(context, tenant_id, name, source, window) for name, source in sources.items()}
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


def _read(context: Context, tenant_id: str, name: str, source: Source, window: TimeWindow) -> DataFrame:
    if source.group is None:
        return read_source(context.named_files, name, source, tenant_id, context.settings)
    group = context.group(source.group)
    columns = [field.name for field in values_schema(group) if field.name not in PARTITION_COLUMNS]
    values = context.table(group).read_values(context.spark, tenant_id, columns, (None, window.end.date()))
    until = values.where(F.col("event_timestamp") <= instant(window.end))
    return latest_values(until, group.join_keys, group.feature_names, group.nulls)
