"""Turn Spark's errors in a transformation into errors that name the part of the user's SQL and its place."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from featurestore.definitions.sql.place import place_in_original
from featurestore.definitions.transformation import Transformation
from featurestore.errors import TransformationError
from featurestore.late_spark import CapturedException, PySparkLogger, py4j_errors, spark_errors

# Prefixes of the SQLSTATEs that values of rows cause: data exceptions, a subquery with two rows, a duplicate key in a
# map, a pattern or name from a value, an array that is too long, raise_error and assert_true.
_OF_VALUES = ("22", "21", "23505", "42", "54", "P0")
# Java's own errors, from functions that do not check their pattern.
_JAVA_OF_VALUES = frozenset({"java.util.regex.PatternSyntaxException", "java.util.IllegalFormatException"})
_LONGEST_REASON = 400


@contextmanager
def sql_that_runs(sql: str, text: str) -> Iterator[None]:
    """Raise TransformationError, with the place in the user's ``sql``, if Spark cannot analyse its ``text``."""
    with _quiet():
        try:
            yield
        except spark_errors.PySparkException as error:
            if isinstance(error, spark_errors.AnalysisException | spark_errors.ParseException) or _is_of_values(error):
                raise TransformationError(f"the SQL cannot run: {_reason(error)}{_place(error, sql, text)}") from error
            raise


@contextmanager
def rows_that_compute(transformation: Transformation, sources: Iterable[str]) -> Iterator[None]:
    """Raise TransformationError, with the place if it is SQL, if a row's value cannot be computed while a job runs.

    SQLSTATE and class identify these errors. Errors of storage, of the cluster or of the store's own plans are
    re-raised unchanged.
    """
    with _quiet():
        try:
            yield
        except (spark_errors.PySparkException, py4j_errors.Py4JJavaError) as error:
            cause = next((cause for cause in _causes(error) if _is_of_values(cause)), None)
            if cause is None or isinstance(cause, spark_errors.AnalysisException | spark_errors.ParseException):
                raise
            raise TransformationError(_failed(cause, transformation, sources)) from error


def _failed(cause: spark_errors.PySparkException, transformation: Transformation, sources: Iterable[str]) -> str:
    sql = transformation.sql
    if sql is None:
        return f"the rows of transformation {transformation.function!r} cannot be computed: {_reason(cause)}"
    from featurestore.definitions.sql.select_statement import check_select

    return f"the SQL failed on a row: {_reason(cause)}{_place(cause, sql, check_select(sql, sources))}"


def _causes(
    error: spark_errors.PySparkException | py4j_errors.Py4JJavaError,
) -> Iterator[spark_errors.PySparkException]:
    """The error if it is PySpark's own; otherwise Java's error and each of its causes, as PySpark errors."""
    if isinstance(error, spark_errors.PySparkException):
        yield error
        return
    java = error.java_exception
    while java is not None:
        yield CapturedException(origin=java)
        java = java.getCause()


def _is_of_values(error: spark_errors.PySparkException) -> bool:
    state = error.getSqlState()
    if state is not None:
        return state.startswith(_OF_VALUES)
    origin: Any = getattr(error, "_origin", None)
    kind = None if origin is None else origin.getClass()
    while kind is not None and kind.getName() not in _JAVA_OF_VALUES:
        kind = kind.getSuperclass()
    return kind is not None


def _reason(error: spark_errors.PySparkException) -> str:
    """Spark's own sentences, without places in the text that ran: the user has never seen that text."""
    sentences, state, _ = str(error).partition(" SQLSTATE: ")
    lines = [line.strip() for line in sentences.splitlines() if line.strip()] or [type(error).__name__]
    # Java's own errors have no SQLSTATE, and a stack may follow.
    sentence = " ".join(lines) if state else lines[0]
    return sentence if len(sentence) <= _LONGEST_REASON else f"{sentence[:_LONGEST_REASON]}..."


def _place(error: spark_errors.PySparkException, sql: str, text: str) -> str:
    """The place in the user's SQL: `` (line 1, column 8: sum(`amont`))``; only the fragment if it is ambiguous."""
    for context in error.getQueryContext() or []:
        if context.contextType().name == "SQL":
            place = place_in_original(sql, text, context.startIndex())
            fragment = context.fragment()
            excerpt = fragment if len(fragment) <= _LONGEST_REASON else f"{fragment[:_LONGEST_REASON]}..."
            return f" ({place}: {excerpt})" if place else f" (at {excerpt})"
    return ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence PySpark's log of errors, which prints a Java stack before anybody can catch the error itself."""
    # PySpark's own function must make the loggers: a logger keeps its first class, and PySpark passes extra arguments.
    loggers = [PySparkLogger.getLogger(f"{kind}QueryContextLogger") for kind in ("SQL", "DataFrame")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
