"""A user's SQL is read before it runs: one SELECT, over declared sources, and nothing that reaches beyond them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope
from sqlglot.tokens import TokenType  # type: ignore[attr-defined]

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


def check_select(sql: str, sources: Iterable[str], user_functions: Iterable[str] = ()) -> None:
    """Raise TransformationError, with the reason, unless ``sql`` is one SELECT over the named sources.

    Common table expressions, subqueries and set operations are fine; the parameters are ``:tenant_id``,
    ``:start_time`` and ``:end_time``. ``user_functions``: functions of the catalog that are not Spark's own, and may
    read anything; none of them may be called.
    """
    declared = frozenset(name.lower() for name in sources)
    statement = _parse(sql)
    if not isinstance(statement, exp.Select | exp.SetOperation):
        raise _refused(f"it must be one SELECT, found {type(statement).__name__.upper()}")
    _check_tokens(sql, frozenset(name.lower() for name in user_functions))
    names = [cte.alias for cte in statement.find_all(exp.CTE)]
    shadowing = sorted(name for name in names if name.lower() in declared)
    if shadowing:
        raise _refused(f"WITH {shadowing} would hide the sources of those names; name them otherwise")
    inner = _common_table_expressions(statement)
    for node in statement.walk():
        _check_node(node, declared, inner)


def _check_tokens(sql: str, user_functions: frozenset[str]) -> None:
    """What must not stand in it at all, whatever it would be read as: Spark and this parser could differ there."""
    tokens = sqlglot.tokenize(sql, read="spark")
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.token_type == TokenType.TABLE:
            raise _refused("the word TABLE is not allowed in it; quote a column of that name: `table`")
        is_call = following is not None and following.token_type == TokenType.L_PAREN
        if is_call and token.text.lower() in user_functions:
            raise _refused(f"function {token.text} is not Spark's own, and not allowed in it")


def _common_table_expressions(statement: Any) -> frozenset[int]:
    """Identities of the table nodes that read a WITH that is in force where they stand; elsewhere the same name is a table."""
    try:
        scopes = traverse_scope(statement)
    except SqlglotError as error:
        raise _refused(f"its parts cannot be told apart: {str(error).splitlines()[0]}") from error
    return frozenset(
        id(node)
        for scope in scopes
        for node, source in scope.selected_sources.values()
        if isinstance(source, Scope) and isinstance(node, exp.Table)
    )


def _parse(sql: str) -> Any:
    try:
        statements = [statement for statement in sqlglot.parse(sql, dialect="spark") if statement is not None]
    except SqlglotError as error:
        raise _refused(f"it cannot be read as Spark SQL: {str(error).splitlines()[0]}") from error
    if len(statements) != 1:
        raise _refused(f"it must be one statement, found {len(statements)}")
    return statements[0]


def _check_node(node: Any, declared: frozenset[str], inner: frozenset[int]) -> None:
    if isinstance(node, _REFUSED_NODES) and not isinstance(node, exp.Query):
        raise _refused(f"{type(node).__name__.upper()} is not allowed in it")
    if isinstance(node, exp.Table) and id(node) not in inner:
        _check_table(node, declared)
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
        _check_function(node.expression)
        raise _refused(
            f"function {node.sql(dialect='spark')} is named by its catalog; only Spark's own are allowed in it"
        )
    if isinstance(node, exp.Func):
        _check_function(node)
    if isinstance(node, exp.Placeholder) and node.name not in PARAMETERS:
        raise _refused(f"parameter :{node.name} is not known; possible: {sorted(PARAMETERS)}")


def _check_function(function: Any) -> None:
    name = (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).lower()
    if name in _REFUSED_FUNCTIONS:
        raise _refused(f"function {name} is not allowed in it")


def _check_table(table: Any, declared: frozenset[str]) -> None:
    if isinstance(table.this, exp.Func):
        name = (table.this.name if isinstance(table.this, exp.Anonymous) else table.this.sql_name()).lower()
        if name not in _TABLE_FUNCTIONS:
            raise _refused(f"table function {name} is not allowed in it")
        return
    if table.db or table.catalog or table.args.get("version") or table.name.lower() not in declared:
        raise _refused(f"it reads {table.sql(dialect='spark')}, which is not among its sources {sorted(declared)}")


def _refused(reason: str) -> TransformationError:
    return TransformationError(f"the SQL is refused: {reason}")
