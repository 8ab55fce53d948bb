"""The type and the values of a checked expression over Arrow columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from featurestore.columnar.expressions.connections import connection
from featurestore.columnar.ranks import one_array
from featurestore.definitions.sql.scalar_expression import ScalarExpression
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
        shown = ", ".join(f"{name} {types[name]}" for name in expression.names)
        raise DefinitionError(
            f"the expression is refused: {_reason(error)}" + (f" (its inputs: {shown})" if shown else "")
        ) from error


def evaluate(expression: ScalarExpression, columns: Mapping[str, Any], rows: int | None = None) -> pa.Array:
    """The expression's value for each row of equally long columns; ``rows`` is needed only if it reads none.

    A pure function of the columns: by one thread, in UTC, without files, environment or clock. Raises RowFaultError for
    the first row that fails, such as a text that is no number or an overflow of whole numbers.
    """
    import duckdb

    read = {name: _readable(columns[name]) for name in expression.names}
    count = len(next(iter(read.values()))) if read else (rows or 0)

    def computed(first: int) -> pa.Array:
        return _values(expression, {name: column.slice(0, first) for name, column in read.items()}, first)

    # An overflow and a text that is no number; a division by zero and a text that is no time.
    faults = (duckdb.DataError, duckdb.InvalidInputException)
    try:
        return computed(count)
    except faults as error:
        row, cause = first_fault(computed, count, faults)
        raise RowFaultError(row, _reason(cause or error)) from error


def first_fault(
    computed: Callable[[int], object], count: int, faults: tuple[type[Exception], ...]
) -> tuple[int | None, Exception | None]:
    """The first row with which ``computed(rows)`` raises one of ``faults``, found by halving, and what it raised."""
    good, bad, cause = 0, count, None
    while good < bad:
        middle = (good + bad) // 2
        try:
            computed(middle + 1)
            good = middle + 1
        except faults as error:
            bad, cause = middle, error
    return (bad, cause) if cause is not None else (None, None)


def _readable(column: Any) -> pa.Array:
    array = one_array(column)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


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


def _reason(error: Exception) -> str:
    """DuckDB's message, without the kind of error before it and the place in our text after it."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return first.partition("Error: ")[2] or first
