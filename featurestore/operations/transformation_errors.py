"""What Spark objects to in a transformation, in the user's words: which part of the SQL, and where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.errors import AnalysisException, ParseException, PySparkException

from featurestore.definitions.select_statement import check_select
from featurestore.definitions.sql.place import place_in_original
from featurestore.definitions.transformation import Transformation
from featurestore.errors import TransformationError

# Classes of SQLSTATE that a row's values bring about: data exceptions, a subquery of two rows, raise_error and assert_true.
_OF_VALUES = ("22", "21", "P0")
_LONGEST_REASON = 400


@contextmanager
def sql_that_runs(sql: str, text: str) -> Iterator[None]:
    """Where Spark cannot analyse ``text``, written from the user's ``sql``: TransformationError, with the place in ``sql``."""
    try:
        yield
    except PySparkException as error:
        if isinstance(error, AnalysisException | ParseException) or _is_of_values(error):
            raise TransformationError(f"the SQL cannot run: {_reason(error)}{_place(error, sql, text)}") from error
        raise


@contextmanager
def rows_that_compute(transformation: Transformation, sources: Iterable[str]) -> Iterator[None]:
    """Where a value of a row cannot be computed while a job runs: TransformationError, with the place where it is SQL.

    Recognised by the error's SQLSTATE; what is wrong with storage or with the cluster is raised as it came.
    """
    try:
        yield
    except PySparkException as error:
        if not _is_of_values(error):
            raise
        sql = transformation.sql
        if sql is None:
            name = transformation.function
            raise TransformationError(
                f"the rows of transformation {name!r} cannot be computed: {_reason(error)}"
            ) from error
        place = _place(error, sql, check_select(sql, sources))
        raise TransformationError(f"the SQL failed on a row: {_reason(error)}{place}") from error


def _is_of_values(error: PySparkException) -> bool:
    return (error.getSqlState() or "").startswith(_OF_VALUES)


def _reason(error: PySparkException) -> str:
    """Spark's own sentence, without the places in the text that ran, which the user has not seen."""
    [first, *_] = [line for line in str(error).splitlines() if line] or [type(error).__name__]
    sentence = first.partition(" SQLSTATE: ")[0].strip()
    return sentence if len(sentence) <= _LONGEST_REASON else f"{sentence[:_LONGEST_REASON]}..."


def _place(error: PySparkException, sql: str, text: str) -> str:
    """`` (line 1, column 8: sum(`amont`))`` in the user's SQL; what was written there, where the place is not clear."""
    contexts: list[Any] = [context for context in error.getQueryContext() or [] if context.contextType().name == "SQL"]
    for context in contexts:
        place = place_in_original(sql, text, context.startIndex())
        fragment = str(context.fragment())
        return (
            f" ({place})"
            if place and len(fragment) > _LONGEST_REASON
            else f" ({f'{place}: ' if place else ''}{fragment})"
        )
    return ""
