"""The type and the values of a checked expression over Arrow columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from featurestore.columnar.expressions.connections import connection
from featurestore.columnar.ranks import one_array
from featurestore.definitions.sql.checked_expression import ScalarExpression
from featurestore.errors import DefinitionError

_ROWS = "the_rows"


class RowFaultError(Exception):
    """A value that cannot be computed. ``row``: the first row that has none; None if no row alone shows the fault."""

    def __init__(self, row: int | None, reason: str) -> None:
        super().__init__(reason)
        self.row = row
        self.reason = reason


def result_type(expression: ScalarExpression, types: Mapping[str, pa.DataType]) -> tuple[pa.DataType, str]:
    """The Arrow type of the expression over columns of these types, and DuckDB's word for it; no value is computed.

    Raises DefinitionError for an operator or function that does not take these types, and for constants that fail.
    """
    empty = {name: pa.array([], types[name]) for name in expression.names}
    import duckdb

    try:
        return _computed(expression, empty, 0)
    except duckdb.Error as error:
        raise _misfit(error, empty) from error


def evaluate(expression: ScalarExpression, columns: Mapping[str, Any], rows: int | None = None) -> pa.Array:
    """The expression's value for each row of equally long columns; ``rows`` is needed only if it reads none.

    A pure function of the columns: by one thread, in UTC, without files, environment or clock. Raises RowFaultError for
    the first row that fails, such as a text that is no number or an overflow of whole numbers, and DefinitionError for
    columns of types that the expression does not take.
    """
    import duckdb

    read = {name: _readable(columns[name]) for name in expression.names}
    count = len(next(iter(read.values()))) if read else (rows or 0)

    def computed(start: int, rows: int) -> pa.Array:
        return _values(expression, {name: column.slice(start, rows) for name, column in read.items()}, rows)

    # An overflow and a text that is no number; a division by zero and a text that is no time.
    faults = (duckdb.DataError, duckdb.InvalidInputException)
    try:
        return computed(0, count)
    except faults as error:
        row, cause = first_fault(computed, count, faults)
        raise RowFaultError(row, _reason(cause or error)) from error
    except duckdb.Error as error:
        raise _misfit(error, read) from error


def first_fault(
    computed: Callable[[int, int], object], count: int, faults: tuple[type[Exception], ...]
) -> tuple[int | None, Exception | None]:
    """The first row that fails alone, found by halving ``computed(start, rows)``, and what it raised; None if none."""
    start, cause = 0, None
    while count > 1 or cause is None:
        half = (count + 1) // 2
        for begin, rows in ((start, half), (start + half, count - half)):
            try:
                if rows:
                    computed(begin, rows)
            except faults as error:
                start, count, cause = begin, rows, error
                break
        else:
            return None, None
    return start, cause


def _readable(column: Any) -> pa.Array:
    """The column in types by which no result differs: texts without codes, and instants in UTC."""
    array = one_array(column)
    if pa.types.is_dictionary(array.type):
        return array.dictionary_decode()
    is_instant = pa.types.is_timestamp(array.type) and array.type.tz is not None
    return array.cast(pa.timestamp(array.type.unit, "UTC")) if is_instant else array


def _computed(expression: ScalarExpression, columns: Mapping[str, pa.Array], rows: int) -> tuple[pa.DataType, str]:
    session = connection()
    relation = _relation(session, expression, columns, rows)
    try:
        word = str(relation.types[0])
        return relation.to_arrow_table().schema.field(0).type, word
    finally:
        session.unregister(_ROWS)


def _values(expression: ScalarExpression, columns: Mapping[str, pa.Array], rows: int) -> pa.Array:
    session = connection()
    try:
        return one_array(_relation(session, expression, columns, rows).to_arrow_table().column(0))
    finally:
        session.unregister(_ROWS)


def _relation(session: Any, expression: ScalarExpression, columns: Mapping[str, pa.Array], rows: int) -> Any:
    # An expression of constants alone still has one value per row.
    table = pa.table(dict(columns)) if columns else pa.table({"row": pa.nulls(rows, pa.int8())})
    session.register(_ROWS, table)
    return session.sql(f"SELECT {expression.text} AS value FROM {_ROWS}")


def _misfit(error: Exception, columns: Mapping[str, pa.Array]) -> DefinitionError:
    """The error that an expression does not take columns of these types."""
    shown = ", ".join(f"{name} {column.type}" for name, column in columns.items())
    return DefinitionError(
        f"the expression is refused: {_reason(error)}" + (f" (its inputs: {shown})" if shown else "")
    )


def _reason(error: Exception) -> str:
    """DuckDB's message, without the kind of error before it and the place in our text after it."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return first.partition("Error: ")[2] or first
