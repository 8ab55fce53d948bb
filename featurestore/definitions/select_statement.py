"""A user's SQL is read before it runs: one SELECT, over declared sources, and nothing that reaches beyond them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from featurestore.errors import TransformationError

PARAMETERS = frozenset({"tenant_id", "start_time", "end_time"})

# They run code outside SQL, or read what was not declared.
_REFUSED_FUNCTIONS = frozenset(
    {"reflect", "java_method", "try_reflect", "read_files", "read_kafka", "read_kinesis", "read_pubsub", "read_pulsar",
     "read_statestore", "read_state_metadata", "table_changes", "input_file_name", "input_file_block_start",
     "input_file_block_length", "secret", "try_secret", "http_request", "ai_query", "remote_query", "identifier"}
)  # fmt: skip
_REFUSED_NODES = (exp.DDL, exp.DML, exp.Command, exp.Into, exp.QueryTransform)
_TABLE_FUNCTIONS = frozenset({"range", "explode", "explode_outer", "posexplode", "posexplode_outer", "inline", "stack"})


def check_select(sql: str, sources: Iterable[str]) -> None:
    """Raise TransformationError, with the reason, unless ``sql`` is one SELECT over the named sources.

    Common table expressions, subqueries and set operations are fine; the parameters are ``:tenant_id``,
    ``:start_time`` and ``:end_time``.
    """
    declared = frozenset(sources)
    statement = _parse(sql)
    if not isinstance(statement, exp.Select | exp.SetOperation):
        raise _refused(f"it must be one SELECT, found {type(statement).__name__.upper()}")
    names = [cte.alias for cte in statement.find_all(exp.CTE)]
    shadowing = sorted(name for name in names if name.lower() in {source.lower() for source in declared})
    if shadowing:
        raise _refused(f"WITH {shadowing} would hide the sources of those names; name them otherwise")
    for node in statement.walk():
        _check_node(node, declared | {name.lower() for name in names})


def _parse(sql: str) -> Any:
    try:
        statements = [statement for statement in sqlglot.parse(sql, dialect="spark") if statement is not None]
    except SqlglotError as error:
        raise _refused(f"it cannot be read as Spark SQL: {str(error).splitlines()[0]}") from error
    if len(statements) != 1:
        raise _refused(f"it must be one statement, found {len(statements)}")
    return statements[0]


def _check_node(node: Any, known: frozenset[str]) -> None:
    if isinstance(node, _REFUSED_NODES) and not isinstance(node, exp.Query):
        raise _refused(f"{type(node).__name__.upper()} is not allowed in it")
    if isinstance(node, exp.Table):
        _check_table(node, known)
    if isinstance(node, exp.Func):
        name = (node.name if isinstance(node, exp.Anonymous) else node.sql_name()).lower()
        if name in _REFUSED_FUNCTIONS:
            raise _refused(f"function {name} is not allowed in it")
    if isinstance(node, exp.Placeholder) and node.name not in PARAMETERS:
        raise _refused(f"parameter :{node.name} is not known; possible: {sorted(PARAMETERS)}")


def _check_table(table: Any, known: frozenset[str]) -> None:
    if isinstance(table.this, exp.Func):
        name = (table.this.name if isinstance(table.this, exp.Anonymous) else table.this.sql_name()).lower()
        if name not in _TABLE_FUNCTIONS:
            raise _refused(f"table function {name} is not allowed in it")
        return
    shown = table.sql(dialect="spark")
    if (
        table.db
        or table.catalog
        or table.args.get("version")
        or table.name.lower() not in {name.lower() for name in known}
    ):
        raise _refused(f"it reads {shown}, which is not among its sources {sorted(known)}")


def _refused(reason: str) -> TransformationError:
    return TransformationError(f"the SQL is refused: {reason}")
