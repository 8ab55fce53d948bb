"""Run a transformation over its declared sources, for one tenant and one window, in a session of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from featurestore.columnar.schema import PARTITION_COLUMNS
from featurestore.definitions.source import Source
from featurestore.definitions.sql.functions import CALLED_BY_SPARK
from featurestore.definitions.transformation import Transformation
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.errors import TransformationError
from featurestore.frames.corrections import latest_values
from featurestore.frames.schema import values_schema
from featurestore.frames.timestamps import instant
from featurestore.late_spark import DataFrame, F
from featurestore.operations.context import Scope
from featurestore.operations.jobs.transformation_errors import sql_that_runs
from featurestore.spark_internals.spark_plans import check_analyzed_plan, check_parsed_plan
from featurestore.stores.arrow import to_spark
from featurestore.stores.sessions import separate_session
from featurestore.stores.sources import FileStates, check_landed, landed_files, read_source

_FILES_AS_TABLES = "spark.sql.runSQLOnFiles"


def isolated(scope: Scope, sources: Mapping[str, Source]) -> Scope:
    """The same store in a new session: nobody else sees its views, and its time zone is UTC.

    Raises NotFoundError, before Spark starts, for a source on this machine's disk that is not there.
    """
    if scope.context.is_native:
        for name, source in sources.items():
            check_landed(name, source, scope.tenant_id, scope.settings)
    session = separate_session(scope.spark)
    session.conf.set("spark.sql.session.timeZone", "UTC")
    # Delta's SQL parser drops parameters that newer Spark binds while parsing (delta-io/delta#7640), so this session
    # binds them during analysis, as Spark did before.
    session.conf.set("spark.sql.legacy.parameterSubstitution.constantsOnly", "true")
    # Spark reads SQL as it was checked: no ${env:...} is substituted, a quoted text is a text, a backslash escapes.
    session.conf.set("spark.sql.variable.substitute", "false")
    session.conf.set("spark.sql.ansi.doubleQuotedIdentifiers", "false")
    session.conf.set("spark.sql.parser.escapedStringLiterals", "false")
    session.conf.set("spark.sql.parser.quotedRegexColumnNames", "false")
    return replace(scope, context=scope.context.in_session(session))


@dataclass
class OpenTransformation:
    """A transformation in a session of its own, checked once, which runs for one window after another.

    It keeps the sources that are files of this machine's disk for as long as no file of theirs changes; other sources
    are opened again for each window. One thread at a time may use it. ``scope`` must come from ``isolated``.
    """

    scope: Scope
    sources: Mapping[str, Source]
    transformation: Transformation
    _text: str | None = field(init=False, repr=False)
    _kept: dict[str, tuple[FileStates, DataFrame]] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        sql = self.transformation.sql
        self._text = None if sql is None else _checked(self.scope, sql, self.sources)

    def rows(self, window: TimeWindow) -> DataFrame:
        """The transformation's rows, as a lazy DataFrame.

        The SQL's text is checked before it runs, and Spark's plan of it before anything is executed. Spark binds its
        parameters; they are never put into the text. Raises TransformationError, or NotFoundError for a missing source.
        """
        frames = {name: self._opened(name, source, window) for name, source in self.sources.items()}
        if self.transformation.sql is not None and self._text is not None:
            with sql_that_runs(self.transformation.sql, self._text):
                return _run(self.scope, self._text, frames, window)
        result = self.transformation.load()(frames, window)
        if not isinstance(result, DataFrame):
            raise TransformationError(
                f"transformation {self.transformation.function!r} returned {type(result).__name__}; "
                "it must return a Spark DataFrame"
            )
        return result

    def _opened(self, name: str, source: Source, window: TimeWindow) -> DataFrame:
        scope = self.scope
        # Asked before the files are listed: what changes meanwhile is found at the next window.
        states = landed_files(source, scope.tenant_id, scope.settings) if scope.context.is_native else None
        known = self._kept.get(name)
        if known is not None and known[0] == states:
            return known[1]
        frame = _read(scope, name, source, window)
        if states is not None:
            self._kept[name] = (states, frame)
        return frame


def transform(
    scope: Scope, sources: Mapping[str, Source], transformation: Transformation, window: TimeWindow
) -> DataFrame:
    """The transformation's rows over one window; see ``OpenTransformation.rows``."""
    return OpenTransformation(scope, sources, transformation).rows(window)


def _checked(scope: Scope, sql: str, sources: Iterable[str]) -> str:
    """The text to run in place of a user's SQL; every name in it is checked before any source is opened."""
    # It loads sqlglot, which only a transformation in SQL needs.
    from featurestore.definitions.sql.select_statement import check_select

    registered = scope.spark.sql("SHOW USER FUNCTIONS").collect()
    text = check_select(sql, sources, [row["function"].rpartition(".")[2] for row in registered])
    with sql_that_runs(sql, text):
        check_parsed_plan(scope.spark, text, list(sources), CALLED_BY_SPARK)
    return text


def _run(scope: Scope, text: str, frames: Mapping[str, DataFrame], window: TimeWindow) -> DataFrame:
    for name, frame in frames.items():
        frame.createOrReplaceTempView(name)
    arguments = {"tenant_id": scope.tenant_id, "start_time": window.start, "end_time": window.end}
    conf = scope.spark.conf
    before = conf.get(_FILES_AS_TABLES, "true")
    # Meanwhile a name such as parquet.`/data` is not a table. Spark Connect gives no plan to check, so it needs this.
    conf.set(_FILES_AS_TABLES, "false")
    try:
        rows = scope.spark.sql(text, args=arguments)
        check_analyzed_plan(rows, frames)
        # Reading the columns makes Spark Connect analyse the query.
        if not rows.columns:
            raise TransformationError("the SQL gives rows without columns")
        return rows
    finally:
        conf.set(_FILES_AS_TABLES, before or "true")


def _read(scope: Scope, name: str, source: Source, window: TimeWindow) -> DataFrame:
    if source.group is None:
        return read_source(scope.named_files, name, source, scope.tenant_id, scope.settings)
    group = scope.group(source.group)
    columns = [field.name for field in values_schema(group) if field.name not in PARTITION_COLUMNS]
    dates = (None, window.end.date())
    few = scope.read_few(group, columns, dates)
    values = scope.read_values(group, columns, dates) if few is None else to_spark(scope.spark, few)
    until = values.where(F.col("event_timestamp") <= instant(window.end))
    return latest_values(until, group.join_keys, group.feature_names, group.nulls)
